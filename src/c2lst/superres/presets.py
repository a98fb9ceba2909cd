"""Named settings of super-resolution, and how they are changed."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.options import TrainSettings
from c2lst.errors import InputError
from c2lst.superres.settings import Components, SuperresSettings

_TINY = TrainSettings(
    steps=800, batch_size=8, learning_rate=8e-4, weight_decay=1e-5, schedule="cosine",
    ema_decay=0.998, checkpoint_every=100,
)  # fmt: skip
_PAPER = TrainSettings(
    steps=25_000, batch_size=8, learning_rate=1e-4, weight_decay=1e-5, ema_decay=0.9999,
    precision="bf16", checkpoint_every=500,
)  # fmt: skip

PRESETS = {
    "tiny": SuperresSettings(
        training=_TINY,
        regression=replace(_TINY, steps=400),
        process=NoiseProcess(steps=1000, schedule="linear", prediction="v_prediction"),
        scale=5,
        lr_size=8,
        width=32,
        groups=8,
        image_px=4,
        distance="squared",
        residual=True,
    ),
    "paper": SuperresSettings(
        training=_PAPER, regression=replace(_PAPER, steps=10_000), checkpointing=True
    ),
}
"""``paper`` is the published network; ``tiny`` is ours, for a CPU."""


def load_settings(preset: str = "tiny", **changes: Any) -> SuperresSettings:
    """Return a preset with some of its settings changed; ``None`` keeps the preset's.

    Parameters
    ----------
    preset
        ``tiny`` or ``paper``.
    changes
        Settings, or ``steps``, ``batch_size``, ``learning_rate``, ``seed``, ``precision`` of both
        trainings; ``with_regression``; or ``ablate``, names of ``ABLATIONS``.

    Raises
    ------
    InputError
        If there is no such preset, or a value is out of range.
    """
    if preset not in PRESETS:
        raise InputError("--preset", "unknown name", found=preset, expected=" or ".join(PRESETS))
    settings = PRESETS[preset]
    given = {name: value for name, value in changes.items() if value is not None}
    ablate = given.pop("ablate", ())
    if (rate := given.get("learning_rate", 1.0)) <= 0:
        raise InputError("--learning-rate", "value", found=rate, expected="above 0")
    of_training = {f.name for f in fields(TrainSettings)} & given.keys()
    trained = {name: given.pop(name) for name in of_training}
    regression = settings.regression if given.pop("with_regression", True) else None
    if regression is not None:
        regression = replace(regression, **trained)
    return replace(
        settings,
        training=replace(settings.training, **trained),
        regression=regression,
        components=Components.without(ablate),
        **given,
    )
