"""SpatialData: a Zarr store with a table, the shapes that it annotates, and an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.assembly import check_patch_request
from c2lst.data.embedded import write_slide
from c2lst.data.raw import ReadRequest
from c2lst.data.readers.annotated import Annotated
from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    from anndata import AnnData

    from c2lst.data.section import Section

NAME = "spatialdata"
TITLE = "SpatialData"
HAS_BINS = False
LOOKS_FOR = "a Zarr store (folder .zarr) with tables/, shapes/ (or points/, labels/) and images/"

_ATTRIBUTES = "spatialdata_attrs"
_PARTS = ("tables", "shapes", "points", "labels", "images")
_ROOTS = ("zarr.json", ".zgroup")
_COMMON = "global"
_AXES = ("x", "y")


def recognise(source: Path, section: str | None) -> str | None:
    """Say why ``source`` is a SpatialData store; none if it is not."""
    path = _store(source, section)
    if path is None:
        return None
    parts = [part for part in _PARTS if (path / part).is_dir()]
    return f"{path.name} is a Zarr store with {', '.join(parts)}"


def read(source: Path, request: ReadRequest) -> Section:
    """Read the spots that a table annotates, placed on an image by their transformations.

    Parameters
    ----------
    source
        The store, or a folder with one.
    request
        How it is to be read. ``section`` chooses one of several tables or regions; ``image`` one
        of several images by its name, or is a file in the common coordinate system.

    Raises
    ------
    InputError
        If an element is missing, there are several and none is chosen, they share no coordinate
        system, or the package spatialdata is not installed.
    """
    check_patch_request(request.patch_um, request.size)
    path = _store(source, request.section)
    if path is None:
        raise InputError(source, "is no Zarr store", expected=LOOKS_FOR, remedy="name the store")
    store = _open(path)
    table, region = _choose_table(path, store, request.section)
    name = request.section or path.stem
    if request.image is not None and request.image.is_file():
        centres, image = _centroids(path, store, region, table, None), request.image
    else:
        element = _choose_image(path, store, region, request.image)
        centres = _centroids(path, store, region, table, element)
        logger.info("%s: image %r", path, element.name)
        image = write_slide(name, element.pixels)
    return Annotated(path, name, table, centres, {}, image).section(request)


def _store(source: Path, section: str | None) -> Path | None:
    """Return the store itself, the one named ``section``, or the only one of a folder."""
    if not source.is_dir():
        return None
    if _is_store(source):
        return source
    stores = [path for path in sorted(source.glob("*.zarr")) if _is_store(path)]
    named = [path for path in stores if path.stem == section]
    return (named or stores)[0] if named or len(stores) == 1 else None


def _is_store(path: Path) -> bool:
    return any((path / root).is_file() for root in _ROOTS) and any(
        (path / part).is_dir() for part in _PARTS
    )


def _open(path: Path) -> Any:
    try:
        import spatialdata
    except ImportError as error:
        raise InputError(
            path,
            "is a SpatialData store, which needs the package spatialdata",
            found="a Python without it",
            expected="spatialdata",
            remedy='install it: pip install "c2lst[spatialdata]"',
        ) from error
    try:
        return spatialdata.read_zarr(path)
    except Exception as error:  # zarr, dask, pyarrow and spatialdata each have errors of their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            path,
            "is no readable SpatialData store",
            found=reason,
            expected=LOOKS_FOR,
            remedy="write the store again with spatialdata",
        ) from error


def _choose_table(path: Path, store: Any, section: str | None) -> tuple[AnnData, str]:
    """Choose the table, or its rows of one region, and the element that they annotate."""
    tables = dict(store.tables)
    name = section if section in tables else next(iter(tables), None)
    regions = {k: _regions(table) for k, table in tables.items()}
    holding = [k for k, names in regions.items() if section in names]
    if section not in tables and len(holding) == 1:
        name = holding[0]
    elif section not in tables and len(tables) != 1:
        raise _several(path, "table", tables, "--section") if tables else _none(path, "table")
    assert name is not None
    found = [region for region in regions[name] if region in store]
    if section in found:
        found = [section]
    if len(found) != 1:
        raise (
            _several(path, "region", found, "--section")
            if found
            else _none(path, f"region that table {name!r} annotates", ", ".join(regions[name]))
        )
    table = tables[name]
    of = table.obs[table.uns[_ATTRIBUTES]["region_key"]].astype(str) == found[0]
    return table[of.to_numpy()].copy(), found[0]


def _regions(table: AnnData) -> list[str]:
    region = table.uns.get(_ATTRIBUTES, {}).get("region") or []
    return [region] if isinstance(region, str) else [str(name) for name in region]


@dataclass(frozen=True, eq=False)
class ImageElement:
    """An RGB image of the store.

    Parameters
    ----------
    name
        Its name.
    pixels
        uint8 (h, w, 3), read when it is indexed.
    system
        A coordinate system that it shares with the region.
    to_pixels
        Affine map from there to px, (3, 3).
    finer
        Px for each unit of the region: the larger, the finer.
    """

    name: str
    pixels: Any
    system: str
    to_pixels: np.ndarray
    finer: float


def _choose_image(path: Path, store: Any, region: str, wanted: Path | None) -> ImageElement:
    """Choose the image of that name, or the finest RGB image that the region can be laid on."""
    images = dict(store.images)
    if wanted is not None:
        if str(wanted) not in images:
            raise InputError(
                wanted,
                "is neither a file nor an image of the store",
                found=", ".join(images) or "no images",
                expected="one of them, or a file",
                remedy="correct --image",
            )
        images = {str(wanted): images[str(wanted)]}
    elements = [_element(store, region, name, image) for name, image in images.items()]
    fitting = sorted((e for e in elements if e is not None), key=lambda e: -e.finer)
    if not fitting:
        what = f"8-bit RGB image in a coordinate system of {region!r}"
        raise _none(path, what, ", ".join(images))
    finest = [e for e in fitting if e.finer > 0.99 * fitting[0].finer]
    if len(finest) > 1:
        raise _several(path, "image", [e.name for e in finest], "--image")
    return finest[0]


def _element(store: Any, region: str, name: str, image: Any) -> ImageElement | None:
    from spatialdata import get_pyramid_levels
    from xarray import DataArray

    full = image if isinstance(image, DataArray) else get_pyramid_levels(image, n=0)
    channels = full.sizes.get("c", 0)
    if full.dtype != np.uint8 or channels not in (3, 4) or set(full.dims) != {"c", "y", "x"}:
        return None
    placed, laid = _transformations(store[region]), _transformations(image)
    shared = [system for system in laid if system in placed]
    if not shared:
        return None
    system = _COMMON if _COMMON in shared else sorted(shared)[0]
    to_pixels = np.linalg.inv(laid[system])
    finer = abs(float(np.linalg.det((to_pixels @ placed[system])[:2, :2]))) ** 0.5
    pixels = full.transpose("y", "x", "c").data[..., :3]
    return ImageElement(name, pixels, system, to_pixels, finer)


def _transformations(element: Any) -> dict[str, np.ndarray]:
    """Affine map of an element to each of its coordinate systems, (3, 3)."""
    from spatialdata.transformations import get_transformation

    found = get_transformation(element, get_all=True)
    return {
        name: np.asarray(transformation.to_affine_matrix(_AXES, _AXES))
        for name, transformation in found.items()
    }


def _centroids(
    path: Path, store: Any, region: str, table: AnnData, image: ImageElement | None
) -> np.ndarray:
    """Centre of the instance of each row of the table, in px of the image, float64 (n, 2)."""
    import pandas as pd
    from spatialdata import get_centroids

    element = store[region]
    systems = _transformations(element)
    own = _COMMON if _COMMON in systems else sorted(systems)[0]
    system = own if image is None else image.system
    points = get_centroids(element, coordinate_system=system).compute()
    instances = table.obs[table.uns[_ATTRIBUTES]["instance_key"]]
    rows = pd.Index(points.index.astype(str)).get_indexer(instances.astype(str))
    if (rows < 0).any():
        raise InputError(
            path,
            f"{(rows < 0).sum()} of {len(rows)} rows of the table have no instance in {region!r}",
            found=repr(str(instances.to_numpy()[rows < 0][0])),
            expected=f"instances such as {str(points.index[0])!r}",
            remedy="write table and shapes of the same spots",
        )
    centres = points[list(_AXES)].to_numpy(np.float64)[rows]
    if image is None:
        return centres
    return centres @ image.to_pixels[:2, :2].T + image.to_pixels[:2, 2]


def _several(path: Path, what: str, names: Any, option: str) -> InputError:
    return InputError(
        path,
        f"holds several {what}s that fit",
        found=", ".join(names),
        expected="the name of one",
        remedy=f"choose one with {option}, such as {next(iter(names))}",
    )


def _none(path: Path, what: str, there: str = "") -> InputError:
    return InputError(
        path,
        f"holds no {what}",
        found=there or "none",
        expected=LOOKS_FOR,
        remedy="write the store again with it",
    )
