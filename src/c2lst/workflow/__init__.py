"""From one slide to a map: the whole job as a row of resumable stages."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst.errors import InputError
from c2lst.storage import one_writer

if TYPE_CHECKING:
    from c2lst.settings import RunSettings


def run(
    source: str | Path,
    output: str | Path,
    settings: RunSettings,
    *,
    section: str | None = None,
    format: str = "auto",
    image: str | Path | None = None,
    central: str | Path | None = None,
    collection: str | Path | None = None,
    genes: tuple[str, ...] | None = None,
    mpp: float | None = None,
    command: str = "c2lst.run",
) -> Path:
    """Carry one slide from its files to a report.

    Parameters
    ----------
    source
        The slide.
    output
        Folder of the results. One that holds an unfinished run of the same input and settings is
        continued, and ends with the same numbers.
    settings
        From :func:`c2lst.settings.load_settings`.
    section
        Which section, where the source holds several.
    format
        Its format; recognised by default.
    image
        The full-resolution image, where it is not part of the source.
    central
        A central model: its folder, or its id on the hub. Without it one is pretrained on
        ``collection``, or on the slide's own tissue outside the test spots.
    collection
        A stored collection or its URL, or a folder of H&E patches.
    genes
        Genes of the panel.
    mpp
        µm per px, instead of what the spot pitch says.
    command
        How to repeat the run, for the manifest.

    Returns
    -------
    pathlib.Path
        The output folder.

    Raises
    ------
    InputError
        If any input cannot be used, or the folder holds something else.
    """
    from c2lst.central.hub import model_folder
    from c2lst.prediction.encoders import check_network
    from c2lst.workflow.rundir import RunDirectory
    from c2lst.workflow.stages import RunInputs, run_stages

    check_network(settings.prediction)
    if central is not None and collection is not None:
        raise InputError(
            "central model", "is given, so that none is pretrained on a collection",
            found=f"{central} and {collection}",
            remedy="leave --collection out, or pretrain the model on it (c2lst pretrain --from)",
        )  # fmt: skip
    inputs = RunInputs(
        _existing(source, "slide", parent=True),
        section,
        None if central is None else model_folder(central, "a central model").absolute(),
        None if collection is None else _collection(collection),
        genes,
        mpp,
        format,
        None if image is None else _image(image, Path(source)),
    )
    named = {k: _plain(v) for k, v in dataclasses.asdict(inputs).items()}
    directory = RunDirectory(Path(output), named, dataclasses.asdict(settings), command)
    with one_writer(directory.root):
        run_stages(directory, inputs, settings)
    return directory.root


def _existing(path: str | Path, what: str, *, parent: bool = False) -> Path:
    """Make a path absolute; ``parent`` allows the name of a section inside a folder."""
    found = Path(path).expanduser().absolute()
    if not (found.exists() or (parent and found.parent.is_dir())):
        raise InputError(found, f"no such {what}", remedy="check the path")
    return found


def _image(image: str | Path, source: Path) -> Path:
    """Return an image file, or the name of an image of a SpatialData store, as it is."""
    named = source.suffix == ".zarr" and Path(image).name == str(image)
    return Path(image) if named and not Path(image).exists() else _existing(image, "image")


def _collection(where: str | Path) -> Path | str:
    """Return a folder of patches, or the URL of a stored collection."""
    return str(where) if "://" in str(where) else _existing(where, "collection")


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
