"""Pretrain, sample, publish, as a user types them."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from c2lst.central import CentralModel
from c2lst.cli.app import app
from c2lst.errors import InputError
from toy import TOML

runner = CliRunner()


def call(*arguments):
    return runner.invoke(app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from PIL import Image

    path = tmp_path_factory.mktemp("central")
    (path / "toy.toml").write_text(TOML)
    (path / "patches").mkdir()
    rng = np.random.default_rng(0)
    for number in range(12):
        tissue = rng.integers(90, 200, (16, 16, 3)) - [0, 50, 0]
        Image.fromarray(tissue.astype(np.uint8)).save(path / "patches" / f"{number}.png")
    return path


def pretrain(folder, output, *options):
    toy = ("--preset", "tiny", "--config", folder / "toy.toml")
    return call("pretrain", folder / "patches", "-o", output, *toy, *options)


@pytest.fixture(scope="module")
def central(folder):
    result = pretrain(folder, folder / "model", "--steps", 4, "--batch-size", 2, "--watch", 1)
    assert result.exit_code == 0
    return folder / "model"


def test_options_win_over_preset_and_file(central):
    card = json.loads((central / "central.json").read_text())
    training = card["provenance"]["settings"]["training"]
    assert (training["steps"], training["batch_size"]) == (4, 2)
    assert card["provenance"]["preset"] == "tiny"
    assert len((central / "log.jsonl").read_text().splitlines()) >= 4
    assert not (central.parent / ".model.work").exists()


def test_what_took_long_is_not_made_again_by_mistake(folder, central):
    before = (central / "central.json").read_bytes()
    with pytest.raises(InputError, match="complete already"):
        pretrain(folder, central)
    assert (central / "central.json").read_bytes() == before


def test_a_collection_with_validation_patches_is_scored(folder, tmp_path):
    from c2lst.evaluation import encoders

    groups = tmp_path / "groups.csv"
    groups.write_text("name,group\n" + "".join(f"{n}.png,g{n // 2}\n" for n in range(12)))
    split = ("--groups", groups, "--validation", 0.5, "--copies", "flag")
    call("collect", folder / "patches", "-o", tmp_path / "c", "--licence", "cc0-1.0", *split)
    toy = ("--preset", "tiny", "--config", folder / "toy.toml")
    assert call("pretrain", tmp_path / "c", "-o", tmp_path / "m", *toy, "--watch", 1).exit_code == 0
    watched = json.loads((tmp_path / "m" / "central.json").read_text())["provenance"]["watched"]
    assert watched["features"] in [encoder.label for encoder in encoders.ENCODERS.values()]
    assert watched["kernel_distance"]["n"][0] == watched["images"]
    card = (tmp_path / "m" / "README.md").read_text()
    assert "license: cc0-1.0" in card and "Floor" in card


def test_starting_afresh_forgets_the_checkpoints(folder):
    output = folder / "again"
    work = folder / ".again.work"
    (work / "checkpoint-2").mkdir(parents=True)
    (work / "checkpoint-2" / "state.json").write_text("{}")
    assert pretrain(folder, output, "--resume", "never", "--watch", 0).exit_code == 0
    assert (output / "central.json").is_file() and not work.exists()


def test_samples_as_a_sheet_and_one_by_one(central, tmp_path):
    assert call("sample", central, "-n", 3, "-o", tmp_path / "s.png").exit_code == 0
    assert call("sample", central, "-n", 3, "-o", tmp_path / "s", "--seed", 1).exit_code == 0
    assert (tmp_path / "s.png").is_file()
    assert len(list((tmp_path / "s").glob("0*.png"))) == 3
    few = ("sample", central, "-n", 1, "--sampler", "faithful")
    assert call(*few, "-o", tmp_path / "many.png").exit_code == 0
    call(*few[:-2], "-o", tmp_path / "fast.png")
    assert (tmp_path / "many.png").read_bytes() != (tmp_path / "fast.png").read_bytes()


def test_a_training_goes_on_from_another_model(folder, central, tmp_path):
    few = ("--steps", 1, "--batch-size", 2, "--watch", 0, "--seed", 9)
    how = ("--precision", "fp32", "--no-compile", "--tracker", "none")
    assert pretrain(folder, tmp_path / "more", *few, *how, "--from", central).exit_code == 0
    more = CentralModel.load(tmp_path / "more")
    training = more.provenance["settings"]["training"]
    assert (training["precision"], training["compile"], training["tracker"]) == (
        "fp32", False, "none",
    )  # fmt: skip
    first, fresh = CentralModel.load(central), tmp_path / "fresh"
    pretrain(folder, fresh, *few, *how)

    def apart(model):
        pairs = zip(model.unet.parameters(), first.unet.parameters(), strict=True)
        return sum(float((a - b).detach().abs().sum()) for a, b in pairs)

    assert 0 < apart(more) < 0.5 * apart(CentralModel.load(fresh))


def test_publishing_to_a_folder(central, tmp_path):
    from c2lst.central import CentralModel

    result = call("publish", central, "--to", tmp_path / "out", "--licence", "cc0-1.0")
    assert result.exit_code == 0
    assert "license: cc0-1.0" in (tmp_path / "out" / "README.md").read_text()
    assert CentralModel.load(tmp_path / "out").hash == CentralModel.load(central).hash
    (tmp_path / "recipe.txt").write_text("c2lst pretrain OURS")
    call("publish", central, "--to", tmp_path / "half", "--half",
         "--recipe", tmp_path / "recipe.txt")  # fmt: skip
    assert "c2lst pretrain OURS" in (tmp_path / "half" / "README.md").read_text()
    sizes = [
        sum(p.stat().st_size for p in (tmp_path / name / "unet").glob("*.safetensors"))
        for name in ("half", "out")
    ]
    assert 0 < sizes[0] < 0.6 * sizes[1]
    with pytest.raises(InputError, match="nothing is uploaded"):
        call("publish", central, "--to", tmp_path / "out", "--public")


def test_publishing_to_the_hub_needs_a_licence_and_is_private(central, monkeypatch):
    sent = {}

    def upload(folder, repository, *, private):
        sent.update(files={p.name for p in Path(folder).iterdir()}, private=private)
        return f"https://hub/{repository}"

    monkeypatch.setattr("c2lst.central.hub.upload", upload)
    with pytest.raises(InputError, match="--licence"):
        call("publish", central, "--to", "lab/skin")
    assert not sent
    assert call("publish", central, "--to", "lab/skin", "--licence", "mit").exit_code == 0
    assert sent["private"] and {"README.md", "samples.png", "unet"} <= sent["files"]
    call("publish", central, "--to", "lab/skin", "--licence", "mit", "--public")
    assert not sent["private"]


def test_of_processes_that_are_launched_together_one_speaks_and_writes(folder, tmp_path):
    """Started as ``accelerate launch -m c2lst pretrain`` starts them on several GPUs."""
    command = [
        *(sys.executable, "-m", "c2lst", "pretrain", folder / "patches", "-o", tmp_path / "model"),
        *("--preset", "tiny", "--config", folder / "toy.toml", "--watch", "0"),
    ]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    common |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [str(part) for part in command],
            env=os.environ | common | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    told = [" ".join(process.communicate(timeout=300)[1].split()) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    assert "2 × 1 × 2 images" in told[0] and not told[1]
    assert (tmp_path / "model" / "central.json").is_file()


def test_the_side_of_a_patch_is_that_of_the_file(folder, tmp_path):
    toml = tmp_path / "toy.toml"
    toml.write_text("patch_um = 50.0\n" + TOML)
    short = ("--preset", "tiny", "--config", toml, "--steps", 1, "--watch", 0, "--batch-size", 2)
    call("pretrain", folder / "patches", "-o", tmp_path / "model", *short)
    assert CentralModel.load(tmp_path / "model").patch_um == 50


def test_samples_do_not_go_into_a_file(central, tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        call("sample", central, "-n", 1, "-o", tmp_path / "out")
