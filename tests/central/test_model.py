import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from c2lst.central import CentralModel, CentralSettings
from c2lst.central.continuing import bind_to_objective
from c2lst.central.pretraining import DenoisingObjective, PatchSamples
from c2lst.data.stain import StainJitter, StainReference
from c2lst.diffusion.draws import Draws
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.summary import cost_per_image
from c2lst.diffusion.unet import UNetShape, build_unet
from c2lst.errors import InputError
from toy import SHAPE, training
from toy_sections import toy_section


class Patches:
    def __init__(self, n=10):
        self.images = np.random.default_rng(0).integers(60, 250, (n, 16, 16, 3), dtype=np.uint8)

    def __len__(self):
        return len(self.images)

    def fetch(self, indices):
        return self.images[indices]

    def describe(self):
        return {"source": "noise", "patches": len(self)}


class Copies(Patches):
    """Some given patches."""

    def __init__(self, images):
        self.images = images


SETTINGS = CentralSettings(SHAPE, NoiseProcess(prediction="v_prediction"), training())


def pretrain(patches=None, **options):
    stain = StainReference.standard()
    return CentralModel.pretrain(
        Patches() if patches is None else patches, SETTINGS, patch_um=112.0, stain=stain, **options
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = pretrain()
    path = tmp_path_factory.mktemp("central") / "model"
    model.save(path)
    return model, path


def test_a_saved_model_comes_back_whole(saved):
    model, path = saved
    loaded = CentralModel.load(path)
    assert loaded.hash == model.hash
    assert (loaded.size, loaded.patch_um, loaded.process) == (16, 112.0, model.process)
    assert loaded.stain.same_as(model.stain)
    np.testing.assert_array_equal(loaded.sample(2, seed=3), model.sample(2, seed=3))


def test_diffusers_opens_it_as_it_is(saved):
    from diffusers import DDPMPipeline

    _, path = saved
    pipeline = DDPMPipeline.from_pretrained(path)
    assert pipeline.unet.config.sample_size == 16
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    assert not list(path.rglob("*.bin"))


def test_the_same_seed_trains_the_same_model(saved):
    assert pretrain().hash == saved[0].hash


def test_a_training_goes_on_from_another_model_and_leaves_that_one_alone(saved):
    first, before = saved[0], saved[0].hash
    further = pretrain(start=first)
    del first.__dict__["hash"]  # not from memory: from its weights as they are now
    assert first.hash == before
    assert further.provenance["started_from"]["hash"] == before
    assert further.hash not in (before, pretrain().hash)
    weights = [dict(model.unet.named_parameters()) for model in (first, further)]
    # Seven more updates stay near where they started, far from a fresh start.
    fresh = dict(pretrain().unet.named_parameters())
    near = sum((weights[0][n] - weights[1][n]).square().sum() for n in fresh)
    assert 0 < near < sum(w.square().sum() for w in fresh.values()) / 10


def test_going_on_needs_patches_of_the_same_side_and_colour(saved):
    stain = StainReference.standard()
    with pytest.raises(InputError, match="side in µm"):
        CentralModel.pretrain(Patches(), SETTINGS, patch_um=56.0, stain=stain, start=saved[0])
    other = StainReference.typical(Patches().images)
    with pytest.raises(InputError, match="another stain reference"):
        CentralModel.pretrain(Patches(), SETTINGS, patch_um=112.0, stain=other, start=saved[0])


def test_an_interrupted_training_is_not_mixed_with_one_of_another_start(saved, tmp_path):
    pretrain(directory=tmp_path)
    with pytest.raises(InputError, match="started from another model"):
        pretrain(directory=tmp_path, start=saved[0])


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"process": NoiseProcess()}, "another process.prediction"),
        ({"shape": replace(SHAPE, widths=(8, 8))}, "another widths"),
        ({"stain_jitter": 0.1}, "another stain_jitter"),
    ],
)
def test_an_interrupted_training_is_not_mixed_with_another(tmp_path, changed, message):
    arguments = {"patch_um": 112.0, "stain": StainReference.standard(), "directory": tmp_path}
    bind_to_objective(tmp_path, SETTINGS)
    (tmp_path / "checkpoint-2").mkdir()
    with pytest.raises(InputError, match=message):
        CentralModel.pretrain(Patches(), replace(SETTINGS, **changed), **arguments)
    bind_to_objective(tmp_path, replace(SETTINGS, training=training(checkpoint_every=1)))
    (tmp_path / "checkpoint-2").rmdir()
    bind_to_objective(tmp_path, replace(SETTINGS, **changed))


def test_an_interrupted_pretraining_ends_in_the_same_model(saved, tmp_path):
    from c2lst.central import pretraining

    class Killed(BaseException):
        pass

    original = pretraining.DenoisingObjective.__call__
    # The first call counts what an image costs.
    calls = iter(range(-1, 100))

    def dying(self, *arguments):
        if next(calls) == 4:
            raise Killed
        return original(self, *arguments)

    settings = CentralSettings(SHAPE, SETTINGS.process, training(checkpoint_every=2))
    arguments = {"patch_um": 112.0, "stain": StainReference.standard()}
    whole = CentralModel.pretrain(Patches(), settings, **arguments)
    pretraining.DenoisingObjective.__call__ = dying
    try:
        with pytest.raises(Killed):
            CentralModel.pretrain(Patches(), settings, **arguments, directory=tmp_path)
    finally:
        pretraining.DenoisingObjective.__call__ = original
    assert (tmp_path / "checkpoint-4").is_dir()
    resumed = CentralModel.pretrain(Patches(), settings, **arguments, directory=tmp_path)
    assert resumed.hash == whole.hash


def test_a_section_whose_patches_were_trained_on_is_known_again(saved, caplog):
    tissue = toy_section("seen", 3)
    model = pretrain(Copies(tissue.patches[:]))
    model.warn_if_seen(tissue)
    assert f"of {len(tissue)} spots were among the training patches" in caplog.text
    caplog.clear()
    saved[0].warn_if_seen(tissue)
    assert not caplog.text


def test_what_was_seen_is_kept_by_the_file_and_by_a_model_that_goes_on(saved, tmp_path):
    tissue = toy_section("seen", 3)
    seen = pretrain(Copies(tissue.patches[:]))
    seen.save(tmp_path / "seen")
    seen = CentralModel.load(tmp_path / "seen")
    later = pretrain(start=seen)
    for model in (seen, later):
        assert model.sketch.copies_in(tissue) > 0
    assert set(later.sketch.hashes) >= set(saved[0].sketch.hashes)


@pytest.mark.parametrize("width", ["112", None, 0, -112.0])
def test_a_width_that_no_patch_has_is_refused(saved, tmp_path, width):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(saved[1], copy)
    card = json.loads((copy / "central.json").read_text()) | {"patch_um": width}
    (copy / "central.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match=r"central\.json: patch_um, found .* a number above 0"):
        CentralModel.load(copy)


def test_changed_weights_are_noticed(saved, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(saved[1], copy)
    card = json.loads((copy / "central.json").read_text())
    card["hash"] = "0" * 64
    (copy / "central.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="weights are not those"):
        CentralModel.load(copy)
    (copy / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"x")
    with pytest.raises(InputError, match="safetensors"):
        CentralModel.load(copy)


def test_what_is_no_central_model_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        CentralModel.load(tmp_path / "absent")
    with pytest.raises(InputError, match=r"central\.json"):
        CentralModel.load(tmp_path)
    with pytest.raises(InputError, match="no patches"):
        pretrain(Patches(0))


def test_images_do_not_depend_on_the_batch_or_on_who_draws_them(saved):
    model, _ = saved
    together = model.sample(5, seed=3)
    shared = np.empty_like(together)
    shared[0::2] = model.sample(range(0, 5, 2), seed=3, batch_size=2)
    shared[1::2] = model.sample(range(1, 5, 2), seed=3, batch_size=1)
    # Sums in half width are rounded by their order: at most one level of 255.
    assert np.abs(shared.astype(int) - together).max() <= 1
    assert np.abs(together[0].astype(int) - together[1]).max() > 10
    assert np.abs(model.sample(1, seed=4)[0].astype(int) - together[0]).max() > 10


@pytest.fixture(scope="module")
def published(saved, tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "model"
    model = CentralModel.load(saved[1])
    model.provenance["watched"] = {
        "step": 6,
        "images": 8,
        "sampler": "fast",
        "features": "random features",
        "kernel_distance": {"value": 0.0123, "low": 0.01, "high": 0.02, "n": [8, 9]},
        "real_vs_real": {"value": 0.0001, "low": -0.01, "high": 0.01, "n": [8, 9]},
    }
    model.publish(path, licence="cc-by-nc-4.0")
    return path


def test_what_is_published_is_open_to_diffusers_and_to_us(published, saved):
    from diffusers import DDPMPipeline

    pipeline = DDPMPipeline.from_pretrained(published)
    images = pipeline(batch_size=1, num_inference_steps=2, output_type="np").images
    assert images.shape == (1, 16, 16, 3)
    assert CentralModel.load(published).hash == saved[0].hash
    suffixes = {p.suffix for p in published.rglob("*") if p.is_file()}
    assert suffixes == {".json", ".safetensors", ".md", ".png"}


def test_the_card_says_what_a_user_must_know(published, saved):
    card = (published / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: diffusers\n")
    for told in (
        "license: cc-by-nc-4.0",
        "![Samples](samples.png)",
        "noise",  # where the patches are from
        "velocity",
        "Optimiser steps: 6",
        "12.30 (10.00 to 20.00)",
        "Floor",
        "not for diagnosis",
        saved[0].hash,
    ):
        assert told in card
    unknown = (saved[1] / "README.md").read_text()
    assert "license:" not in unknown.split("---")[1]
    assert "Not measured" in unknown and "![Samples]" not in unknown


def test_publishing_leaves_the_model_as_it_was(published, saved):
    assert CentralModel.load(saved[1]).provenance["patches"].get("licence") is None


@pytest.fixture
def copy(saved, tmp_path):
    import shutil

    return Path(shutil.copytree(saved[1], tmp_path / "copy"))


def change_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_pickled_weights_are_refused_by_name(copy):
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(InputError, match=r"diffusion_pytorch_model\.bin.*pickle"):
        CentralModel.load(copy)


def test_a_configuration_of_another_network_is_refused(copy):
    config = copy / "unet" / "config.json"
    change_json(config, block_out_channels=[8, 32])
    with pytest.raises(InputError, match=r"of another shape|unexpected|missing"):
        CentralModel.load(copy)
    change_json(config, block_out_channels=[8, 16], down_block_types=["NoBlock", "NoBlock"])
    with pytest.raises(InputError, match="describes no U-Net"):
        CentralModel.load(copy)


def test_an_unknown_noise_process_is_refused(copy):
    change_json(copy / "central.json", process={"steps": 1000, "colour": "pink"})
    with pytest.raises(InputError, match="colour"):
        CentralModel.load(copy)


def test_an_id_on_the_hub_is_downloaded(saved, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(saved[1]))
    assert CentralModel.load("lab/skin").hash == saved[0].hash


def test_a_watched_training_keeps_its_last_look_and_is_the_same_model(saved, tmp_path):
    from c2lst.central.monitor import HeldOut, WatchSettings

    model = pretrain(
        directory=tmp_path,
        watch=WatchSettings(times=2, images=4, encoder="random"),
        held_out=HeldOut(Patches(6)),
    )
    assert model.hash == saved[0].hash
    assert model.provenance["watched"]["step"] == 6
    assert len(list((tmp_path / "samples").glob("*.png"))) == 2
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert sum("kernel_distance" in line for line in log) == 2
    model.save(tmp_path / "model", training=tmp_path)
    assert (tmp_path / "model" / "log.jsonl").is_file()


def test_stain_jitter_and_turns_reach_the_network():
    seen = []

    class Network:
        def __call__(self, noisy, timesteps):
            seen.append(noisy)
            return type("Output", (), {"sample": torch.zeros_like(noisy)})

    images = {"images": torch.from_numpy(Patches(8).images)}
    for options in (
        {"dihedral": False},
        {"dihedral": True},
        {"dihedral": False, "jitter": StainJitter(StainReference.standard(), 0.2)},
    ):
        objective = DenoisingObjective(SETTINGS.process, **options)
        objective(Network(), images, Draws(0, 0, range(8)))
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


def test_windows_are_parts_of_the_patches_in_their_share_of_the_steps():
    sides = []

    class Network:
        def __call__(self, noisy, timesteps):
            sides.append(noisy.shape[-1])
            return type("Output", (), {"sample": torch.zeros_like(noisy)})

    patches = Patches(4)
    objective = DenoisingObjective(SETTINGS.process, windows=0.5)
    for step in range(60):
        loss = objective(
            Network(), {"images": torch.from_numpy(patches.images)}, Draws(0, step, range(4))
        )
        assert loss.shape == (4,)
    full = patches.images.shape[1]
    assert set(sides) == {full, full // 2}
    assert 15 < sides.count(full) < 45


def test_windows_that_the_network_cannot_halve_are_refused():
    with pytest.raises(InputError, match="size"):
        replace(SETTINGS, shape=UNetShape(4, (8, 16, 16), 1, 4), windows=0.5)
    with pytest.raises(InputError, match="windows"):
        replace(SETTINGS, windows=1.0)


def test_the_cost_that_is_told_is_the_mean_over_windows_and_whole_patches():
    unet, patches = build_unet(SHAPE), PatchSamples(Patches(2))

    def cost(windows):
        objective = DenoisingObjective(SETTINGS.process, windows=windows)
        return cost_per_image(unet, objective, patches, SETTINGS.training, torch.device("cpu"))

    assert cost(0.8) == pytest.approx(0.4 * cost(0.0))
