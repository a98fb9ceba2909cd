"""Published encoders: the whole path, with tiny random networks in place of their weights."""

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch

from c2lst.errors import InputError
from c2lst.evaluation.encoders import PUBLISHED, get_encoder
from c2lst.evaluation.encoders.specs import IMAGENET_MEAN, IMAGENET_STD


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setenv("C2LST_FEATURES", "")


def images(n=3, size=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def shape(**more):
    return {
        "hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32,
        "patch_size": 8, **more,
    }  # fmt: skip


def saved(folder, kind="vit"):
    """A random vision transformer as Phikon's are stored, and the network itself."""
    from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

    torch.manual_seed(0)
    network = (
        ViTModel(ViTConfig(**shape(intermediate_size=16)), add_pooling_layer=False)
        if kind == "vit"
        else Dinov2Model(Dinov2Config(**shape(mlp_ratio=2)))
    )
    network.save_pretrained(folder, safe_serialization=True)
    return network.eval()


def by_hand(network, patches, size, mean=IMAGENET_MEAN, std=IMAGENET_STD):
    pixels = torch.from_numpy(patches).permute(0, 3, 1, 2).float()
    pixels = torch.nn.functional.interpolate(
        pixels, size=(size, size), mode="bicubic", antialias=True
    ).clamp(0, 255)
    scaled = (pixels / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    with torch.no_grad():
        return network(scaled)


@pytest.mark.parametrize("kind", ["vit", "dinov2"])
def test_a_folder_of_transformers_gives_its_class_token(tmp_path, kind):
    network = saved(tmp_path, kind)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.7, 0.6, 0.7], "image_std": [0.2, 0.2, 0.3]})
    )
    encoder = get_encoder(str(tmp_path))
    found = encoder.encode(images())
    wanted = by_hand(network, images(), 32, (0.7, 0.6, 0.7), (0.2, 0.2, 0.3))
    np.testing.assert_allclose(found, wanted.last_hidden_state[:, 0].numpy(), atol=1e-5)
    assert found.dtype == np.float32 and tmp_path.name in encoder.label


def test_features_are_kept_under_the_weights_and_not_under_the_folders_name(tmp_path):
    saved(tmp_path / "a")
    saved(tmp_path / "b", "dinov2")
    first = get_encoder(str(tmp_path / "a"), cache=tmp_path / "kept")
    features = first.encode(images())
    (tmp_path / "a").rename(tmp_path / "moved")
    moved = get_encoder(str(tmp_path / "moved"), cache=tmp_path / "kept")
    other = get_encoder(str(tmp_path / "b"), cache=tmp_path / "kept")
    assert moved.identity == first.identity != other.identity
    np.testing.assert_array_equal(moved.encode(images()), features)
    assert len(list((tmp_path / "kept").rglob("*.safetensors"))) == 1


def test_features_are_not_those_of_the_same_weights_in_another_network(tmp_path):
    saved(tmp_path)
    first = get_encoder(str(tmp_path)).identity
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"layer_norm_eps": 0.1}))
    assert get_encoder(str(tmp_path)).identity != first


def test_weights_of_another_network_are_refused_by_the_length_of_their_features(tmp_path):
    saved(tmp_path)
    with pytest.raises(InputError, match=r"is not phikon.*found 12, expected 768"):
        get_encoder(f"phikon={tmp_path}").encode(images(1, 16))


def test_pickled_weights_are_refused_with_the_way_to_convert_them(tmp_path):
    saved(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pickled weights.*pytorch_model.bin.*weights_only=True"):
        get_encoder(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "named"),
    [("phikon=/nowhere", "is no folder"), ("uni=/nowhere", "MahmoodLab/UNI")],
)
def test_a_folder_that_is_not_there_is_named(name, named):
    with pytest.raises(InputError, match=named):
        get_encoder(name)


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="names no network"):
        get_encoder(str(tmp_path))


def test_a_hub_that_gives_nothing_is_one_line(monkeypatch):
    import huggingface_hub

    def refuse(*args, **kwargs):
        raise OSError("no way there")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(InputError, match=r"MahmoodLab/UNI2-h.*hf auth login.*uni2=FOLDER"):
        get_encoder("uni2")


class Tokens(torch.nn.Module):
    """A stand-in for timm's vision transformer: a class token, registers, patch tokens."""

    def __init__(self, prefix, width):
        super().__init__()
        self.patch = torch.nn.Conv2d(3, width, 16, 16)
        self.extra = torch.nn.Parameter(torch.randn(1, prefix, width))

    def forward_features(self, pixels):
        patches = self.patch(pixels).flatten(2).transpose(1, 2)
        shown = self.extra + patches.mean(dim=1, keepdim=True)
        return torch.cat([shown, patches], dim=1)

    def forward(self, pixels):
        return self.forward_features(pixels)[:, 0]


@pytest.fixture
def timm(monkeypatch):
    """A mock of timm; ``asked`` says what it was asked to build."""
    module = types.ModuleType("timm")
    module.layers = types.SimpleNamespace(SwiGLUPacked="gated")
    module.asked = []

    def create_model(architecture, *, pretrained, **options):
        module.asked.append((architecture, pretrained, options))
        return Tokens(1 + options.get("reg_tokens", 0), options["embed_dim"])

    module.create_model = create_model
    monkeypatch.setitem(sys.modules, "timm", module)
    return module


def stored(folder, *, prefix, width, **config):
    from safetensors.torch import save_file

    torch.manual_seed(1)
    network = Tokens(prefix, width)
    folder.mkdir(exist_ok=True)
    save_file(network.state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"architecture": "vit_any", **config}))
    return network


def test_a_timm_network_is_built_empty_and_filled_from_safetensors(tmp_path, timm, monkeypatch):
    import huggingface_hub

    network = stored(
        tmp_path, prefix=1, width=6, model_args={"embed_dim": 6},
        pretrained_cfg={"input_size": [3, 64, 64], "mean": [0.5] * 3, "std": [0.5] * 3},
    )  # fmt: skip
    asked = []

    def download(source, **kwargs):
        asked.append((source, kwargs["allow_patterns"]))
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    found = get_encoder("timm:vit_any.in1k").encode(images())
    wanted = by_hand(network, images(), 64, (0.5,) * 3, (0.5,) * 3)
    np.testing.assert_allclose(found, wanted.numpy(), atol=1e-5)
    assert timm.asked == [("vit_any", False, {"embed_dim": 6, "num_classes": 0})]
    assert asked == [("timm/vit_any.in1k", ["*.json", "*.safetensors"])]


def test_virchow2_is_its_class_token_beside_the_mean_of_its_patches(tmp_path, timm):
    network = stored(
        tmp_path, prefix=5, width=1280, model_args={"embed_dim": 1280, "reg_tokens": 4}
    )
    found = get_encoder(f"virchow2={tmp_path}").encode(images(2))
    tokens = by_hand(network.forward_features, images(2), 224)
    wanted = torch.cat([tokens[:, 0], tokens[:, 5:].mean(dim=1)], dim=1)
    np.testing.assert_allclose(found, wanted.detach().numpy(), atol=1e-4)
    assert timm.asked[0][2]["mlp_layer"] == "gated"


def test_uni2_is_built_as_its_authors_say(tmp_path, timm):
    stored(tmp_path, prefix=9, width=1536)
    get_encoder(f"uni2={tmp_path}")
    options = timm.asked[0][2]
    assert (options["depth"], options["reg_tokens"], options["num_classes"]) == (24, 8, 0)
    assert options["mlp_layer"] == "gated" and options["act_layer"] is torch.nn.SiLU


@pytest.mark.parametrize(("prefix", "named"), [(2, "not the weights"), (1, "lacks weights")])
def test_weights_that_do_not_fit_are_refused(tmp_path, timm, prefix, named):
    from safetensors.torch import load_file, save_file

    stored(tmp_path, prefix=prefix, width=6, model_args={"embed_dim": 6})
    path = tmp_path / "model.safetensors"
    if prefix == 1:
        kept = {k: v for k, v in load_file(path).items() if k != "extra"}
        save_file(kept, path)
    with pytest.raises(InputError, match=named):
        get_encoder(str(tmp_path))


def test_without_timm_the_extra_is_named(tmp_path, monkeypatch):
    stored(tmp_path, prefix=1, width=6)
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"needs timm.*c2lst\[encoders\]"):
        get_encoder(f"h-optimus-0={tmp_path}")


def test_conch_goes_through_its_authors_package(tmp_path, monkeypatch):
    from safetensors.torch import load_file, save_file

    class Conch(Tokens):
        def encode_image(self, pixels, *, proj_contrast, normalize):
            assert not proj_contrast and not normalize and pixels.shape[-1] == 448
            return self.forward(pixels)

    class CoCa(torch.nn.Module):
        """As the authors' class: an image tower, and text parts that are not published."""

        def __init__(self, vision_cfg):
            super().__init__()
            self.visual, self.text_decoder = Conch(1, vision_cfg["width"]), torch.nn.Linear(2, 2)
            self.encode_image = self.visual.encode_image

    stored(tmp_path, prefix=1, width=512)
    path = tmp_path / "model.safetensors"
    save_file({f"visual.{key}": value for key, value in load_file(path).items()}, path)
    (tmp_path / "conch_ViT-B-16.json").write_text(
        json.dumps({"vision_cfg": {"width": 512}, "custom_text": True})
    )
    module = types.ModuleType("conch.open_clip_custom")
    module.factory = types.SimpleNamespace(CFG_DIR=tmp_path, CoCa=CoCa)
    monkeypatch.setitem(sys.modules, "conch", types.ModuleType("conch"))
    monkeypatch.setitem(sys.modules, "conch.open_clip_custom", module)
    encoder = get_encoder(f"conch={tmp_path}")
    assert encoder.encode(images(2)).shape == (2, 512) and "CONCH" in encoder.label


def test_every_published_encoder_states_its_terms():
    for name, spec in PUBLISHED.items():
        assert name == spec.name and spec.width and spec.citation and spec.page.count("/") == 4
        assert "see" not in spec.licence
        assert spec.pooling != "class and mean" or spec.width % 2 == 0


def test_the_page_states_the_same_terms():
    page = (Path(__file__).parents[2] / "docs" / "generators.md").read_text(encoding="utf-8")
    rows = {row.split("`")[1]: row for row in page.splitlines() if row.startswith("| `")}
    for name, spec in PUBLISHED.items():
        assert f"| {spec.licence} |" in rows[name]
        assert f"| {spec.width:,}" in rows[name] and f"| {spec.size} px |" in rows[name]
