"""superres from end to end at the command line."""

from __future__ import annotations

import json
from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from c2lst.cli.app import app
from c2lst.errors import InputError
from c2lst.superres.maps import SuperresMaps
from c2lst.superres.model import SuperresModel

SMALL = ("--steps", "2", "--batch-size", "2", "--width", "16", "--lr-size", "4")


def c2lst(*words: object) -> None:
    CliRunner().invoke(app, ["superres", *map(str, words)], catch_exceptions=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Maps of three patients, and a model of two of them."""
    folder = tmp_path_factory.mktemp("superres")
    c2lst(
        "build", "simulated", "-o", folder / "maps", "--patients", 3, "--n-genes", 3,
        "--side-um", 600, "--bin-um", 20, "--image-um", 5,
    )  # fmt: skip
    c2lst("train", folder / "maps", "-o", folder / "model", *SMALL, "--hold-out", "P03")
    return folder


def test_a_held_out_area_is_predicted_and_scored(made, tmp_path):
    few = ("--samples", 2, "--steps", 2)
    c2lst(
        "predict",
        made / "model",
        made / "maps",
        "--section",
        "S03",
        "-o",
        tmp_path / "o.h5ad",
        *few,
    )
    table = anndata.read_h5ad(tmp_path / "o.h5ad")
    assert table.n_vars == 3 and {"sd", "log1p"} <= set(table.layers)
    assert not (made / ".model.work").exists()
    spots = table.X.sum()
    c2lst("predict", made / "model", made / "maps", "--section", "S03", "-o", tmp_path / "f.h5ad",
          *few, "--free", "--solver", "dpm++")  # fmt: skip
    measured = SuperresMaps.load(made / "maps").samples[2].counts.sum()
    assert spots == pytest.approx(measured, rel=1e-3)
    assert anndata.read_h5ad(tmp_path / "f.h5ad").X.sum() != pytest.approx(measured, rel=1e-3)
    c2lst("evaluate", made / "model", made / "maps", "-o", tmp_path / "scores", *few)
    assert set(pd.read_csv(tmp_path / "scores/scores.csv")["sample"]) == {"S03"}
    c2lst("evaluate", made / "model", made / "maps", "-o", tmp_path / "all", *few, "--seen",
          "--free", "--solver", "dpm++")  # fmt: skip
    assert set(pd.read_csv(tmp_path / "all/scores.csv")["sample"]) == {"S01", "S02", "S03"}
    how = json.loads((tmp_path / "all/summary.json").read_text())
    assert (how["seen"], how["consistent"], how["solver"]) == (True, False, "dpm++")


def test_a_section_is_predicted(made, small_section, tmp_path):
    small_section.save(tmp_path / "section")
    with pytest.raises(InputError, match="not as far apart"):
        c2lst("predict", made / "model", tmp_path / "section", "-o", tmp_path / "o.h5ad")
    # Maps of the section's own pitch and genes: what it takes to predict it.
    maps = SuperresMaps.load(made / "maps")
    genes = tuple(small_section.genes[:3].tolist())
    replace(maps, genes=genes, bin_um=40.0, lr_um=200.0).save(tmp_path / "maps")
    c2lst("train", tmp_path / "maps", "-o", tmp_path / "model", *SMALL, "--no-regression")
    c2lst("predict", tmp_path / "model", tmp_path / "section", "-o", tmp_path / "o.h5ad",
          "--samples", 2, "--steps", 2)  # fmt: skip
    table = anndata.read_h5ad(tmp_path / "o.h5ad")
    assert tuple(table.var_names) == genes and np.isfinite(table.X).all()
    # Bins lie on the tissue of the section, in µm of its image, and hold its spots' counts.
    low, high = small_section.centres_um.min(axis=0), small_section.centres_um.max(axis=0)
    assert (table.obsm["spatial"] > low - 101).all() and (table.obsm["spatial"] < high + 101).all()
    area = 200**2 / (np.pi * 50**2)
    expected = small_section.counts[:, :3].sum() * area
    assert table.X.sum() == pytest.approx(expected, rel=0.1)


def test_components_are_left_out_by_name(made, tmp_path):
    c2lst("train", made / "maps", "-o", tmp_path / "m", *SMALL, "--ablate", "no-graph",
          "--ablate", "lr-only", "--no-regression")  # fmt: skip
    card = (tmp_path / "m/README.md").read_text()
    assert "graph_layer" in card and "use_image" in card
    assert not (tmp_path / "m/regression.safetensors").exists()
    c2lst("train", made / "maps", "-o", tmp_path / "o", *SMALL, "--no-regression", "--no-residual",
          "--normalisation", "paper", "--graph", "intensity_ratio", "--image-px", 2,
          "--crop-px", 8, "--precision", "bf16")  # fmt: skip
    settings = SuperresModel.load(tmp_path / "o").settings
    assert (settings.residual, settings.normalisation, settings.graph) == (
        False, "paper", "intensity_ratio",
    )  # fmt: skip
    assert (settings.image_px, settings.crop_px) == (2, 8)
    assert settings.training.precision == "bf16"
    with pytest.raises(InputError, match="learning-rate"):
        c2lst("train", made / "maps", "-o", tmp_path / "x", *SMALL, "--learning-rate", -1)
    with pytest.raises(InputError, match="unknown name"):
        c2lst("train", made / "maps", "-o", tmp_path / "x", "--ablate", "nothing")


def test_a_finished_model_is_not_made_again(made):
    with pytest.raises(InputError, match="complete already"):
        c2lst("train", made / "maps", "-o", made / "model")


def test_what_a_user_has_is_never_replaced(made, tmp_path):
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match="no model of superres"):
        c2lst("train", made / "maps", "-o", tmp_path, *SMALL)
    with pytest.raises(InputError, match="is a file"):
        c2lst("evaluate", made / "model", made / "maps", "-o", tmp_path / "mine.txt")
    with pytest.raises(InputError, match=r"found mine\.txt"):
        c2lst("evaluate", made / "model", made / "maps", "-o", tmp_path)
    with pytest.raises(InputError, match="suffix"):
        c2lst("predict", made / "model", made / "maps", "-o", tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").is_file()


@pytest.mark.parametrize("words", [("--spot-um", 0), ("--bin-um", 0), ("--n-genes", 0)])
def test_sizes_of_nothing_are_refused(tmp_path, words):
    with pytest.raises(InputError, match=r"above 0|1 or more"):
        c2lst("build", "simulated", "-o", tmp_path / "maps", *words)


def test_which_area_is_asked(made, tmp_path):
    with pytest.raises(InputError, match="which area"):
        c2lst("predict", made / "model", made / "maps", "-o", tmp_path / "o.h5ad")


def test_legacy_sections_become_maps(small_legacy, tmp_path):
    c2lst("build", small_legacy, "-o", tmp_path / "maps", "--n-genes", 4, "--patient", "P1")
    maps = SuperresMaps.load(tmp_path / "maps")
    assert maps.scale == 2 and maps.patients == ("P1",) and len(maps.genes) == 4


@pytest.mark.parametrize(
    "option",
    [("--patient", "P1"), ("--mpp", "1"), ("--image", "x.tif"), ("--factor", "3")],
)
def test_options_that_a_source_is_not_read_by_are_refused(tmp_path, option):
    with pytest.raises(InputError, match=f"{option[0]}.*is not read"):
        c2lst("build", "simulated", "-o", tmp_path / "maps", *option)


def test_patients_are_read_with_all_sources_or_none(small_legacy, tmp_path):
    with pytest.raises(InputError, match=r"--patient.*is not read"):
        c2lst("build", small_legacy, "simulated", "-o", tmp_path / "maps", "--patient", "A",
              "--patient", "B")  # fmt: skip
    with pytest.raises(InputError, match=r"--sampling.*is not read"):
        c2lst("build", small_legacy, "-o", tmp_path / "maps", "--sampling", "discs")


def test_simulated_spots_are_sampled_as_asked(tmp_path):
    few = ("--patients", 1, "--n-genes", 3, "--side-um", 400, "--bin-um", 20)
    c2lst("build", "simulated", "-o", tmp_path / "maps", *few, "--sampling", "discs")
    maps = SuperresMaps.load(tmp_path / "maps")
    assert maps.sampling == "discs"
    c2lst("build", "simulated", "-o", tmp_path / "deep", *few, "--depth", 2,
          "--uninformative-image")  # fmt: skip
    deep = SuperresMaps.load(tmp_path / "deep")
    assert deep.samples[0].counts.sum() == pytest.approx(4 * maps.samples[0].counts.sum(), rel=0.1)
    assert not np.array_equal(deep.samples[0].image, maps.samples[0].image)


def test_an_output_that_is_not_replaced_is_refused_before_maps_are_made(made, tmp_path):
    (tmp_path / "maps.json").write_bytes((made / "maps/maps.json").read_bytes())
    (tmp_path / "mine.txt").touch()
    with pytest.raises(InputError, match=r"found mine\.txt"):  # and not that there is no source
        c2lst("build", tmp_path, "-o", tmp_path, "--format", "xenium")
    with pytest.raises(InputError, match="--image-um"):
        c2lst("build", "simulated", "-o", tmp_path / "maps", "--image-um", 0)
