"""What may leave of an adapter and of synthetic pairs: lists of what is allowed, not of the rest.

Each artefact is made anew from the values that are listed here, rather than copied, so that what
a later version writes beside them stays at home until someone lists it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.layout import SYNTHETIC_SUFFIX
from c2lst.data.readers.constants import HestDirectory
from c2lst.data.synthetic import PARENT_SEPARATOR, SyntheticPairs

if TYPE_CHECKING:
    from c2lst.local import LocalModel

WITHHELD = "withheld"
"""Stands for the name of the section, which often is a patient's number."""

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors", "preprocessing.json")
_STEM = f"{WITHHELD}{SYNTHETIC_SUFFIX}"
PAIRS_FILES = (
    f"{HestDirectory.ST}/{_STEM}.h5ad",
    f"{HestDirectory.PATCHES}/{_STEM}.h5",
    f"{HestDirectory.METADATA}/{_STEM}.json",
)

_OF_ADAPTER = (
    *("base_hash", "section_hash", "train_hash", "training_spots", "learnt_spots"),
    *("settings", "parameters", "share", "privacy"),
)
_NOT_PRIVATE = ("final_loss", "early_stop")
_OF_PAIRS = ("c2lst", "adapter_hash", "base_hash", "section_hash", "train_hash", "settings")
_OF_PROFILES = ("policy", "per_spot", "seed", "mixup_by")

LEFT_OUT_OF_BOTH = {
    "name of the section": "it often is a patient's number",
    "paths (sources.json)": "they concern the machine that made it",
    "copy gallery": "it shows patches of the patient",
}
LEFT_OUT_OF_ADAPTER = {
    "names of the training spots": "their SHA-256 is there, by which the right split is known",
    "checkpoints and log": "they hold more than the trained weights",
}
LEFT_OUT_OF_PAIRS = {
    "barcodes of the source spots": "running numbers stand for them",
    "counts": "they are the measured ones, with the depth of each spot",
}


def write_adapter(model: LocalModel, folder: Path) -> None:
    """Write what may leave of an adapter."""
    from c2lst.local import LocalModel

    # Losses are measured outside what differential privacy covers.
    allowed = _OF_ADAPTER if model.provenance.get("privacy") else (*_OF_ADAPTER, *_NOT_PRIVATE)
    provenance = _only(model.provenance, allowed) | {"section": WITHHELD}
    preprocessing = replace(model.preprocessing, section=WITHHELD)
    LocalModel(model.central, preprocessing, model.network, provenance).save(folder)
    keep_only(folder, ADAPTER_FILES)


def write_pairs(pairs: SyntheticPairs, folder: Path) -> None:
    """Write what may leave of synthetic pairs."""
    provenance = _only(pairs.provenance, _OF_PAIRS) | {"section": WITHHELD}
    profiles = pairs.provenance.get("profiles")
    if isinstance(profiles, Mapping):
        provenance["profiles"] = _only(profiles, _OF_PROFILES)
    replace(
        pairs,
        source_barcodes=numbered(pairs.source_barcodes),
        provenance=provenance,
        counts=None,
    ).save(folder, WITHHELD)
    keep_only(folder, PAIRS_FILES)


def numbered(sources: np.ndarray) -> np.ndarray:
    """Replace barcodes by running numbers, alike for pairs of the same spot; str (m,)."""
    numbers: dict[str, str] = {}
    for source in sources.tolist():
        for barcode in source.split(PARENT_SEPARATOR):
            numbers.setdefault(barcode, f"spot-{len(numbers) + 1:05d}")
    return np.array(
        [
            PARENT_SEPARATOR.join(numbers[barcode] for barcode in source.split(PARENT_SEPARATOR))
            for source in sources.tolist()
        ]
    )


def keep_only(folder: Path, names: Iterable[str]) -> None:
    """Remove every file of a new folder that is not listed."""
    allowed = {folder / name for name in names}
    for path in folder.rglob("*"):
        if not path.is_dir() and path not in allowed:
            path.unlink()


def _only(values: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: values[key] for key in keys if key in values}
