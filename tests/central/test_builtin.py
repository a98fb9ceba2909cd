"""The model that comes with the package; a toy stands for it."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from c2lst import workflow
from c2lst.central import CentralModel
from c2lst.central.builtin import BUILTIN, MOST_BYTES, find_builtin
from c2lst.central.half import fits_half, rounded
from c2lst.cli.app import app
from c2lst.data.stain import StainReference
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.unet import build_unet
from c2lst.diffusion.weights import read_tensors
from c2lst.errors import InputError
from c2lst.local.sources import Sources
from toy import SHAPE, toy_settings

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def full():
    torch.manual_seed(0)
    process = NoiseProcess(prediction="v_prediction")
    told = {"patches": {"source": "toy", "patches": 3, "patch_um": None}}
    return CentralModel(build_unet(SHAPE).eval(), process, 56.0, StainReference.standard(), told)


@pytest.fixture(scope="module")
def shipped(full, tmp_path_factory):
    """A folder of models with one in it, as it is published."""
    home = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("c2lst.central.model.ON_CARD", 2)
        full.publish(home / "toy", licence="cc0-1.0", recipe="c2lst pretrain X", half=True)
    return home


@pytest.fixture
def builtin(shipped, monkeypatch):
    monkeypatch.setattr("c2lst.central.builtin.MODELS", shipped)
    return shipped / "toy"


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def test_half_precision_is_half_the_bytes_and_full_precision_in_memory(full, builtin, tmp_path):
    full.save(tmp_path / "full")
    sizes = [(folder / WEIGHTS).stat().st_size for folder in (builtin, tmp_path / "full")]
    assert sizes[0] < 0.6 * sizes[1]
    assert {w.dtype for w in read_tensors(builtin / WEIGHTS).values()} == {torch.float16}
    loaded = CentralModel.load(builtin)
    assert {w.dtype for w in loaded.unet.parameters()} == {torch.float32}
    assert fits_half(loaded.unet) and not fits_half(full.unet)


def test_its_hash_and_its_bytes_last_however_often_it_is_saved(full, builtin, tmp_path):
    first = CentralModel.load(builtin)
    assert first.hash != full.hash
    assert first.provenance["rounded"]["from"] == full.hash
    first.save(tmp_path / "again")
    second = CentralModel.load(tmp_path / "again")
    assert second.hash == first.hash == second.in_half().hash
    assert (tmp_path / "again" / WEIGHTS).read_bytes() == (builtin / WEIGHTS).read_bytes()


def test_rounding_hardly_changes_what_it_draws_and_sees(full, builtin):
    half = CentralModel.load(builtin)
    drawn = [model.sample(3, seed=1).astype(int) for model in (full, half)]
    assert np.abs(drawn[0] - drawn[1]).mean() < 1
    images = np.random.default_rng(0).integers(60, 250, (6, 16, 16, 3), dtype=np.uint8)
    seen = [model.encode(images) for model in (full, half)]
    assert np.abs(seen[0] - seen[1]).max() < 0.05 * seen[0].std()


def test_weights_beyond_the_range_are_refused(full):
    network = rounded(full.unet)
    with torch.no_grad():
        next(network.parameters()).fill_(1e6)
    with pytest.raises(InputError, match="beyond the range"):
        rounded(network)


def test_diffusers_opens_half_precision_as_it_is(builtin):
    from diffusers import DDPMPipeline

    images = DDPMPipeline.from_pretrained(builtin)(
        batch_size=1, num_inference_steps=2, output_type="np"
    ).images
    assert images.shape == (1, 16, 16, 3)


def test_the_card_says_how_it_was_made_and_stored(builtin):
    card = (builtin / "README.md").read_text()
    for told in ("c2lst pretrain X", "16 bit", "license: cc0-1.0", "samples.png", "not known"):
        assert told in card


def test_it_is_taken_wherever_a_central_model_is(builtin, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "c2lst.workflow.stages.run_stages", lambda run, inputs, _: asked.append(inputs)
    )
    workflow.run(tmp_path, tmp_path / "run", toy_settings(tmp_path), central=BUILTIN)
    assert asked[0].central == builtin
    assert call("sample", BUILTIN, "-n", 1, "-o", tmp_path / "s.png").exit_code == 0
    assert "toy: 16 px, 56 µm" in " ".join(call("doctor").output.split())
    Sources(central=BUILTIN).save(tmp_path, tmp_path / "adapter")
    assert json.loads((tmp_path / "sources.json").read_text())["central"] == BUILTIN
    assert Sources.load(tmp_path).central == BUILTIN


def test_a_folder_of_that_name_comes_first(builtin, full, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    full.save(tmp_path / BUILTIN)
    assert CentralModel.load(BUILTIN).hash == full.hash


def test_a_copy_without_a_model_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("c2lst.central.builtin.MODELS", tmp_path)
    with pytest.raises(
        InputError, match=r"this copy of c2lst has no .*nothing in .*c2lst pretrain"
    ):
        CentralModel.load(BUILTIN)
    assert "none in this copy" in call("doctor").output


def test_the_one_that_is_shipped_is_small_whole_and_says_what_it_is():
    folder = find_builtin()
    assert len(list(folder.parent.glob("*/central.json"))) == 1
    assert sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) <= MOST_BYTES
    model, card = CentralModel.load(BUILTIN), (folder / "README.md").read_text()
    assert fits_half(model.unet) and model.hash in card
    for told in ("LC25000", "c2lst publish", "samples.png", "Floor"):
        assert told in card
