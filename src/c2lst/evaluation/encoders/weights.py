"""Weights and configuration of a published encoder: fetched or local, and never a pickle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from c2lst.errors import InputError
from c2lst.evaluation.encoders.specs import EncoderSpec
from c2lst.storage import read_json

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
_PICKLED = (".bin", ".pt", ".pth", ".ckpt")
_CONVERT = (
    'convert them once where you trust them: python -c "import torch, safetensors.torch as s; '
    "s.save_file(torch.load('pytorch_model.bin', map_location='cpu', weights_only=True), "
    "'model.safetensors')\""
)


def weights_file(folder: Path) -> Path:
    """Return the one safetensors file of a folder.

    Raises
    ------
    InputError
        If there is none, or there are several.
    """
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return found[0]
    pickled = [path.name for path in sorted(folder.glob("*")) if path.suffix in _PICKLED]
    if not found and pickled:
        raise InputError(
            folder,
            "has pickled weights, which can run any code when they are read",
            found=pickled[0],
            expected="model.safetensors",
            remedy=_CONVERT,
        )
    raise InputError(
        folder, "has not one file of weights",
        found=", ".join(path.name for path in found) or "none", expected="model.safetensors",
    )  # fmt: skip


def fetch(spec: EncoderSpec) -> Path:
    """Return the folder of a spec's files: its local one, or a download into the hub's cache.

    Raises
    ------
    InputError
        If the hub does not give them.
    """
    if Path(spec.source).is_dir():
        return Path(spec.source)
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(spec.source, allow_patterns=["*.json", "*.safetensors"])
    except Exception as error:  # the library's errors change from version to version
        raise InputError(
            spec.page,
            f"cannot be fetched ({type(error).__name__})",
            remedy=f"{spec.access}; or give a local folder of its files as {spec.name}=FOLDER",
        ) from error
    if not list(Path(folder).glob("*.safetensors")):
        raise InputError(
            spec.page,
            "offers no safetensors, and pickled weights are not read",
            remedy=f"download {CONFIG} and the weights, {_CONVERT}, "
            f"then give the folder as {spec.name}=FOLDER",
        )
    return Path(folder)


def spec_of_folder(folder: Path) -> EncoderSpec:
    """Describe a network of timm or transformers by its configuration.

    Raises
    ------
    InputError
        If the configuration is neither's.
    """
    config = read_json(folder / CONFIG)
    spec = EncoderSpec(folder.name, f"features of {folder.name}", str(folder), "timm")
    if "architecture" in config:
        return configured(spec, config)
    if "model_type" in config:
        spec = replace(spec, library="transformers", pooling="class")
        return replace(spec, size=int(config.get("image_size", spec.size)), **_scaling(folder))
    raise InputError(
        folder / CONFIG, "names no network", expected="'architecture' (timm) or 'model_type'"
    )


def configured(spec: EncoderSpec, config: dict[str, Any]) -> EncoderSpec:
    """Take input size and scaling from the configuration of a timm network."""
    stated = config.get("pretrained_cfg", config)
    size = stated.get("input_size", (3, spec.size, spec.size))[-1]
    mean, std = (tuple(stated.get(key, getattr(spec, key))) for key in ("mean", "std"))
    return replace(spec, size=int(size), mean=mean, std=std)


def _scaling(folder: Path) -> dict[str, Any]:
    """Mean and standard deviation that a transformers network was trained with."""
    if not (folder / PROCESSOR).is_file():
        return {}
    stated = read_json(folder / PROCESSOR)
    names = {"mean": "image_mean", "std": "image_std"}
    return {key: tuple(stated[name]) for key, name in names.items() if name in stated}
