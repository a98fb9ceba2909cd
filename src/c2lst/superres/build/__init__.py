"""Where maps come from: one source a module, and the choice between them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from c2lst.errors import InputError

Kind = Literal["auto", "simulated", "xenium", "visium-hd", "legacy", "published"]

SIMULATED = "simulated"
"""The name that stands for a source where maps are simulated."""


def recognise(source: str) -> Kind:
    """Say what a source is.

    Raises
    ------
    InputError
        If it is nothing that maps can be built of.
    """
    if source == SIMULATED:
        return "simulated"
    from c2lst.data.readers import legacy, visium_hd, xenium
    from c2lst.superres.build import published

    path = Path(source)
    folder = path if path.exists() else path.parent
    if not folder.exists():
        raise InputError(path, "no such folder", expected=f"a folder, or {SIMULATED!r}")
    if published.recognise(path):
        return "published"
    section = None if path.exists() else path.name
    for kind, reader in (("xenium", xenium), ("visium-hd", visium_hd), ("legacy", legacy)):
        if reader.recognise(folder, section):
            return kind  # type: ignore[return-value]
    raise InputError(
        path, "holds nothing that maps can be built of",
        expected="Xenium transcripts, Visium HD bins, legacy Spatial Transcriptomics, or the "
        "processed maps of the authors",
        remedy="other formats have no map finer than their spots",
    )  # fmt: skip
