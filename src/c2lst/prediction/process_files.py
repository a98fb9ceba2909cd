"""A fitted Gaussian process as a folder: arrays in safetensors, covariance functions in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from c2lst.errors import InputError
from c2lst.prediction.kernels import Kernel
from c2lst.storage import read_json, whole_directory, write_json

_WEIGHTS_FILE, _META_FILE = "gaussian_process.safetensors", "gaussian_process.json"
_TRAIN = "train."


def write_process(directory: str | Path, parts: dict[str, Any], names: Sequence[str]) -> None:
    """Write a process.

    Parameters
    ----------
    directory
        Where to; a folder that is there is replaced.
    parts
        ``kernels``, ``train`` (view to array), and the arrays ``names``.
    """
    from safetensors.numpy import save_file

    arrays = {name: np.ascontiguousarray(parts[name]) for name in names}
    arrays |= {_TRAIN + view: np.ascontiguousarray(x) for view, x in parts["train"].items()}
    with whole_directory(directory) as partial:
        save_file(arrays, partial / _WEIGHTS_FILE)
        write_json(partial / _META_FILE, {"kernels": [k.to_dict() for k in parts["kernels"]]})


def read_process(directory: str | Path, names: Sequence[str]) -> dict[str, Any]:
    """Read the parts that :func:`write_process` wrote.

    Raises
    ------
    InputError
        If a file or an array is missing or damaged.
    """
    from c2lst.diffusion.weights import read_tensors

    directory = Path(directory)
    meta = read_json(directory / _META_FILE, required=("kernels",))
    path = directory / _WEIGHTS_FILE
    arrays: dict[str, Any] = {name: x.numpy() for name, x in read_tensors(path).items()}
    train = {n.removeprefix(_TRAIN): x for n, x in arrays.items() if n.startswith(_TRAIN)}
    missing = [name for name in names if name not in arrays]
    if missing or not train:
        raise InputError(
            path, f"array {(missing or ['train'])[0]!r} is missing", remedy="train it again"
        )
    try:
        kernels = tuple(Kernel(**kernel) for kernel in meta["kernels"])
    except TypeError as error:
        raise InputError(
            directory / _META_FILE, f"describes no kernels ({error})", remedy="train it again"
        ) from error
    return {"kernels": kernels, "train": train, **{name: arrays[name] for name in names}}
