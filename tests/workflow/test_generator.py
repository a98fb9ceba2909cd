import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from c2lst.central import CentralModel
from c2lst.cli.app import app
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.readers import read
from c2lst.data.simulate import SimulatedTruth, simulate_tissue
from c2lst.data.split import SpotSplit
from c2lst.data.synthetic import SyntheticPairs
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.unet import build_unet
from c2lst.errors import InputError
from c2lst.evaluation.conditioning import ARMS
from c2lst.local import AdapterSettings, LocalModel
from c2lst.local.sources import Sources
from c2lst.workflow.generator import GeneratorSettings, evaluate_generator, judge_pairs
from c2lst.workflow.generator.evidence import gather
from c2lst.workflow.generator.parts import composition
from toy import SHAPE, training

SETTINGS = GeneratorSettings(per_spot=1, guidance=1.5, encoder="random", umap=False, drop_genes=0)


@pytest.fixture(scope="module")
def tissue(tmp_path_factory):
    """A small simulated section, a toy adapter of it, and where they lie."""
    folder = tmp_path_factory.mktemp("tissue")
    simulate_tissue(folder / "slide", spots=(8, 8), genes=30, seed=1)
    section = read(folder / "slide", size=16)
    split = SpotSplit.draw(section, fraction=0.5, seed=1)
    preprocessing = Preprocessing.fit(section, split, n_genes=12)
    torch.manual_seed(0)
    process = NoiseProcess(prediction="v_prediction")
    central = CentralModel(build_unet(SHAPE).eval(), process, 112.0, preprocessing.stain)
    settings = AdapterSettings(training(2), width=8)
    local = LocalModel.adapt(central, section, split, preprocessing, settings)
    section.save(folder / "section")
    split.save(folder / "split.json")
    central.save(folder / "central")
    where = Sources(folder / "section", folder / "split.json", folder / "central")
    local.save(folder / "adapter", sources=where)
    truth = SimulatedTruth.load(folder / "slide")
    return folder, section, split, local, truth


@pytest.fixture(scope="module")
def judged(tissue):
    """The command's output folder and what it printed."""
    folder = tissue[0]
    arguments = ["evaluate-generator", folder / "adapter", "-o", folder / "judged"]
    arguments += ["--truth", folder / "slide" / "SIM_truth.json", "--encoder", "random"]
    arguments += ["--per-spot", 1, "--guidance", 1.5, "--no-umap"]
    found = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return folder / "judged", found.output


def test_the_command_leaves_tables_and_pictures_and_no_scratch(judged):
    folder, output = judged
    names = {path.name for path in folder.iterdir()}
    tables = {"generator.json", "generator.csv", "nuclei.csv", "missing_genes.csv"}
    pictures = {
        f"{name}.png"
        for name in ("clusters", "round_trip", "embedding", "gallery", "nuclei", "missing_genes")
    }
    assert names == tables | pictures
    assert not [p for p in folder.parent.iterdir() if p.name.startswith(".")]
    assert "synthetic tissue" in output and "expression clusters" in output
    for picture in pictures:
        assert (folder / picture).stat().st_size > 10_000


def test_every_part_has_its_controls_and_a_sentence(judged):
    table = pd.read_csv(judged[0] / "generator.csv")
    described = json.loads((judged[0] / "generator.json").read_text())
    ways = {"random features (fixed convolutions)", "nuclei and stains"}
    for part in ("genes", "gene programmes", "cell composition", "expression clusters"):
        assert set(table[table["part"] == part]["by"]) == ways
    assert len(table[table["part"] == "genes"]) == 2 * (12 + 1)
    assert {"shuffled", "unconditional", "real", "low", "high"} <= set(table.columns)
    assert len(described["parts"]) == 12 and all(p["verdict"] for p in described["parts"])
    assert described["held_out"]["spots"] == described["training_spots"] > 20
    assert "nothing else" in described["held_out"]["use"]


def test_every_distance_has_its_floor(judged, tissue):
    table = pd.read_csv(judged[0] / "generator.csv")
    rows = table[table["part"] == "distribution"].set_index("name")
    assert list(rows.index) == [
        "kernel distance", "Fréchet distance", "precision", "density", "recall", "coverage",
    ]  # fmt: skip
    # A toy's patches are nothing like tissue; other real patches are.
    assert rows.loc["kernel distance", "low"] > rows.loc["kernel distance", "real_high"]
    assert rows.loc["precision", "high"] < rows.loc["precision", "real_low"]
    assert np.isnan(rows.loc["Fréchet distance", "estimate"])
    assert "cannot tell the covariance of 960" in rows.loc["Fréchet distance", "note"]
    likeness = table[table["part"] == "likeness to its spot"].set_index("name")
    assert {"sd", "shuffled_sd", "real_sd", "margin_low"} <= set(likeness.columns)
    assert likeness.loc["cosine", "real"] > likeness.loc["cosine", "estimate"]


def test_nuclei_of_real_patches_are_those_of_the_truth(judged, tissue):
    _, section, split, _, truth = tissue
    table = pd.read_csv(judged[0] / "nuclei.csv")
    assert set(table["patches"]) == {"training", "held_out", *ARMS}
    assert len(table) == len(section) + 3 * len(split.train)
    real = table[table["patches"].isin(["training", "held_out"])].set_index("barcode")
    shown = pd.Series(truth.image_cell_counts.sum(axis=1), truth.barcodes)
    both = pd.concat([real["nuclei"], shown], axis=1, join="inner").to_numpy()
    assert len(both) == len(section) and np.corrcoef(both.T)[0, 1] > 0.7
    described = pd.read_csv(judged[0] / "generator.csv")
    classes = described[described["part"] == "nuclear classes"].set_index("name")
    assert classes.loc["divergence", "low"] > classes.loc["divergence", "real"]
    assert classes["real"].iloc[1:].sum() == pytest.approx(1, abs=1e-3)


def test_missing_genes_change_more_the_more_there_are(judged):
    table = pd.read_csv(judged[0] / "missing_genes.csv")
    assert table["missing"].tolist() == [0, 5, 6, 12]
    assert table["pixels"].iloc[0] == 0 and table["pixels"].iloc[-1] > 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"encoder": "inception"}, "unknown name"),
        ({"nuclei": "by eye"}, "watershed, hovernet or cellvit=FOLDER"),
        ({"drop_genes": -1}, "drop_genes, found -1"),
        ({"per_spot": 0}, "per_spot, found 0"),
        ({"seed": -1}, "seed, found -1"),
    ],
)
def test_what_is_not_known_is_refused_before_anything_is_drawn(tissue, change, named, monkeypatch):
    _, section, split, local, _ = tissue

    def never(*args, **kwargs):
        raise AssertionError("drawn")

    monkeypatch.setattr(LocalModel, "synthesize_profiles", never)
    with pytest.raises(InputError, match=named):
        gather(local, section, split, dataclasses.replace(SETTINGS, **change))


def test_cellvit_gets_the_patches_that_the_slide_does_not_have(tissue, tmp_path):
    _, section, split, local, _ = tissue
    how = dataclasses.replace(SETTINGS, nuclei=f"cellvit={tmp_path}")
    around = section.centres_um[:, None] + 5 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    cells = [{"type": 1, "contour": (each / section.mpp).tolist()} for each in around]
    (tmp_path / "slide.json").write_text(json.dumps({"cells": cells}))
    with pytest.raises(InputError, match="none of synthetic, shuffled, unconditional"):
        gather(local, section, split, how, directory=tmp_path / "drawn")
    square = [[200, 200], [240, 200], [240, 240], [200, 240]]
    for arm in ARMS:
        assert (tmp_path / f"{arm}.tiff").is_file()
        found = {"cells": [{"type": 2, "contour": square}]}
        (tmp_path / f"{arm}_cells.json").write_text(json.dumps(found))
    nuclei = gather(local, section, split, how, directory=tmp_path / "drawn").nuclei
    assert nuclei.kinds == ("Inflammatory", "Neoplastic")
    assert (nuclei.nuclei("training").counts == 1).all()
    assert nuclei.nuclei("synthetic").counts.sum() == 1


def test_pairs_are_judged_without_drawing(tissue):
    _, section, split, local, _ = tissue
    training = split.training(section)
    real = local.preprocessing.images(training)
    values = local.preprocessing.expression(training)

    def judged_as(images):
        seeds = np.arange(len(training))
        pairs = SyntheticPairs(images, values, values, training.barcodes, seeds, 1.0, "fast")
        return judge_pairs(pairs, section, split, local.preprocessing, encoder="random")

    rng = np.random.default_rng(0)
    copies, noise = judged_as(real), judged_as(rng.integers(0, 256, real.shape, dtype=np.uint8))
    assert copies["likeness"] == pytest.approx(1) and copies["likeness_margin_low"] > 0
    for name in ("kernel_distance", "precision", "coverage", "nuclei_per_mm2"):
        assert copies[name] == pytest.approx(copies[f"{name}_real"])
    assert noise["kernel_distance"] > 2 * abs(copies["kernel_distance"])
    assert noise["likeness_margin_low"] < 0 and noise["spots"] == len(training)


def test_an_untrained_adapter_is_not_taken_for_one_that_listens(tissue, tmp_path):
    """Without a modulation all three arms are the very same images."""
    _, section, split, local, _ = tissue
    network = local.network
    kept = {k: v.clone() for k, v in network.adapter_state().items()}
    try:
        network.load_adapter_state({k: torch.zeros_like(v) for k, v in kept.items()})
        parts = evaluate_generator(local, section, split, tmp_path, SETTINGS)
    finally:
        network.load_adapter_state(kept)
    for part in parts[:4]:
        row = part.table.iloc[0]
        assert row["estimate"] == pytest.approx(row["shuffled"])
        assert row["margin_low"] <= 0
        assert "cannot be told" in part.verdict or "does not measurably" in part.verdict


def test_readers_learn_from_spots_that_the_adapter_never_saw(tissue):
    _, section, split, local, _ = tissue
    evidence = gather(local, section, split, SETTINGS)
    assert set(evidence.held_out.barcodes) == set(split.test)
    assert not set(evidence.held_out.barcodes) & set(split.train)
    look = next(iter(evidence.looks.values()))
    assert len(look["held_out"]) == len(split.test)
    assert [len(look[arm]) for arm in ARMS] == [len(split.train)] * 3


def test_an_interrupted_evaluation_continues(tissue, tmp_path):
    _, section, split, local, _ = tissue
    first = gather(local, section, split, SETTINGS, directory=tmp_path)
    (lost,) = (tmp_path / "shuffled").glob("images-*")
    lost.unlink()
    kept = {p: p.stat().st_mtime_ns for p in tmp_path.glob("*/images-*")}
    second = gather(local, section, split, SETTINGS, directory=tmp_path)
    assert lost.is_file() and all(p.stat().st_mtime_ns == time for p, time in kept.items())
    for arm in ARMS:
        np.testing.assert_array_equal(first.images[arm][:], second.images[arm][:])


def test_a_truth_of_another_section_is_refused(tissue):
    _, section, split, local, truth = tissue
    evidence = gather(local, section, split, SETTINGS)
    other = dataclasses.replace(truth, library_size=truth.library_size[::-1] * 1.5)
    with pytest.raises(InputError, match="is not of section"):
        composition(evidence, other, "nuclei and stains")
    fewer = dataclasses.replace(truth, barcodes=np.char.add("X", truth.barcodes))
    with pytest.raises(InputError, match="is not of section"):
        composition(evidence, fewer, "nuclei and stains")


def test_a_section_may_not_be_held_out_of_itself(tissue, tmp_path):
    _, section, split, local, _ = tissue
    with pytest.raises(InputError, match="is the adapter's own"):
        evaluate_generator(local, section, split, tmp_path, SETTINGS, held_out=section)


def test_another_section_can_be_held_out(tissue, tmp_path):
    _, section, split, local, _ = tissue
    simulate_tissue(tmp_path / "slide", spots=(5, 5), genes=30, seed=2, name="OTHER")
    other = read(tmp_path / "slide", size=16)
    evidence = gather(local, section, split, SETTINGS, held_out=other)
    assert evidence.held_out.name == "OTHER"
    assert evidence.held_out_scaled.shape == (len(other), 12)


def test_what_is_no_truth_is_refused(tissue):
    folder = tissue[0]
    arguments = ["evaluate-generator", folder / "adapter", "-o", folder / "out"]
    arguments += ["--truth", folder / "split.json"]
    with pytest.raises(InputError, match="no truth"):
        CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
