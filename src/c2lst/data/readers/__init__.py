"""Readers of spatial transcriptomics: one format a file, and the choice between them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from c2lst.data.raw import ReadRequest
from c2lst.data.readers.constants import ReadingKey
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import is_litter

if TYPE_CHECKING:
    from c2lst.data.section import Section

AUTO = "auto"

_MODULES = {
    "hest": "hest",
    "visium-hd": "visium_hd",
    "visium": "visium",
    "xenium": "xenium",
    "spatialdata": "spatialdata",
    "anndata": "anndata",
    "legacy": "legacy",
}
"""Formats in the order in which they are tried, and the modules that read them."""

FORMATS = (AUTO, *_MODULES)
"""What ``format`` may be."""

_SUFFIXES = {".h5ad": ("hest", "anndata"), ".zarr": ("spatialdata",)}
"""A source of such a name is of one of these formats, whatever lies beside it."""

_SHOWN = 12


class Reader(Protocol):
    """What a module that reads a format has.

    ``HAS_BINS`` says whether it pools bins or cells to pseudo-spots, of a width one may ask for.
    """

    NAME: str
    TITLE: str
    HAS_BINS: bool
    LOOKS_FOR: str

    def recognise(self, source: Path, section: str | None) -> str | None:
        """Say why ``source`` is of this format; none if it is not."""

    def read(self, source: Path, request: ReadRequest) -> Section:
        """Read a section."""


def read(
    source: str | Path,
    *,
    format: str = AUTO,
    section: str | None = None,
    image: str | Path | None = None,
    mpp: float | None = None,
    patch_um: float = 112.0,
    size: int = 224,
    bin_um: float | None = None,
    overlay: str | Path | None = None,
) -> Section:
    """Read one section, whatever its format.

    Parameters
    ----------
    source
        A folder, one of its files, or folder and section as one path, such as ``her2st/C3``.
    format
        One of ``FORMATS``; recognised by default, with a message that says why.
    section
        Which section; needed only where there are several.
    image
        The full-resolution image, where it is not part of the source.
    mpp
        µm per full-resolution px, where the one that is derived or stated is wrong.
    patch_um
        Width of a patch in µm.
    size
        Width of a patch in px.
    bin_um
        Width in µm of the pseudo-spots of Visium HD and Xenium.
    overlay
        PNG file for a picture of the spots on the slide, written if they do not fit it.

    Returns
    -------
    Section
        Its patches are cut from the slide when they are asked for.

    Raises
    ------
    InputError
        If nothing there can be read, or it cannot be trusted; the message says what was found.
    """
    path, section = _existing(Path(source), section)
    reader, because = find_reader(path, section, format)
    if image is not None and reader.NAME != "spatialdata" and not Path(image).exists():
        raise InputError(
            image, "no such image file", expected="the full-resolution image",
            remedy="correct --image",
        )  # fmt: skip
    if bin_um is not None and not reader.HAS_BINS:
        raise InputError(
            path, f"has spots, which are not pooled to bins of {bin_um:g} µm",
            found=reader.TITLE, expected="Visium HD or Xenium", remedy="leave --bin-um out",
        )  # fmt: skip
    logger.info("%s: read as %s because %s", path, reader.TITLE, because)
    request = ReadRequest(
        section,
        None if image is None else Path(image),
        mpp,
        patch_um,
        size,
        bin_um,
        None if overlay is None else Path(overlay),
    )
    found = reader.read(path, request)
    # The first thing that was noted is the truth: a section of ours was once read from elsewhere.
    found.reading.setdefault(ReadingKey.FORMAT.value, reader.TITLE)
    found.reading.setdefault(ReadingKey.BECAUSE.value, because)
    return found


def find_reader(source: Path, section: str | None = None, format: str = AUTO) -> tuple[Reader, str]:
    """Find the reader of ``source``, and why it is the right one.

    Where several formats fit, the first of ``FORMATS`` is taken, and the others are named.

    Raises
    ------
    InputError
        If none fits, or not the one that was asked for. The message lists what each format looks
        for, and what is there.
    """
    name = format.replace("_", "-")
    if name not in FORMATS:
        raise InputError(
            "format", "is not known", found=format, expected=", ".join(FORMATS),
            remedy="choose one of them",
        )  # fmt: skip
    allowed = _SUFFIXES.get(source.suffix, tuple(_MODULES))
    fitting = {}
    for candidate in _MODULES if name == AUTO else (name,):
        reader = _reader(candidate)
        because = reader.recognise(source, section) if candidate in allowed else None
        if because is not None:
            fitting[candidate] = (reader, because)
    if not fitting:
        raise _unrecognised(source, name)
    (_, (reader, because)), *others = fitting.items()
    if others:
        logger.warning(
            "%s: also fits --format %s",
            source,
            "; --format ".join(f"{other} ({why})" for other, (_, why) in others),
        )
    return reader, because


def _reader(name: str) -> Reader:
    return import_module(f"{__name__}.{_MODULES[name]}")


def _existing(source: Path, section: str | None) -> tuple[Path, str | None]:
    """Part a path such as ``her2st/C3`` into a folder and the name of a section in it."""
    if source.exists():
        return source, section
    if not source.parent.is_dir():
        raise InputError(
            source, "no such file or folder", expected="a slide's folder or file",
            remedy="check the path",
        )  # fmt: skip
    if section is not None:
        raise InputError(
            source,
            "no such file or folder",
            found=f"--section {section} besides",
            expected="a folder that is there",
            remedy=f"give the folder {source.parent}, and the section once",
        )
    return source.parent, source.name


def _unrecognised(source: Path, name: str) -> InputError:
    from c2lst.data.image import SLIDE_SUFFIXES

    def is_slide(path: Path) -> bool:
        return path.suffix.lower() in SLIDE_SUFFIXES

    there = sorted(source.iterdir()) if source.is_dir() else [source]
    there = [path for path in there if not is_litter(path)]
    found = ", ".join(path.name for path in there[:_SHOWN]) or "an empty folder"
    if len(there) > _SHOWN:
        found += f" and {len(there) - _SHOWN} more"
    if name != AUTO:
        reader = _reader(name)
        return InputError(
            source,
            f"is not {reader.TITLE}",
            found=found,
            expected=reader.LOOKS_FOR,
            remedy="without --format, the format is recognised",
        )
    images = [path for path in there if is_slide(path)]
    if images and len(images) == len(there):
        return InputError(
            source,
            "holds images and no counts" if source.is_dir() else "is an image without counts",
            found=found,
            expected="a section: counts, places of spots, and their image",
            remedy=f"to pretrain on it: c2lst collect {source} -o COLLECTION",
        )
    looked_for = "; ".join(f"{r.TITLE}: {r.LOOKS_FOR}" for r in map(_reader, _MODULES))
    remedy = "give the folder that holds these files; docs/formats.md shows each"
    tables = [path.name for path in there if path.suffix == ".h5ad" or path.suffix == ".zarr"]
    if tables:
        remedy = f"give the file itself, such as {source / tables[0]}"
    elif any(map(is_slide, source.glob("*/*"))):
        remedy += f"; to pretrain on images without counts: c2lst collect {source} -o COLLECTION"
    return InputError(
        source,
        "is of no format that is read",
        found=found,
        expected=f"one of these ({looked_for})",
        remedy=remedy,
    )
