"""Settings from a preset, and what a TOML file or the command line changes in them."""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from c2lst.errors import InputError
from c2lst.settings.presets import PRESETS
from c2lst.settings.run import RunSettings


def load_settings(
    preset: str,
    config: Path | None = None,
    options: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> RunSettings:
    """Combine a preset, a TOML file and options; the later wins over the earlier.

    Parameters
    ----------
    preset
        ``tiny``, ``small``, ``base`` or ``paper``.
    config
        TOML file whose tables and keys are the fields of :class:`RunSettings`.
    options
        From the command line; values of ``None`` are options that were not given.
    defaults
        What a command takes in place of the preset's values; file and options win over them.

    Raises
    ------
    InputError
        If a name is unknown or a value is of the wrong type.
    """
    if preset not in PRESETS:
        raise InputError("settings", "preset", found=preset, expected=" or ".join(PRESETS))
    settings = _override(PRESETS[preset](), defaults or {}, "defaults")
    if config is not None:
        table = _read_toml(config)
        _refuse_seeds_of_stages(table, config)
        settings = _override(settings, table, str(config))
    given = {k: v for k, v in (options or {}).items() if v is not None}
    return _override(settings, given, "command line").seeded()


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        # Editors on Windows put a mark of the encoding first, which TOML does not know.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputError(path, "no such file", expected="a TOML file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise InputError(path, f"is not readable TOML ({error})") from error


def _refuse_seeds_of_stages(table: Mapping[str, Any], path: Path, within: str = "") -> None:
    """Refuse what would be ignored: the seed of the run goes to every stage."""
    for name, value in table.items():
        if name == "seed" and within:
            raise InputError(
                path, f"unknown setting 'seed' in [{within}]", found=value,
                expected="one seed for everything", remedy="set it above all tables",
            )  # fmt: skip
        if isinstance(value, Mapping):
            _refuse_seeds_of_stages(value, path, f"{within}.{name}" if within else name)


def _override(settings: Any, changes: Mapping[str, Any], where: str) -> Any:
    """Replace fields of nested dataclasses, refusing unknown names and wrong types."""
    hints = get_type_hints(type(settings))
    known = {f.name for f in dataclasses.fields(settings)}
    replaced = {}
    for name, value in changes.items():
        if name not in known or name == "preset":
            raise InputError(
                where, f"unknown setting {name!r}", expected=", ".join(sorted(known - {"preset"}))
            )
        current = getattr(settings, name)
        if dataclasses.is_dataclass(current):
            replaced[name] = _override(current, _table(value, name, where), where)
        else:
            replaced[name] = _like(hints[name], value, name, where)
    return dataclasses.replace(settings, **replaced)


def _table(value: object, name: str, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(where, name, found=value, expected=f"a table [{name}]")
    return value


def _like(hint: Any, value: object, name: str, where: str) -> object:
    """Return ``value`` as a field of this type takes it; refuse one of another type.

    It is the type that counts and not the value that is there, which may be None.
    """
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if value is None and type(None) in kinds:
        return None
    for kind in kinds:
        if dataclasses.is_dataclass(kind):
            table, fields = _table(value, name, where), get_type_hints(kind)
            return {k: _like(fields.get(k, object), v, k, where) for k, v in table.items()}
        if get_origin(kind) is tuple and isinstance(value, list | tuple):
            return tuple(_like(get_args(kind)[0], each, name, where) for each in value)
        if _fits(kind, value):
            # A whole number stands for a float.
            return float(value) if kind is float else value  # type: ignore[arg-type]
    names = " or ".join(map(_named, (kind for kind in kinds if kind is not type(None))))
    raise InputError(where, f"setting {name!r}", found=repr(value), expected=names)


def _fits(kind: Any, value: object) -> bool:
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and not math.isnan(value)  # type: ignore[arg-type]
    # A truth value is no number, though Python takes it for one.
    return kind is object or type(value) is kind


def _named(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    return str(get_origin(kind).__name__ if get_origin(kind) else kind.__name__)
