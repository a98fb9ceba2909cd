"""Work that is done once a split: the stages of a run, with the largest pool of any ratio.

The stages are those of :mod:`c2lst.workflow.stages`, so that a study learns what ``c2lst run``
with the same fraction, scheme and seed would learn. A central model that is given is used where it
is. Without one, each split pretrains its own outside its test spots, as a run does: what is held
out by one split is trained on by another, so that no central model could serve both.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.storage import read_json, whole_file
from c2lst.study.grid import Cell, SplitKey, StudySettings
from c2lst.workflow.rundir import RunDirectory

if TYPE_CHECKING:
    from c2lst.settings import RunSettings

FEATURES, UNCONDITIONAL = "features.safetensors", "unconditional"


@dataclass(frozen=True)
class Study:
    """Everything that a piece of a study's work has to know.

    Parameters
    ----------
    root
        Folder of the study.
    grid, settings
        What is compared, and how each part is trained.
    central
        Folder of a central model that is given.
    """

    root: Path
    grid: StudySettings
    settings: RunSettings
    central: Path | None = None

    def section_folder(self, name: str) -> Path:
        """Folder of a section, as read."""
        return self.root / "sections" / name

    def split_folder(self, key: SplitKey) -> Path:
        """Folder of what is shared by the cells of a split, and of the cells."""
        return self.root / "splits" / key.section / key.name

    def cell_folder(self, cell: Cell) -> Path:
        """Folder of a cell's result; it is there when the cell is done."""
        return self.split_folder(cell.split) / "cells" / cell.arm.name

    def settings_of(self, key: SplitKey) -> RunSettings:
        """Return the settings of the run that a split stands for."""
        synthesis = dataclasses.replace(self.settings.synthesis, per_spot=max(1, self.grid.largest))
        return dataclasses.replace(
            self.settings,
            fraction=key.fraction,
            scheme=key.scheme,
            seed=key.seed,
            synthesis=synthesis,
        ).seeded()

    def directory(self, key: SplitKey) -> SplitDirectory:
        """Open the folder of a split."""
        return SplitDirectory(self, key)


class SplitDirectory(RunDirectory):
    """A run's folder whose section, and whose central model if one is given, lie elsewhere."""

    def __init__(self, study: Study, key: SplitKey) -> None:
        self.elsewhere = {"section": study.section_folder(key.section)}
        if study.central is not None and not study.settings.slide_steps:
            self.elsewhere["central"] = study.central
        settings = dataclasses.asdict(study.settings_of(key))
        inputs = {"section": key.section, "central": _text(study.central)}
        super().__init__(study.split_folder(key), inputs, settings, "c2lst study")

    def path(self, name: str) -> Path:
        """Return the path of an artefact."""
        return self.elsewhere.get(name, self.root / name)


def prepare(study: Study, key: SplitKey) -> None:
    """Do what the cells of a split share, as far as it is not done."""
    from c2lst.workflow.stages import STAGE_FUNCTIONS, RunInputs

    directory, settings = study.directory(key), study.settings_of(key)
    inputs = RunInputs(source=directory.path("section"), central=study.central)
    for name in _stages(study):
        if directory.is_done(name) or name in directory.elsewhere:
            continue
        with directory.stage(name) as summary:
            summary.update(STAGE_FUNCTIONS[name](directory, inputs, settings))
    if "unconditional" in study.grid.controls and not directory.is_done(UNCONDITIONAL):
        with directory.stage(UNCONDITIONAL):
            _draw_unconditional(directory, settings)
    if not directory.is_done("features"):
        with directory.stage("features") as summary:
            summary.update(_encode(directory))
    directory.finish()


def _stages(study: Study) -> tuple[str, ...]:
    drawn = ("adapt", "synthesize") if study.grid.largest else ()
    return ("split", "fit", "central", *drawn)


def _draw_unconditional(directory: SplitDirectory, settings: RunSettings) -> None:
    """Give the profiles of the pool to samples of the central model, which knows no genes."""
    from c2lst.central import CentralModel
    from c2lst.data.synthetic import SyntheticPairs

    pool = SyntheticPairs.load(directory.path("synthetic"))
    how = settings.synthesis
    images = CentralModel.load(directory.path("central")).sample(
        len(pool), seed=how.seed, sampler=how.sampler, batch_size=how.batch_size
    )
    pairs = dataclasses.replace(
        pool,
        images=images,
        guidance_scale=0.0,
        provenance={**pool.provenance, "control": {"name": "unconditional"}},
    )
    pairs.save(directory.path(UNCONDITIONAL), directory.manifest["inputs"]["section"])


def _encode(directory: SplitDirectory) -> dict[str, str]:
    """Keep the central model's view of all spots, and say what all cells rest on."""
    from safetensors.numpy import save_file

    from c2lst.central import CentralModel
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit

    central = CentralModel.load(directory.path("central"))
    preprocessing = Preprocessing.load(directory.path("preprocessing.json"))
    section = Section.load(directory.path("section"))
    features = central.encode(preprocessing.images(section))
    with whole_file(directory.path(FEATURES)) as partial:
        save_file({"central": np.ascontiguousarray(features)}, partial)
    adapter = directory.path("adapter") / "adapter_config.json"
    return {
        "section_hash": section.content_hash,
        "train_hash": SpotSplit.load(directory.path("split.json")).train_hash,
        "preprocessing_hash": preprocessing.hash,
        "central_hash": central.hash,
        "adapter_hash": read_json(adapter)["hash"] if directory.is_done("adapt") else "",
    }


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
