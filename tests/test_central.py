import json

import numpy as np
import pytest

from c2lst.central import CentralModel, CentralSettings
from c2lst.data.stain import StainReference
from c2lst.diffusion.noise import NoiseProcess
from c2lst.errors import InputError
from toy import SHAPE, training


class Patches:
    def __init__(self, n=10):
        self.images = np.random.default_rng(0).integers(60, 250, (n, 16, 16, 3), dtype=np.uint8)

    def __len__(self):
        return len(self.images)

    def fetch(self, indices):
        return self.images[indices]

    def describe(self):
        return {"source": "noise", "patches": len(self)}


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


def test_an_interrupted_pretraining_ends_in_the_same_model(saved, tmp_path):
    import c2lst.central as central

    class Killed(BaseException):
        pass

    original = central.DenoisingObjective.__call__
    calls = iter(range(100))

    def dying(self, *arguments):
        if next(calls) == 4:
            raise Killed
        return original(self, *arguments)

    settings = CentralSettings(SHAPE, SETTINGS.process, training(checkpoint_every=2))
    arguments = {"patch_um": 112.0, "stain": StainReference.standard()}
    whole = CentralModel.pretrain(Patches(), settings, **arguments)
    central.DenoisingObjective.__call__ = dying
    try:
        with pytest.raises(Killed):
            CentralModel.pretrain(Patches(), settings, **arguments, directory=tmp_path)
    finally:
        central.DenoisingObjective.__call__ = original
    assert (tmp_path / "checkpoint-4").is_dir()
    resumed = CentralModel.pretrain(Patches(), settings, **arguments, directory=tmp_path)
    assert resumed.hash == whole.hash


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
