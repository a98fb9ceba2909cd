"""What work depends on: which settings shaped what is shared, and which a cell rests on.

Shared work is kept for as long as the settings that shape it stay the same; those of the predictor
are not among them. A cell carries the hash of all that it rests on in its folder's name: cells of
other settings are kept apart, and never stand in one table.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from c2lst.storage import hash_strings

if TYPE_CHECKING:
    from c2lst.prediction.options import PredictorSettings
    from c2lst.settings import RunSettings
    from c2lst.study.grid import Cell

CELL_FORMAT = 2
"""To be raised when the same settings come to mean something else in a cell."""

SHAPED_BY: Mapping[str, tuple[str, ...]] = {
    "split": ("fraction", "scheme", "seed"),
    "fit": ("genes", "patch_um"),
    "central": ("central", "slide_tissue", "slide_steps"),
    "features": ("slide_steps",),
    "adapt": ("slide_steps", "adapter"),
    "synthesize": ("synthesis",),
    "unconditional": ("synthesis",),
}
"""Stage of the shared work to the settings of a run that shape it."""

_FREE = ("synthesis.per_spot", "synthesis.batch_size")
"""Of the synthesis: how large the pool is, which can grow, and what only memory depends on."""


def differences(
    stages: Mapping[str, Any], before: Mapping[str, Any], settings: RunSettings
) -> Iterator[tuple[str, object, object]]:
    """Yield name, old and new value of every setting that would shape finished stages differently.

    Parameters
    ----------
    stages
        Names of the stages that are done.
    before
        The settings that they were done with, as of a manifest. What they do not name was not yet
        known when they were written, and is taken to have been at its default.
    settings
        Those that are asked for now.
    """
    for name in dict.fromkeys(name for stage in stages for name in SHAPED_BY.get(stage, ())):
        yield from _compared(name, before, settings)


def _compared(
    name: str, before: Mapping[str, Any], settings: Any, path: str = ""
) -> Iterator[tuple[str, object, object]]:
    new, full = getattr(settings, name), f"{path}{name}"
    if full in _FREE:
        return
    if dataclasses.is_dataclass(new):
        for field in dataclasses.fields(new):
            yield from _compared(field.name, before.get(name) or {}, new, f"{full}.")
        return
    old = before[name] if name in before else _default(settings, name)
    if _plain(old) != _plain(new):
        yield full, old, new


def _default(settings: Any, name: str) -> object:
    field = next(f for f in dataclasses.fields(settings) if f.name == name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _plain(value: Any) -> Any:
    """Write a value as JSON has it: tuples are lists, dataclasses are objects."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    return json.loads(json.dumps(value, default=str))


def cell_key(
    cell: Cell,
    settings: RunSettings,
    prediction: PredictorSettings,
    central: str | None,
    encoder: str = "",
) -> str:
    """Hash all that a cell rests on.

    Parameters
    ----------
    cell
        Split and arm.
    settings
        Of the run that the split stands for.
    prediction
        Of the arm's predictor.
    central
        Hash of the central model that is given; None where each split pretrains its own.
    encoder
        Identity of the encoder of frozen networks.
    """
    from c2lst.prediction.advice import RULE
    from c2lst.prediction.options import FROZEN
    from c2lst.study.arms import needs_pool
    from c2lst.study.grid import ADVISED

    stages = ["split", "fit", "features"]
    if central is None or settings.slide_steps:
        stages.append("central")
    if needs_pool(cell.arm):
        stages += ["adapt", "synthesize"]
    shaping = {name: _plain(getattr(settings, name)) for s in stages for name in SHAPED_BY[s]}
    for name in _FREE:
        part, _, own = name.partition(".")
        shaping.get(part, {}).pop(own, None)
    fitted = dataclasses.asdict(prediction)
    # By what it computes, not by its name; and only where something reads it.
    del fitted["encoder"]
    identity: dict[str, Any] = {
        "format": CELL_FORMAT,
        "section": cell.split.section,
        "central": central,
        "arm": dataclasses.asdict(cell.arm),
        "prediction": fitted,
        "shared": shaping,
    }
    if prediction.network == FROZEN:
        identity["encoder"] = encoder
    if cell.arm.name == ADVISED:
        identity["advice"] = RULE
    return hash_strings([json.dumps(identity, sort_keys=True, default=str)])[:10]
