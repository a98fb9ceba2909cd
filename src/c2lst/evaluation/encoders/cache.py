"""Features that are kept: each image is encoded once for each encoder, wherever it turns up.

An image is known by its bytes. Features lie in a folder for each encoder, in safetensors files of
up to a thousand images, which are never changed: several processes may read and write at once.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import numpy as np

from c2lst.evaluation.encoders.protocol import IdentifiedEncoder, check_patches
from c2lst.progress import progress_bar, quietly
from c2lst.storage import hash_arrays, whole_file

FOLDER = "C2LST_FEATURES"
"""Environment variable: the folder of kept features; empty keeps none."""

LIMIT_GB = 10.0
"""Size of the folder, from which on the files that were written first are removed."""

SHARD = 1024
_HASH_BYTES = 16
_HASH = re.compile(r"[0-9a-f]{32}")
"""Folders of an encoder, and files of features, are named by such a hash."""


def default_folder() -> Path | None:
    """Return where features are kept: `FOLDER`, or the platform's folder for caches."""
    import pooch

    if FOLDER in os.environ:
        return Path(os.environ[FOLDER]) if os.environ[FOLDER] else None
    return Path(pooch.os_cache("c2lst")) / "features"


class CachedEncoder:
    """An encoder that remembers.

    Parameters
    ----------
    encoder
        What encodes.
    folder
        Where features are kept.
    limit_gb
        Size of the folder above which the oldest files go.
    """

    def __init__(
        self, encoder: IdentifiedEncoder, folder: Path, *, limit_gb: float = LIMIT_GB
    ) -> None:
        self.encoder = encoder
        self.name, self.label, self.identity = encoder.name, encoder.label, encoder.identity
        self._root, self._limit = folder, limit_gb * 1e9
        self._place = folder / hashlib.sha256(encoder.identity.encode()).hexdigest()[:32]

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Return float32 features ``(n, d)`` of uint8 RGB patches ``(n, S, S, 3)``."""
        check_patches(images)
        known = self._known()
        parts = []
        with progress_bar(self.name, len(images)) as bar:
            for start in range(0, len(images), SHARD):
                some = np.ascontiguousarray(images[start : start + SHARD])
                with quietly():
                    parts.append(self._features(some, known))
                bar.advance(len(some))
        return np.concatenate(parts).astype(np.float32)

    def _features(self, images: np.ndarray, known: dict[bytes, tuple[Path, int]]) -> np.ndarray:
        keys = [_key(image) for image in images]
        features = self._read(keys, known)
        new = np.array([row for row, key in enumerate(keys) if key not in features], dtype=int)
        if len(new):
            encoded = self.encoder.encode(images[new])
            self._write([keys[row] for row in new], encoded)
            features |= {keys[row]: vector for row, vector in zip(new, encoded, strict=True)}
        return np.stack([features[key] for key in keys])

    def _known(self) -> dict[bytes, tuple[Path, int]]:
        """File and row of each image that was encoded before."""
        known: dict[bytes, tuple[Path, int]] = {}
        for path in sorted(self._place.glob("*.safetensors")):
            stored = _tensor(path, "images")
            if stored is not None:
                known |= {row.tobytes(): (path, number) for number, row in enumerate(stored)}
        return known

    def _read(
        self, keys: list[bytes], known: dict[bytes, tuple[Path, int]]
    ) -> dict[bytes, np.ndarray]:
        wanted: dict[Path, dict[bytes, int]] = {}
        for key in keys:
            if key in known:
                path, row = known[key]
                wanted.setdefault(path, {})[key] = row
        found: dict[bytes, np.ndarray] = {}
        for path, rows in wanted.items():
            stored = _tensor(path, "features")
            if stored is not None:  # else another process has removed it: encoded anew
                found |= {key: stored[row] for key, row in rows.items()}
        return found

    def _write(self, keys: list[bytes], features: np.ndarray) -> None:
        from safetensors.numpy import save_file

        images = np.stack([np.frombuffer(key, dtype=np.uint8) for key in keys])
        path = self._place / f"{hash_arrays({'images': images})[:32]}.safetensors"
        with whole_file(path) as partial:
            save_file({"images": images, "features": features.astype(np.float32)}, partial)
        _shrink(self._root, self._limit)


def _key(image: np.ndarray) -> bytes:
    digest = hashlib.sha256(f"{image.shape}{image.dtype}".encode())
    digest.update(image.tobytes())
    return digest.digest()[:_HASH_BYTES]


def _tensor(path: Path, name: str) -> np.ndarray | None:
    """Read one array of a file; none where the file is gone or damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return np.asarray(file.get_tensor(name))
    except (OSError, SafetensorError):
        return None


def _shrink(root: Path, limit: float) -> None:
    """Remove the files written first until the rest is within the limit; the newest stays.

    The folder is the user's choice: weights that lie in folders beside the features stay.
    """
    files = []
    for path in root.glob("*/*.safetensors"):
        if not (_HASH.fullmatch(path.stem) and _HASH.fullmatch(path.parent.name)):
            continue
        try:
            about = path.stat()
        except OSError:  # removed by another process
            continue
        files.append((about.st_mtime, about.st_size, path))
    total = sum(size for _, size, _ in files)
    for _, size, path in sorted(files)[:-1]:
        if total <= limit:
            break
        path.unlink(missing_ok=True)
        total -= size
