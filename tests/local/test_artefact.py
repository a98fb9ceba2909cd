import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from c2lst.central import CentralModel
from c2lst.diffusion.unet import build_unet
from c2lst.errors import InputError
from c2lst.local import LocalModel, SynthesisSettings
from c2lst.local.artefact import base_name
from c2lst.local.card import adapter_card
from c2lst.local.sources import Sources
from toy import SHAPE

FILES = {"adapter_config.json", "adapter_model.safetensors", "preprocessing.json", "README.md"}


@pytest.fixture
def saved(untrained, tmp_path):
    folder = tmp_path / "adapter"
    untrained.save(folder)
    return folder


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_saved_comes_back_whole(untrained, base, saved):
    assert {p.name for p in saved.iterdir()} == FILES
    loaded = LocalModel.load(saved, base)
    assert loaded.provenance == untrained.provenance
    assert loaded.preprocessing.hash == untrained.preprocessing.hash
    assert loaded.network.config == untrained.network.config and not loaded.network.training
    assert loaded.hash == untrained.hash
    for name, value in untrained.network.adapter_state().items():
        assert torch.equal(value, loaded.network.adapter_state()[name]), name


def test_it_holds_no_weight_of_the_base_and_shares_them_when_loaded(untrained, base, saved):
    state = load_file(saved / "adapter_model.safetensors")
    assert all(name.startswith(("embedding.", "modulations.")) for name in state)
    one, two = LocalModel.load(saved, base), LocalModel.load(saved, base)
    weights = [m.network.unet.conv_in.weight.data_ptr() for m in (one, two)]
    assert weights == [base.unet.conv_in.weight.data_ptr()] * 2


def test_the_configuration_names_everything(untrained, saved):
    config = json.loads((saved / "adapter_config.json").read_text())
    assert config["format"] == 2
    assert config["base_hash"] == untrained.central.hash
    assert config["genes_hash"] == untrained.preprocessing.panel.hash
    assert config["network"] == untrained.network.config
    assert config["um_per_px"] == pytest.approx(112 / 16)
    assert {"weights_hash", "c2lst", "train_hash", "settings", "kept_step"} <= set(config)
    card = (saved / "README.md").read_text()
    assert "No privacy audit" in card and "S1" in card and config["base_hash"][:12] in card


def test_the_base_is_named_but_never_its_path(untrained, tmp_path):
    untrained.save(tmp_path / "a", sources=Sources(central=tmp_path / "organ" / "breast"))
    text = (tmp_path / "a" / "adapter_config.json").read_text()
    assert json.loads(text)["base_name"] == "breast" and str(tmp_path) not in text
    assert "breast" in (tmp_path / "a" / "README.md").read_text()


def test_a_base_of_the_hub_is_named_with_the_commit_in_use(monkeypatch):
    path = "/cache/models--lab--breast/snapshots/0123abc/central.json"
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: path)
    assert base_name("lab/breast") == {"base_name": "lab/breast", "base_revision": "0123abc"}
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    assert base_name("lab/breast")["base_revision"] is None


def test_another_base_is_refused(untrained, saved):
    torch.manual_seed(9)
    other = CentralModel(build_unet(SHAPE), untrained.central.process, 112.0, None)
    edit(saved / "adapter_config.json", base_name="breast")
    with pytest.raises(InputError, match=r"central model does not match, found .*made from \(bre"):
        LocalModel.load(saved, other)


def change_weight(folder):
    path = folder / "adapter_model.safetensors"
    state = load_file(path)
    state["embedding.projection.bias"][0] += 1e-3
    save_file(state, path)


def swap_genes(folder):
    path = folder / "preprocessing.json"
    genes = json.loads(path.read_text())["genes"]
    edit(path, genes=genes[::-1])


def change_scaler(folder):
    path = folder / "preprocessing.json"
    scaler = json.loads(path.read_text())["scaler"]
    scaler["mean"][0] += 1e-9
    edit(path, scaler=scaler)


def pickle_instead(folder):
    (folder / "adapter_model.safetensors").unlink()
    (folder / "adapter_model.bin").write_bytes(pickle.dumps({}))


def pickle_inside(folder):
    (folder / "adapter_model.safetensors").write_bytes(pickle.dumps({"a": 1}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda f: edit(f / "adapter_config.json", format=1),
            "format does not match, found 1, expected 2; run c2lst adapt again",
        ),
        (swap_genes, r"preprocessing\.json: list of genes does not match, found .*, expected"),
        (change_scaler, r"preprocessing\.json: preprocessing does not match"),
        (change_weight, r"adapter_model\.safetensors: weights does not match"),
        (pickle_instead, r"adapter_model\.bin, which is not read: a pickle can run any code"),
        (pickle_inside, "is no safetensors file"),
        (lambda f: (f / "preprocessing.json").unlink(), "no such file"),
        (lambda f: shutil.rmtree(f), "no such folder, expected an adapter"),
        (
            lambda f: edit(f / "adapter_config.json", network={"n_genes": 12, "depth": 3}),
            "network cannot be built .*depth.*; use the c2lst that wrote it",
        ),
    ],
)
def test_what_was_not_written_together_is_refused(base, saved, damage, message):
    damage(saved)
    with pytest.raises(InputError, match=message):
        LocalModel.load(saved, base)


def test_adapters_are_exchanged_in_place(make_local, other_preprocessing, base, spots, tmp_path):
    """The same images as from a fresh load, also of a panel of other genes."""
    one, two = make_local(1), make_local(2, other_preprocessing)
    two.save(tmp_path / "two")
    fresh = LocalModel.load(tmp_path / "two", base)
    weights = {n: p.data_ptr() for n, p in one.network.modulations.named_parameters()}
    one.swap(tmp_path / "two")
    assert {n: p.data_ptr() for n, p in one.network.modulations.named_parameters()} == weights
    assert one.hash == fresh.hash and one.network.config == fresh.network.config
    assert one.provenance == fresh.provenance
    settings = SynthesisSettings(per_spot=1, batch_size=8)
    drawn = [model.synthesize(*spots[:2], settings) for model in (one, fresh)]
    np.testing.assert_array_equal(drawn[0].images, drawn[1].images)
    assert drawn[0].genes == other_preprocessing.panel.genes


def test_nothing_is_compiled_again_after_an_exchange(make_local, other_preprocessing, tmp_path):
    from torch._dynamo.testing import CompileCounter

    settings = SynthesisSettings(sampler="fast", batch_size=4)
    made = [make_local(seed, p) for seed, p in ((1, None), (2, None), (3, other_preprocessing))]
    for number, model in enumerate(made):
        model.save(tmp_path / str(number))
    torch._dynamo.reset()
    compiled, counter = make_local(0), CompileCounter()
    compiled.compile(backend=counter)
    images = {}
    for number, model in enumerate(made):
        compiled.swap(tmp_path / str(number))
        profiles = np.zeros((4, len(model.preprocessing.panel)), dtype=np.float32)
        images[number] = compiled.draw(profiles, [0, 1, 2, 3], settings)
        np.testing.assert_array_equal(images[number], model.draw(profiles, [0, 1, 2, 3], settings))
        if number == 0:
            compilations = counter.frame_count
    assert compilations == counter.frame_count == 1
    assert (images[0] != images[1]).any()
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 9}, "width of the network does not match, found 9, expected 8; load it"),
        ({"blocks": "down*"}, r"blocks of the network does not match, found down\*, expected \*"),
        ({"null": "base"}, "null of the network does not match, found base, expected learned"),
        ({"rank": 2}, "rank of the network does not match, found 2, expected 0"),
    ],
)
def test_an_adapter_that_is_built_otherwise_is_not_exchanged(
    make_local, tmp_path, options, message
):
    make_local(1, **options).save(tmp_path / "other")
    model = make_local(0)
    before = model.hash
    with pytest.raises(InputError, match=message):
        model.swap(tmp_path / "other")
    assert model.hash == before


def test_the_card_says_how_many_spots_decided_when_to_stop():
    stopped = {"held_out_spots": 7, "kept_step": 450, "loss_kept": 0.038, "loss_at_start": 0.04}
    config = {"format": 2, "c2lst": "1", "base_hash": "b" * 64, "section": "S", "size": 48}
    config |= {"patch_um": 112.0, "training_spots": 40}
    assert "weights of step 450 changed their denoising loss by -5.0%" in adapter_card(
        config | {"early_stop": stopped}, 250
    )
    assert "denoising loss" not in adapter_card(config | {"early_stop": None}, 250)


def test_an_adapter_that_was_audited_can_be_made_again(untrained, tmp_path):
    """The audit is of the weights that go, and must not speak for the new ones."""
    untrained.save(tmp_path / "adapter")
    (tmp_path / "adapter" / "privacy.json").write_text("{}")
    untrained.save(tmp_path / "adapter")
    assert not (tmp_path / "adapter" / "privacy.json").exists()
