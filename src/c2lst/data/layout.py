"""The HEST-1k layout on disk: where its files are, and folders that are ours to replace."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst.data.readers.constants import HestDirectory, HestMetadataKey
from c2lst.errors import InputError
from c2lst.storage import hash_file, is_litter, read_json, refuse_unreplaceable, whole_directory

if TYPE_CHECKING:
    from anndata import AnnData

SYNTHETIC_SUFFIX = "_synthetic"
"""How the names of synthetic pairs end, which lie beside the sections."""

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
    files = (directory / HestDirectory.ST).glob("*.h5ad")
    found = {path.stem for path in files if not is_litter(path)}
    return sorted(name for name in found if not name.endswith(SYNTHETIC_SUFFIX))


@contextlib.contextmanager
def owned_directory(
    directory: str | Path, name: str, image: Path | None = None, contours: Path | None = None
) -> Iterator[Path]:
    """Yield a new folder that takes the name ``directory`` once ``name`` is written into it.

    Other sections that c2lst wrote there are kept, and so are a slide and contours of ``name``
    that belong to its image.

    Parameters
    ----------
    directory, name
        Folder, and what is written into it.
    image, contours
        Those of the section that is written, where it is one.

    Raises
    ------
    InputError
        If the folder exists and holds files that c2lst did not write, or the slide or contours
        that a user put there belong to another image.
    """
    directory = Path(directory)
    refuse_unreplaceable(directory)
    keep = _written_here(directory) if directory.exists() else []
    own = HestPlace(Path(), name)
    replaced = {own.counts, own.patches, own.metadata, own.plot}
    if keep and image is not None and _has_another_slide(directory, own, image, contours):
        replaced.add(own.slide)
    with whole_directory(directory) as partial:
        for file in keep:
            if file not in replaced:
                link(directory / file, partial / file)
        for folder in (HestDirectory.ST, HestDirectory.PATCHES, HestDirectory.METADATA):
            (partial / folder).mkdir(exist_ok=True)
        yield partial


def _has_another_slide(directory: Path, own: HestPlace, image: Path, contours: Path | None) -> bool:
    """Whether c2lst itself put a slide there that is not ``image``; refuses one of a user.

    Left where it is, the slide would be taken for the section's once ``image`` is gone.
    """
    left = [own.slide] if contours is not None else [own.slide, own.contours]
    left = [file for file in left if (directory / file).is_file()]
    here = directory / own.slide
    if not left or image.absolute() == here.absolute():
        return False
    noted = read_json(directory / own.metadata, required=[HestMetadataKey.OURS])
    ours = noted[HestMetadataKey.OURS]
    ours = ours if isinstance(ours, dict) else {}
    if _is_of(image, ours, here):
        return False
    if Path(str(ours.get("image_path"))) == own.slide:
        left = [file for file in left if file != own.slide]
    if left:
        raise InputError(
            directory / left[0],
            "belongs to another image than that of the section to save",
            found=ours.get("image_path"),
            expected=image,
            remedy="move it elsewhere, or choose another output folder",
        )
    return True


def _is_of(image: Path, ours: dict[str, Any], slide: Path) -> bool:
    """Whether ``image`` is what was noted, or what lies there as ``slide``."""
    if not image.is_file():
        return bool(ours.get("image_path") == str(image.absolute()))
    found = hash_file(image)
    return found == ours.get("image_sha256") or (slide.is_file() and found == hash_file(slide))


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
    files = sorted(
        p.relative_to(directory)
        for p in directory.rglob("*")
        # A link to a folder is somebody's, such as to slides on another disk: it would be lost.
        if (p.is_symlink() or not p.is_dir()) and not is_litter(p)
    )
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
