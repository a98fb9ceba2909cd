"""The central model that comes with the package: where it is, and what to do where there is none.

It lies in ``c2lst/models/NAME/``, as ``c2lst publish --half`` writes it: in half precision, with
its card. There is one at most; ``builtin`` names it wherever a central model is asked for.
"""

from __future__ import annotations

from pathlib import Path

from c2lst.errors import InputError

BUILTIN = "builtin"
MODELS = Path(__file__).parents[1] / "models"
MOST_BYTES = 16_000_000
"""What a model that is shipped may take up, with its card."""


def is_builtin(where: str | Path) -> bool:
    """Whether ``where`` names the built-in model: ``builtin``, and no such folder here."""
    return str(where) == BUILTIN and not Path(where).is_dir()


def find_builtin() -> Path | None:
    """Return the folder of the built-in model; None where this copy of c2lst has none."""
    return next(iter(sorted(path.parent for path in MODELS.glob("*/central.json"))), None)


def builtin_folder() -> Path:
    """Return the folder of the built-in model.

    Raises
    ------
    InputError
        If this copy of c2lst has none.
    """
    folder = find_builtin()
    if folder is None:
        there = sorted(path.name for path in MODELS.glob("*"))
        raise InputError(
            BUILTIN,
            "this copy of c2lst has no central model of its own",
            found=f"{', '.join(there) or 'nothing'} in {MODELS}",
            expected="a folder with central.json",
            remedy="give the folder of a central model or its id on the hub; c2lst pretrain makes "
            "one",
        )
    return folder
