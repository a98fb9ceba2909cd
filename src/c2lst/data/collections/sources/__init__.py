"""Where patches of a collection come from: one kind of place a module.

A module has ``TITLE``, ``LOOKS_FOR``, ``recognise(where)``, which says why ``where`` is of its
kind, and ``open_source(where, options)``.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from c2lst.data.collections.sources.base import Source, SourceOptions, SourcePatch
from c2lst.errors import InputError
from c2lst.progress import logger

__all__ = ["Source", "SourceOptions", "SourcePatch", "find_source"]

# The first that recognises a place reads it.
KINDS = ("hub", "spider", "webdataset", "slides", "folder")

_SHOWN = 12


def find_source(
    where: str | Path,
    *,
    mpp: float | None = None,
    patch_um: float = 112.0,
    size: int = 224,
    stride_um: float | None = None,
    context: bool = False,
) -> Source:
    """Recognise where patches come from and say why.

    Parameters
    ----------
    where
        A folder, an archive, a slide, a pattern of shards, or ``hf:owner/name``.
    mpp, patch_um, size, stride_um, context
        See ``SourceOptions``.

    Returns
    -------
    The source; nothing but its first files is read yet.

    Raises
    ------
    InputError
        If it is nothing known; the message lists what was looked for.
    """
    where = str(where)
    options = SourceOptions(mpp, patch_um, size, stride_um, context)
    kinds = [import_module(f"{__name__}.{name}") for name in KINDS]
    try:
        for kind in kinds:
            if reason := kind.recognise(where):
                logger.info("%s: read as %s because %s", where, kind.TITLE, reason)
                source: Source = kind.open_source(where, options)
                return source
    except (OSError, ValueError) as error:  # also a pattern or name that Python refuses
        raise InputError(where, "cannot be read", found=error, remedy="check the path") from error
    looked = "; ".join(f"{kind.TITLE}: {kind.LOOKS_FOR}" for kind in kinds)
    path = Path(where)
    if not path.exists():
        raise InputError(where, "no such file or folder", expected=looked, remedy="check the path")
    there = sorted(p.name for p in path.iterdir()) if path.is_dir() else [path.name]
    raise InputError(
        where,
        "holds no patches",
        found=", ".join(there[:_SHOWN]) or "an empty folder",
        expected=looked,
        remedy="give the folder or file that holds them; docs/collections.md shows each",
    )
