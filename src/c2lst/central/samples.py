"""Images of a central model as files: a sheet, or one PNG each, shared out over processes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.evaluation.sheets import contact_sheet, write_png
from c2lst.storage import read_json, write_json

if TYPE_CHECKING:
    from c2lst.central import CentralModel
    from c2lst.diffusion.processes import Processes

SAMPLES_JSON = "samples.json"
ON_SHEET = 64


def write_sheet(model: CentralModel, path: Path, n: int, **request: Any) -> None:
    """Draw ``n`` images into one PNG.

    Parameters
    ----------
    request
        Options of :meth:`~c2lst.central.CentralModel.sample`.
    """
    write_png(path, contact_sheet(model.sample(n, **request)))


def write_samples(
    model: CentralModel, folder: Path, n: int, processes: Processes, **request: Any
) -> None:
    """Draw ``n`` images into PNGs of their own, with a sheet of the first.

    Every process draws its share; images that are there from an interrupted request are kept.

    Raises
    ------
    InputError
        If the folder holds images of another request.
    """
    told = {"central": model.hash, "sampler": request["sampler"], "seed": request["seed"]}
    processes.main_first(lambda: _open(folder, told, n))
    names = {number: folder / f"{number:06d}.png" for number in range(n)}
    own = [number for number in processes.share(n).tolist() if not names[number].is_file()]
    for start in range(0, len(own), request["batch_size"]):
        numbers = own[start : start + request["batch_size"]]
        for number, image in zip(numbers, model.sample(numbers, **request), strict=True):
            write_png(names[number], image)
    # Whoever is here has written its share.
    processes.total([1])
    if processes.is_main:
        first = [_read(names[number]) for number in range(min(n, ON_SHEET))]
        write_png(folder / "sheet.png", contact_sheet(np.stack(first)))


def _open(folder: Path, told: dict[str, Any], n: int) -> int:
    path = folder / SAMPLES_JSON
    if path.is_file():
        found = read_json(path)
        for key, value in told.items():
            if found.get(key) != value:
                raise InputError(
                    folder,
                    f"holds images of another {key}",
                    found=found.get(key),
                    expected=value,
                    remedy="choose another folder",
                )
    elif folder.exists() and any(folder.iterdir()):
        raise InputError(folder, "is not empty", remedy="choose another folder")
    write_json(path, told | {"images": n})
    return 0


def _read(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
