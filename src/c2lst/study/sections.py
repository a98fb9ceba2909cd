"""The sections of a study: each is read once, and stays what it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst.errors import InputError
from c2lst.progress import progress_bar
from c2lst.study.record import write_record

if TYPE_CHECKING:
    from c2lst.data.section import Section
    from c2lst.study.shared import Study


def read_sections(study: Study, paths: Sequence[Path], record: dict[str, Any]) -> list[str]:
    """Read each section that is not read yet, and return the names of all.

    Raises
    ------
    InputError
        If a section cannot be read, or the study has another of its name, or other patches of it.
    """
    size, patch_um = _patch(study)
    asked: dict[str, Any] = {"size": size, "patch_um": patch_um}
    with progress_bar("read", len(paths)) as bar:
        for path in paths:
            name = record["sections"].get(str(path))
            if name is None or not study.section_folder(name).is_dir():
                name = _read(study, path, record, asked)
                record["sections"][str(path)] = name
                record.setdefault("patches", {})[name] = asked
                write_record(study.root, record)
            _check_patches(study, name, record, asked)
            bar.advance(note=name)
    return [record["sections"][str(path)] for path in paths]


def _read(study: Study, path: Path, record: dict[str, Any], patches: dict[str, Any]) -> str:
    from c2lst.data.readers import read
    from c2lst.data.section import Section

    section = read(path, **patches)
    others = (name for other, name in record["sections"].items() if other != str(path))
    if section.name in others:
        raise InputError(
            path,
            "a section of this name is given twice",
            found=section.name,
            remedy="give each section once; rename one of two that are not the same",
        )
    folder = study.section_folder(section.name)
    if folder.is_dir():
        _check_same(path, section, Section.load(folder))
    else:
        section.save(folder)
    return section.name


def _check_same(path: Path, section: Section, kept: Section) -> None:
    """Make sure that a section of shared work that is taken over is the one that is given."""
    for what, found, expected in (
        ("counts", section.content_hash[:12], kept.content_hash[:12]),
        ("patches", section.patches.size, kept.patches.size),
    ):
        if found != expected:
            raise InputError(
                path,
                f"is not the section {section.name!r} of the study: other {what}",
                found=found,
                expected=expected,
                remedy="choose a new folder with -o, or give the same section",
            )


def _check_patches(study: Study, name: str, record: dict[str, Any], asked: dict[str, Any]) -> None:
    """Make sure that a section was read for patches as they are asked for now.

    Its splits know, once they have begun; a study that ended before has none.
    """
    # Records of earlier versions say nothing of patches: they are taken as given.
    for what, found in record.get("patches", {}).get(name, asked).items():
        if found != asked[what]:
            raise InputError(
                study.section_folder(name), f"was read for patches of another {what}",
                found=found, expected=asked[what],
                remedy="choose a new folder with -o, or give the same settings",
            )  # fmt: skip


def _patch(study: Study) -> tuple[int, float]:
    """Side of the patches in px and in µm: those of the central model that is given, if any."""
    from c2lst.central import CentralModel

    if study.central is None:
        return study.settings.central.shape.size, study.settings.patch_um
    model = CentralModel.load(study.central)
    return model.size, model.patch_um
