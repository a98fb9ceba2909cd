"""A published encoder at work: its network, its scaling of pixels, its pooling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.devices import best_device
from c2lst.errors import InputError
from c2lst.evaluation.encoders.protocol import in_batches
from c2lst.evaluation.encoders.specs import EncoderSpec
from c2lst.evaluation.encoders.weights import CONFIG, fetch, weights_file
from c2lst.storage import hash_file, hash_strings, read_json

if TYPE_CHECKING:
    from torch import Tensor, nn

_TIMM = "pip install 'c2lst[encoders]', with the torchvision that belongs to your torch"
_CONCH = "pip install git+https://github.com/mahmoodlab/CONCH"


class PublishedEncoder:
    """Features of a published network, as its authors compute them.

    Patches are resampled to the network's input size (bicubic), scaled by its mean and standard
    deviation, and pooled as its model card says.

    Parameters
    ----------
    spec
        What it expects. Its weights are fetched unless ``spec.source`` is a folder.

    Raises
    ------
    InputError
        If a package is missing, or the files are not there, pickled or of another network.
    """

    def __init__(self, spec: EncoderSpec) -> None:
        folder = fetch(spec)
        network, self._forward = _LOADERS[spec.library](spec, folder)
        device = best_device()
        self._network, self._device = network.eval().requires_grad_(False).to(device), device
        self.spec, self.name, self.label = spec, spec.name, spec.label
        how = {key: value for key, value in asdict(spec).items() if key in _DECISIVE}
        files = [weights_file(folder), *filter(Path.is_file, [folder / CONFIG])]
        self.identity = hash_strings([*map(hash_file, files), repr(sorted(how.items()))])

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Return float32 features ``(n, d)`` of uint8 RGB patches ``(n, S, S, 3)``."""
        features = in_batches(images, self._pooled, self.name)
        _check_width(self.spec, features.shape[1])
        return features

    def _pooled(self, pixels: Tensor) -> Tensor:
        import torch
        from torch.nn.functional import interpolate

        spec = self.spec
        size = (spec.size, spec.size)
        resampled = interpolate(pixels, size=size, mode="bicubic", antialias=True).clamp(0, 255)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (spec.mean, spec.std))
        found = self._forward(self._network, ((resampled / 255 - mean) / std).to(self._device))
        if found.ndim == 4:  # a map of features: channels first
            return found.mean(dim=(2, 3))
        if spec.pooling == "own":
            return found
        if spec.pooling == "class":
            return found[:, 0]
        return torch.cat([found[:, 0], found[:, spec.prefix :].mean(dim=1)], dim=1)


_DECISIVE = ("library", "size", "pooling", "mean", "std", "prefix", "options", "gated_mlp")
"""Fields of a spec that change its features."""

Loaded = tuple["nn.Module", Callable[[Any, "Tensor"], "Tensor"]]


def _timm(spec: EncoderSpec, folder: Path) -> Loaded:
    """Build a timm network from its ``config.json`` and fill it."""
    try:
        import timm  # type: ignore[import-not-found]
    except (ImportError, RuntimeError) as error:  # torchvision of another torch: RuntimeError
        raise _missing(spec, "timm", _TIMM) from error
    import torch

    config = read_json(folder / CONFIG, required=("architecture",))
    options = {**config.get("model_args", {}), **spec.options, "num_classes": 0}
    if spec.gated_mlp:
        options |= {"mlp_layer": timm.layers.SwiGLUPacked, "act_layer": torch.nn.SiLU}
    network = timm.create_model(config["architecture"], pretrained=False, **options)
    _fill(network, folder)
    if spec.pooling == "own":
        return network, lambda model, pixels: model(pixels)
    return network, lambda model, pixels: model.forward_features(pixels)


def _transformers(spec: EncoderSpec, folder: Path) -> Loaded:
    """Load a vision transformer of transformers, which needs no torchvision for it."""
    from transformers import AutoConfig, AutoModel

    weights_file(folder)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if spec.pooling == "class":
        _check_width(spec, getattr(config, "hidden_size", spec.width))
    # A pooler that is not in the file would be random; the class token comes before it.
    unpooled = {"add_pooling_layer": False} if config.model_type in ("vit", "deit") else {}
    network = AutoModel.from_pretrained(
        folder, config=config, local_files_only=True, use_safetensors=True, **unpooled
    )
    return network, lambda model, pixels: model(pixel_values=pixels).last_hidden_state


def _conch(spec: EncoderSpec, folder: Path) -> Loaded:
    """Build CONCH by its authors' package and fill it; features before the contrastive head."""
    try:
        from conch.open_clip_custom import factory  # type: ignore[import-not-found]
    except (ImportError, RuntimeError) as error:
        raise _missing(spec, "conch", _CONCH) from error
    # Its own create_model reads pickles; images need the image tower alone.
    config = read_json(factory.CFG_DIR / "conch_ViT-B-16.json", required=("vision_cfg",))
    config.pop("custom_text", None)
    network = factory.CoCa(**config)
    _fill(network, folder, needed="visual.")
    return network, lambda model, pixels: model.encode_image(
        pixels, proj_contrast=False, normalize=False
    )


_LOADERS: Mapping[str, Callable[[EncoderSpec, Path], Loaded]] = {
    "timm": _timm,
    "transformers": _transformers,
    "conch": _conch,
}


def _check_width(spec: EncoderSpec, width: int) -> None:
    """Refuse another network under the name of a published one."""
    if spec.width not in (0, width):
        raise InputError(
            spec.source, f"is not {spec.name}: features of another length",
            found=width, expected=spec.width,
        )  # fmt: skip


def _fill(network: nn.Module, folder: Path, needed: str = "") -> None:
    """Load weights; the file may have more (a classifier), but nothing needed may be missing."""
    from safetensors.torch import load_file

    path = weights_file(folder)
    try:
        lacking = network.load_state_dict(load_file(path), strict=False).missing_keys
    except Exception as error:  # a damaged file, or shapes of another network
        raise InputError(
            path, "are not the weights of this network", found=str(error).splitlines()[0]
        ) from error
    missing = [name for name in lacking if name.startswith(needed)]
    if missing:
        raise InputError(path, "lacks weights of this network", found=f"no {missing[0]}")


def _missing(spec: EncoderSpec, package: str, remedy: str) -> InputError:
    return InputError("encoder", f"{spec.name} needs {package}, which is not here", remedy=remedy)
