"""A bundle: files that leave the institution, their SHA-256, and what was left out of it."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from c2lst import storage
from c2lst.archives import read_members
from c2lst.errors import InputError
from c2lst.storage import (
    hash_file,
    read_json,
    refuse_folder,
    whole_directory,
    whole_file,
    write_json,
)

FORMAT = 1
BUNDLE_JSON = "bundle.json"
ZIP = ".zip"
# A real date would tell when the slide was worked on.
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def write_bundle(bundle: Path, fill: Callable[[Path], Mapping[str, Any]]) -> None:
    """Write a bundle, whole or not at all.

    Parameters
    ----------
    bundle
        Folder, or a file that ends in ``.zip``.
    fill
        Writes the files into an empty folder; returns what else the manifest says.
    """

    def complete(folder: Path) -> None:
        about = fill(folder)
        write_json(folder / BUNDLE_JSON, {"format": FORMAT, **about, "files": _hashes(folder)})

    if bundle.suffix != ZIP:
        with whole_directory(bundle) as folder:
            complete(folder)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "bundle")
        folder.mkdir()
        complete(folder)
        with whole_file(bundle) as partial, zipfile.ZipFile(partial, "w") as archive:
            for name in sorted([*_hashes(folder), BUNDLE_JSON]):
                entry = zipfile.ZipInfo(name, _NO_DATE)
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, (folder / name).read_bytes())


@contextmanager
def open_bundle(bundle: str | Path) -> Iterator[Path]:
    """Give the folder of a bundle, unpacked where it is a zip, after checking every file.

    Raises
    ------
    InputError
        If it is no bundle, or a file is missing, changed, or not named in it.
    """
    bundle = Path(bundle)
    if bundle.is_dir():
        check_bundle(bundle)
        yield bundle
        return
    if not bundle.is_file():
        raise InputError(bundle, "no such file or folder", expected="a bundle")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, content in read_members(bundle):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        check_bundle(folder)
        yield folder


def check_bundle(folder: Path) -> dict[str, Any]:
    """Return the manifest of a bundle whose files are those that it names.

    Raises
    ------
    InputError
        As :func:`open_bundle`.
    """
    manifest = read_json(folder / BUNDLE_JSON, required=("format", "kind", "files", "verdict"))
    if manifest["format"] != FORMAT:
        raise InputError(
            folder / BUNDLE_JSON, "unknown format", found=manifest["format"], expected=FORMAT
        )
    there, named = _hashes(folder), manifest["files"]
    if there != named:
        odd = sorted(k for k in there.keys() | named.keys() if there.get(k) != named.get(k))
        problem = "is missing" if odd[0] not in there else "is not what was exported"
        raise InputError(folder / odd[0], problem, remedy="copy the whole bundle again")
    return manifest


def refuse_foreign(bundle: Path) -> None:
    """Keep what is no bundle, and what somebody laid into one, from being replaced."""
    if bundle.suffix == ZIP:
        refuse_folder(bundle)
        return
    of_another: list[str] = []
    if (bundle / BUNDLE_JSON).is_file():
        files = read_json(bundle / BUNDLE_JSON).get("files")
        of_another = [str(name) for name in files] if isinstance(files, Mapping) else []
    folders = [name.partition("/")[0] for name in of_another]
    storage.refuse_foreign(bundle, (BUNDLE_JSON, *folders))
    # That looks at the first level alone, and what is deeper would be replaced with it.
    for name in _names(bundle) - {BUNDLE_JSON, *of_another}:
        if not storage.is_litter(bundle / name):
            raise InputError(
                bundle, "holds files that c2lst did not write, so it is not replaced", found=name,
                expected="a new or empty folder", remedy="choose another output folder",
            )  # fmt: skip


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a folder but the manifest, by its path in the folder."""
    return {name: hash_file(folder / name) for name in sorted(_names(folder) - {BUNDLE_JSON})}


def _names(folder: Path) -> set[str]:
    """Path in the folder of every file of it."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
