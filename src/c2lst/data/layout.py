"""The HEST-1k layout on disk: where its files are, and folders that are ours to replace."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from c2lst.data.readers.constants import HestDirectory, HestMetadataKey
from c2lst.errors import InputError
from c2lst.storage import read_json, whole_directory

if TYPE_CHECKING:
    from anndata import AnnData

_DAMAGED = "copy the folder again, or make it again from the raw files"


@dataclass(frozen=True)
class HestPlace:
    """Where the parts of a section are in a folder in the HEST layout."""

    directory: Path
    section: str

    @property
    def counts(self) -> Path:
        """The AnnData file."""
        return self.directory / HestDirectory.ST / f"{self.section}.h5ad"

    @property
    def patches(self) -> Path:
        """The patch file."""
        return self.directory / HestDirectory.PATCHES / f"{self.section}.h5"

    @property
    def metadata(self) -> Path:
        """The metadata file."""
        return self.directory / HestDirectory.METADATA / f"{self.section}.json"

    @property
    def plot(self) -> Path:
        """The picture of the spots on the slide."""
        return self.directory / HestDirectory.PLOTS / f"{self.section}_spatial_plots.png"

    @property
    def slide(self) -> Path:
        """The full-resolution image."""
        return self.directory / HestDirectory.SLIDES / f"{self.section}.tif"

    @property
    def contours(self) -> Path:
        """The outline of the tissue."""
        return self.directory / HestDirectory.TISSUE / f"{self.section}_contours.geojson"


def read_h5ad(path: Path) -> AnnData:
    """Read an AnnData file; whatever is wrong with it becomes an ``InputError``."""
    import anndata

    if not path.is_file():
        raise InputError(
            path, "no such file", expected="an AnnData file (.h5ad)", remedy="check the path"
        )
    try:
        return anndata.read_h5ad(path)
    except Exception as error:  # anndata wraps h5py's and its own errors in many types
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            path, "is no readable AnnData file", found=reason, remedy=_DAMAGED
        ) from error


def section_names(directory: Path) -> list[str]:
    """Names of the real sections of a folder in the HEST layout, sorted."""
    found = {path.stem for path in (directory / HestDirectory.ST).glob("*.h5ad")}
    return sorted(name for name in found if not name.endswith("_synthetic"))


@contextlib.contextmanager
def owned_directory(directory: str | Path, name: str) -> Iterator[Path]:
    """Yield a new folder that takes the name ``directory`` once ``name`` is written into it.

    Other sections that c2lst wrote there are kept.

    Raises
    ------
    InputError
        If the folder exists and holds files that c2lst did not write.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise InputError(
            directory, "is a file", expected="a folder to write to", remedy="choose another output"
        )
    keep = _written_here(directory) if directory.exists() else []
    own = HestPlace(Path(), name)
    replaced = {own.counts, own.patches, own.metadata, own.plot}
    with whole_directory(directory) as partial:
        for file in keep:
            if file not in replaced:
                link(directory / file, partial / file)
        for folder in (HestDirectory.ST, HestDirectory.PATCHES, HestDirectory.METADATA):
            (partial / folder).mkdir(exist_ok=True)
        yield partial


def link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where there are no hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _written_here(directory: Path) -> list[Path]:
    """Files of ``directory``, relative to it; refuses a folder with files of someone else."""
    files = sorted(p.relative_to(directory) for p in directory.rglob("*") if not p.is_dir())
    ours: set[Path] = set()
    for file in files:
        if file.parent == Path(HestDirectory.METADATA) and file.suffix == ".json":
            with contextlib.suppress(InputError):
                read_json(directory / file, required=[HestMetadataKey.OURS])
                of = HestPlace(Path(), file.stem)
                ours |= {file, of.counts, of.patches, of.plot, of.slide, of.contours}
    foreign = [file for file in files if file not in ours]
    if foreign:
        raise InputError(
            directory,
            "holds files that c2lst did not write, so it is not replaced",
            found=foreign[0],
            expected="a new or empty folder",
            remedy="choose another output folder",
        )
    return files
