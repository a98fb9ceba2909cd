"""What an adapter was made from, on this machine: noted beside it, found again, checked."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from c2lst.errors import InputError
from c2lst.storage import read_json, write_json

if TYPE_CHECKING:
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.local.model import LocalModel

SOURCES_JSON = "sources.json"


@dataclass(frozen=True)
class Sources:
    """Paths of what an adapter was made from; they concern this machine, and never leave it.

    Parameters
    ----------
    section, split
        Folder of the section, and file of its split.
    central
        The central model: its folder, its id on the hub, or ``builtin``.
    """

    section: Path | None = None
    split: Path | None = None
    central: Path | str | None = None

    def save(self, folder: Path, adapter: Path) -> None:
        """Write ``sources.json`` into ``folder``, which is to become ``adapter``.

        What lies beside the adapter is noted relative to it, so that both can be moved together.
        """
        noted = {
            kind: None if place is None else _noted(place, adapter)
            for kind, place in asdict(self).items()
        }
        write_json(folder / SOURCES_JSON, noted)

    @classmethod
    def load(cls, adapter: Path) -> Sources:
        """Read what was noted with an adapter; nothing, where it came from elsewhere."""
        path = adapter / SOURCES_JSON
        if not path.is_file():
            return cls()
        noted = read_json(path, required=("section", "split", "central"))
        if not all(value is None or isinstance(value, str) for value in noted.values()):
            raise InputError(path, "is no note of sources", expected="paths", remedy="remove it")
        found = {kind: _found(noted[kind], adapter) for kind in ("section", "split", "central")}
        return cls(**found)  # type: ignore[arg-type]

    def or_else(self, other: Sources) -> Sources:
        """Return these, and of those not given the ``other``."""
        return Sources(
            self.section or other.section, self.split or other.split, self.central or other.central
        )


def open_adapter(adapter: str | Path, central: Path | str | None = None) -> LocalModel:
    """Load an adapter onto its central model.

    Parameters
    ----------
    adapter
        Its folder.
    central
        The central model: its folder, its id on the hub, or ``builtin``; that noted with the
        adapter by default.

    Raises
    ------
    InputError
        If the central model is not there or not the right one, or the adapter cannot be loaded.
    """
    from c2lst.central import CentralModel
    from c2lst.local.model import LocalModel

    adapter = Path(adapter)
    if not adapter.is_dir():
        raise InputError(adapter, "no such folder", expected="an adapter")
    where = central or _existing(adapter, "central", Sources.load(adapter).central)
    return LocalModel.load(adapter, CentralModel.load(where))


def open_spots(
    adapter: str | Path,
    local: LocalModel,
    section: Path | None = None,
    split: Path | None = None,
) -> tuple[Section, SpotSplit]:
    """Open section and split that an adapter was trained on.

    Parameters
    ----------
    adapter, local
        Its folder, and the adapter itself.
    section, split
        Folder and file; those noted with the adapter by default.

    Raises
    ------
    InputError
        If one is not there, or is another than the adapter was trained on.
    """
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit

    noted = Sources(section, split).or_else(Sources.load(Path(adapter)))
    slide = Section.load(_existing(Path(adapter), "section", noted.section))
    spots = SpotSplit.load(_existing(Path(adapter), "split", noted.split))
    for option, where, found, key in (
        ("section", noted.section, slide.content_hash, "section_hash"),
        ("split", noted.split, spots.train_hash, "train_hash"),
    ):
        if found != local.provenance[key]:
            raise InputError(
                where or option,
                f"is not the {option} that the adapter was trained on",
                found=found[:12],
                expected=str(local.provenance[key])[:12],
                remedy=f"give the right one with --{option}",
            )
    return slide, spots


def _noted(place: Path | str, adapter: Path) -> str:
    """Return a path as it is noted: relative if it lies beside the adapter; names as they are."""
    from c2lst.central.hub import is_name

    if is_name(place):
        return str(place)
    home, path = adapter.absolute().parent, Path(place).absolute()
    return f"../{path.relative_to(home).as_posix()}" if path.is_relative_to(home) else str(path)


def _found(noted: str | None, adapter: Path) -> Path | str | None:
    if noted is None:
        return None
    if noted.startswith("../"):
        return adapter.absolute().parent / noted.removeprefix("../")
    return Path(noted) if Path(noted).is_absolute() else noted


def _existing(adapter: Path, option: str, place: Path | str | None) -> Path:
    """Return a noted place; refuses one that is not known, or no longer there."""
    from c2lst.central.hub import is_name

    if place is None:
        raise InputError(
            adapter,
            f"does not say where its {option} is",
            expected=f"--{option}, or {SOURCES_JSON} in the adapter",
            remedy=f"give it with --{option}",
        )
    if isinstance(place, Path) and not place.exists():
        raise InputError(
            place,
            "no such file or folder",
            expected=f"the {option} that the adapter was made from",
            remedy=f"give it with --{option}",
        )
    if not isinstance(place, Path) and not is_name(place):
        raise InputError(
            adapter / SOURCES_JSON, f"{option!r} is neither a path nor a model's name", found=place,
            remedy=f"give it with --{option}",
        )  # fmt: skip
    return Path(place)
