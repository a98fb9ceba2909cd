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
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.unet import build_unet
from c2lst.errors import InputError
from c2lst.evaluation.conditioning import ARMS
from c2lst.local import AdapterSettings, LocalModel
from c2lst.local.sources import Sources
from c2lst.workflow.generator import GeneratorSettings, evaluate_generator
from c2lst.workflow.generator.evidence import gather
from c2lst.workflow.generator.parts import composition
from toy import SHAPE, training

SETTINGS = GeneratorSettings(per_spot=1, guidance=1.5, encoder="random")


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
    arguments += ["--per-spot", 1, "--guidance", 1.5]
    found = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    return folder / "judged", found.output


def test_the_command_leaves_tables_and_pictures_and_no_scratch(judged):
    folder, output = judged
    names = {path.name for path in folder.iterdir()}
    assert names == {"generator.json", "generator.csv", "clusters.png", "round_trip.png"}
    assert not [p for p in folder.parent.iterdir() if p.name.startswith(".")]
    assert "synthetic tissue" in output and "expression clusters" in output
    for picture in ("clusters.png", "round_trip.png"):
        assert (folder / picture).stat().st_size > 10_000


def test_every_part_has_its_controls_and_a_sentence(judged):
    table = pd.read_csv(judged[0] / "generator.csv")
    described = json.loads((judged[0] / "generator.json").read_text())
    ways = {"random features (fixed convolutions)", "nuclei and stains"}
    for part in ("genes", "gene programmes", "cell composition", "expression clusters"):
        assert set(table[table["part"] == part]["by"]) == ways
    assert len(table[table["part"] == "genes"]) == 2 * (12 + 1)
    assert {"shuffled", "unconditional", "real", "low", "high"} <= set(table.columns)
    assert len(described["parts"]) == 9 and all(p["verdict"] for p in described["parts"])
    assert described["held_out"]["spots"] == described["training_spots"] > 20
    assert "nothing else" in described["held_out"]["use"]


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
