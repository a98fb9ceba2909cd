"""The layout in which the authors of Diff-ST share their processed maps.

``HR_ST/extract/{sample}/{patch}/HR_ST_256.npy`` (H, W, genes), ``spot_ST/extract/…/spot_ST.npy``
(h, w, genes), ``WSI/extract/…/5120_to256.npy`` (H, W, 3) and ``gene_order.npy``. Cell crops
(``320_to16.npy``) are cut from the image, which has the same px; the co-expression file is not
read, since the graph is fitted on training maps alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from c2lst.errors import InputError
from c2lst.superres.maps import MapSample, SuperresMaps

HR, SPOTS, IMAGE, GENES = "HR_ST_256.npy", "spot_ST.npy", "5120_to256.npy", "gene_order.npy"
BIN_UM, SPOT_UM = 10.0, 100.0
_LAYOUT = f"HR_ST/extract/{{sample}}/{{patch}}/{HR}"


def recognise(source: Path) -> bool:
    """Whether a folder has this layout, or the ``Xenium`` folder in it."""
    return _root(source) is not None


def build(source: Path, *, patients: dict[str, str] | None = None) -> SuperresMaps:
    """Read all patches; each becomes an area of its own.

    Parameters
    ----------
    source
        The folder of ``HR_ST``, or the one it is in.
    patients
        Patient of each sample; by default a sample is a patient. Where samples are pieces of one
        block, as published splits may have them, say so here.

    Raises
    ------
    InputError
        If a file is missing, pickled, or of another shape.
    """
    root = _root(source)
    if root is None:
        raise InputError(source, "is not in this layout", expected=_LAYOUT)
    samples = []
    for path in sorted(root.glob(f"HR_ST/extract/*/*/{HR}")):
        sample, patch = path.parts[-3:-1]
        counts = _array(path).transpose(2, 0, 1)
        spots = _array(root / "spot_ST" / "extract" / sample / patch / SPOTS).transpose(2, 0, 1)
        pixels = _pixels(root / "WSI" / "extract" / sample / patch / IMAGE)
        if pixels.shape[:2] != counts.shape[1:]:
            raise InputError(
                path, "image and map do not match", found=f"image {pixels.shape[:2]}",
                expected=counts.shape[1:], remedy="copy the patch again",
            )  # fmt: skip
        tissue = (pixels.min(axis=2) < 220) | (counts.sum(axis=0) > 0)
        patient = (patients or {}).get(sample, sample)
        samples.append(
            MapSample(
                f"{sample}-{patch}",
                patient,
                counts.astype(np.float32),
                pixels,
                tissue,
                spots=spots.astype(np.float32),
            )
        )
    genes = _genes(root, source, samples[0].counts.shape[0])
    about = {"kind": "processed maps of the authors", "patients": "samples"}
    return SuperresMaps(genes, BIN_UM, SPOT_UM, tuple(samples), source=about)


def _root(source: Path) -> Path | None:
    for folder in (source, source / "Xenium"):
        if any(folder.glob(f"HR_ST/extract/*/*/{HR}")):
            return folder
    return None


def _genes(root: Path, source: Path, number: int) -> tuple[str, ...]:
    """Names of the genes; ``gene-0`` and on where there is no file of them."""
    path = next((p / GENES for p in (root, source, root.parent) if (p / GENES).is_file()), None)
    names = [f"gene-{k}" for k in range(number)] if path is None else _array(path, 1).tolist()
    if len(names) != number:
        raise InputError(path or root, "genes and maps differ", found=len(names), expected=number)
    return tuple(map(str, names))


def _array(path: Path, axes: int = 3) -> np.ndarray:
    if not path.is_file():
        raise InputError(path, "no such file", expected=_LAYOUT, remedy="copy the whole folder")
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(
            path, f"is no plain array ({error})", expected="numbers or text, not pickled",
            remedy="save it again with numpy, dtype float32 or str",
        ) from error  # fmt: skip
    if values.ndim != axes:
        raise InputError(path, "shape", found=values.shape, expected=f"{axes} axes")
    if axes == 3 and (values.dtype.kind not in "biuf" or not values.size):
        raise InputError(path, "values", found=f"{values.size} of {values.dtype}",
                         expected="numbers", remedy="copy the patch again")  # fmt: skip
    return np.asarray(values)


def _pixels(path: Path) -> np.ndarray:
    """RGB image as uint8, whether it was saved in [0, 1] or in [0, 255]."""
    values = _array(path)
    if values.dtype == np.uint8:
        return values
    top = 255.0 if values.max() <= 1 else 1.0
    return (values * top).round().clip(0, 255).astype(np.uint8)
