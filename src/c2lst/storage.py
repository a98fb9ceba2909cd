"""Files that appear whole or not at all, JSON with checked keys, and content hashes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from c2lst.errors import InputError
from c2lst.progress import logger

_LOCK = ".c2lst.lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)
"""What file systems of clusters say that keep no locks."""


@contextlib.contextmanager
def readable_os_errors(path: Path) -> Iterator[None]:
    """Turn a full disk, or a folder that may not be written to, into one line that names it."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        number = getattr(error, "errno", None)
        # safetensors reports the system's error in words only.
        if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
            raise InputError(
                path, "the disk is full", remedy="free some space and run the same command again"
            ) from error
        if number in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise InputError(
                path, "cannot be written", remedy="choose an output folder that you may write to"
            ) from error
        raise


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes that name only if the block succeeds.

    The temporary name keeps the suffix, since some writers choose their format by it.

    Raises
    ------
    InputError
        If the disk is full, ``path`` is a folder or a device, or its folder is a file or cannot be
        written to.
    """
    path = Path(path)
    refuse_folder(path)
    with readable_os_errors(path):
        _make_folder_of(path)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix
        )
        os.close(handle)
        partial = Path(name)
        try:
            yield partial
            _flush(partial)
            # mkstemp makes private files; a result is as readable as any other file.
            partial.chmod(0o666 & ~_umask())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_directory(path: str | Path, made: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; it takes that name only if the block succeeds.

    It has the name only once its content is on the disk: a kill, or a power cut, leaves what was
    there before. A folder that already has the name is gone only once the new one is complete.

    Parameters
    ----------
    path
        Folder to write.
    made
        What such a folder holds, as in :func:`refuse_foreign`, which is asked first. Without it,
        the folder is one that no user writes to.

    Raises
    ------
    InputError
        If the folder is not to be replaced, or cannot be; what was written stays in that case.
    """
    path = Path(path).absolute()
    if path.is_dir():
        path = path.resolve()  # a link, such as to a larger disk, stays one
    if made:
        refuse_foreign(path, made)
    with readable_os_errors(path):
        _make_folder_of(path)
        partial = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            yield partial
            _settle(partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        _take_name(partial, path)
        _flush(path.parent)


def _take_name(partial: Path, path: Path) -> None:
    """Put a folder in the place of another."""
    if not path.exists():
        partial.replace(path)
        return
    retired = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
    try:
        path.replace(retired / path.name)
    except OSError as error:
        retired.rmdir()
        raise InputError(
            path, "cannot be replaced", found=error.strerror,
            remedy=f"what was made is complete in {partial}: move it where you want it",
        ) from error  # fmt: skip
    partial.replace(path)
    shutil.rmtree(retired)


def refuse_folder(path: str | Path) -> None:
    """Refuse a folder, or a device such as ``/dev/null``, where a file is to be written."""
    path = Path(path)
    if path.exists() and not path.is_dir() and not path.is_file():
        # A new file would take its place, for every program on the machine.
        raise InputError(path, "is a device or a pipe", expected="a file to write")
    if path.is_dir():
        raise InputError(
            path, "is a folder", expected="a file to write", remedy="name a file in it"
        )


def refuse_foreign(path: str | Path, made: Collection[str]) -> None:
    """Keep what c2lst did not write from being replaced by a folder that it writes.

    Parameters
    ----------
    path
        Folder to write.
    made
        Names of what such a folder holds; the first of them is always in it.

    Raises
    ------
    InputError
        If it is a file, a mount point, or a folder that holds anything else.
    """
    path = Path(path)
    refuse_unreplaceable(path)
    if not path.exists():
        return
    held = sorted(p.name for p in path.iterdir() if not is_litter(p))
    foreign = [name for name in held if name not in made]
    if held and next(iter(made)) not in held:
        foreign = foreign or held
    if foreign:
        raise InputError(
            path, "holds files that c2lst did not write, so it is not replaced",
            found=foreign[0], expected="a new or empty folder",
            remedy="choose another output folder",
        )  # fmt: skip


def refuse_unreplaceable(path: Path) -> None:
    """Refuse a file, or the root of a disk, where a folder is to be written."""
    if path.exists() and not path.is_dir():
        raise InputError(
            path, "is a file", expected="a folder to write to", remedy="choose another output"
        )
    if path.is_symlink() and not path.exists():
        raise InputError(
            path, "is a link to what is not there", found=path.readlink(),
            expected="a folder to write to", remedy="mount or make it, or choose another output",
        )  # fmt: skip
    if path.is_mount():
        raise InputError(
            path, "is where a disk is mounted, which cannot be replaced",
            expected="a new folder", remedy="choose a folder in it",
        )  # fmt: skip


@contextlib.contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Keep a folder for this process: two that go on with one run would undo each other's work.

    The system frees it when the process ends, however it ends. Where a file system knows no locks,
    nothing is kept.

    Raises
    ------
    InputError
        If another process works in it, or it cannot be written to.
    """
    from filelock import FileLock, Timeout

    with readable_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                folder, "another c2lst works in this folder", expected="one at a time",
                remedy="wait for it, or choose a new folder with -o; if there is none, on whatever "
                f"machine, remove {_LOCK} in the folder",
            ) from None  # fmt: skip
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            logger.warning("%s: its file system knows no locks; run one c2lst at a time", folder)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows removes no file that is open.
            (folder / _LOCK).unlink(missing_ok=True)
        lock.release()


def is_litter(path: Path) -> bool:
    """Whether a file is nobody's work: what a Mac leaves in every folder, and a leftover lock."""
    return path.name in (".DS_Store", _LOCK) or path.name.startswith("._")


def _make_folder_of(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(
            path, "lies in a file, not a folder", remedy="choose another output"
        ) from error


def _settle(folder: Path) -> None:
    """Bring a folder to the disk, as readable as others: mkdtemp and safetensors write private."""
    allowed = ~_umask()
    folder.chmod(0o777 & allowed)
    for path in folder.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            if mode | (0o666 & allowed) != mode:
                path.chmod(stat.S_IMODE(mode) | (0o666 & allowed))
            _flush(path)
        elif stat.S_ISDIR(mode):
            _flush(path)
    _flush(folder)


def _flush(path: Path) -> None:
    """Bring a file, or the names in a folder, from the system's memory to the disk."""
    if path.is_dir():
        # Windows opens no folders, and some network file systems flush none.
        with contextlib.suppress(OSError):
            _sync(path, os.O_RDONLY)
    else:
        # Windows flushes only what is open for writing.
        _sync(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)


def _sync(path: Path, how: int) -> None:
    handle = os.open(path, how)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: str | Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(value, indent=2, default=_plain) + "\n", encoding="utf-8")


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not written to JSON")


def read_json(path: str | Path, *, required: Iterable[str] = ()) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    InputError
        If the file is missing, is not a JSON object, or lacks a key of ``required``.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file", expected="a JSON file", remedy="check the path")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            path, "is not readable JSON", found=error, remedy="copy it again, or make it again"
        ) from error
    if not isinstance(value, dict):
        raise InputError(
            path,
            "wrong JSON",
            found=type(value).__name__,
            expected="an object",
            remedy="copy it again, or make it again",
        )
    missing = sorted(set(required) - set(value))
    if missing:
        raise InputError(
            path,
            f"key {missing[0]!r} is missing",
            found=", ".join(sorted(value)) or "an empty object",
            remedy="copy it again, or make it again",
        )
    return value


def hash_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def hash_strings(values: Iterable[str]) -> str:
    """SHA-256 of a sequence of strings, which depends on their order and boundaries."""
    digest = hashlib.sha256()
    for value in values:
        encoded = value.encode("utf-8")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return digest.hexdigest()


def hash_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of named arrays: names, types, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}|{array.dtype.str}|{array.shape}|".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
