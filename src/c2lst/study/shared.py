"""Work that is done once a split: the stages of a run, with the largest pool of any ratio.

The stages are those of :mod:`c2lst.workflow.stages`, so that a study learns what ``c2lst run``
with the same fraction, scheme and seed would learn. A central model that is given is used where it
is. Without one, each split pretrains its own outside its test spots, as a run does: what is held
out by one split is trained on by another, so that no central model could serve both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.storage import read_json, whole_file
from c2lst.study.arms import needs_pool, settings_for
from c2lst.study.generators import JUDGE, judge
from c2lst.study.grid import Cell, SplitKey, StudySettings
from c2lst.study.identity import cell_key, differences
from c2lst.study.pool import UNCONDITIONAL, draw_unconditional, enlarge
from c2lst.workflow.rundir import RunDirectory

if TYPE_CHECKING:
    from c2lst.prediction.options import PredictorSettings
    from c2lst.settings import RunSettings

FEATURES = "features.safetensors"
ENLARGE = "enlarge"
CELLS = "cells"


@dataclass(frozen=True)
class Study:
    """Everything that a piece of a study's work has to know.

    Parameters
    ----------
    root
        Folder of the study.
    grid
        What is compared in all, in earlier requests and in this one.
    asked
        What this request asks for, a part of it.
    settings
        How each part is trained.
    central, central_hash
        Folder of a central model that is given, and its content's hash.
    encoder
        Identity of the encoder of frozen networks, where there are any.
    """

    root: Path
    grid: StudySettings
    asked: StudySettings
    settings: RunSettings
    central: Path | None = None
    central_hash: str | None = None
    encoder: str = ""

    def section_folder(self, name: str) -> Path:
        """Folder of a section, as read."""
        return self.root / "sections" / name

    def split_folder(self, key: SplitKey) -> Path:
        """Folder of what is shared by the cells of a split, and of the cells."""
        return self.root / "splits" / key.section / key.name

    def cells(self, key: SplitKey) -> list[Cell]:
        """Return the cells of a split that this request asks for."""
        return self.grid.cells(key, self.asked)

    def cell_folder(self, cell: Cell) -> Path:
        """Folder of a cell's result; it is there when the cell is done with these settings."""
        of_split = self.settings_of(cell.split)
        key = cell_key(cell, of_split, self.prediction_of(cell), self.central_hash, self.encoder)
        return self.split_folder(cell.split) / CELLS / f"{cell.arm.title}-{key}"

    def is_done(self, cell: Cell) -> bool:
        """Say whether the result of a cell is there."""
        return self.cell_folder(cell).is_dir()

    def prediction_of(self, cell: Cell) -> PredictorSettings:
        """Return how the predictor of a cell is fitted."""
        return settings_for(cell.arm, self.grid, self.settings_of(cell.split).prediction)

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
    """A run's folder whose section, and whose central model if one is given, lie elsewhere.

    Raises
    ------
    InputError
        If it holds work that other settings shaped.
    """

    def __init__(self, study: Study, key: SplitKey) -> None:
        self.wanted = study.settings_of(key)
        self.elsewhere = {"section": study.section_folder(key.section)}
        if study.central is not None and not study.settings.slide_steps:
            self.elsewhere["central"] = study.central
        inputs = {
            "section": key.section,
            "central": None if study.central is None else str(study.central),
            "central_hash": study.central_hash,
        }
        settings = dataclasses.asdict(self.wanted)
        super().__init__(study.split_folder(key), inputs, settings, "c2lst study")

    def path(self, name: str) -> Path:
        """Return the path of an artefact."""
        return self.elsewhere.get(name, self.root / name)

    def _may_be_there(self, path: Path) -> bool:
        # Finished cells that came from another machine, without what they were made from.
        return path.name == CELLS or super()._may_be_there(path)

    def _refuse_other_run(self, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        for name, found, expected in self._differences(inputs):
            raise InputError(
                self.root,
                f"holds work that another {name} shaped",
                found=found,
                expected=expected,
                remedy="choose a new folder with -o, or give what was given before",
            )
        self.manifest |= {"inputs": dict(inputs), "settings": dict(settings)}

    def _differences(self, inputs: Mapping[str, Any]) -> Iterator[tuple[str, object, object]]:
        stages = {n: s for n, s in self.manifest["stages"].items() if s["status"] == "done"}
        before, hashes = self.manifest["inputs"], stages.get("features", {}).get("summary", {})
        if before["section"] != inputs["section"]:
            yield "section", before["section"], inputs["section"]
        if {"central", "features", "adapt"} & set(stages):
            found = before.get("central_hash")
            if found is None and before["central"] is not None:
                # An older manifest names the folder alone; its features know what was in it.
                found = hashes.get("central_hash")
            if found != inputs["central_hash"]:
                yield "central model", found or before["central"], inputs["central_hash"]
        yield from differences(stages, self.manifest["settings"], self.wanted)


def check_shared(study: Study) -> None:
    """Make sure that nothing in the folder of a study was shaped by other settings.

    Splits that this request does not ask for are looked at too: their cells stand in the same
    tables.

    Raises
    ------
    InputError
        With the first split that does not fit.
    """
    for path in sorted(study.root.glob("splits/*/*/manifest.json")):
        settings = read_json(path, required=("inputs", "settings"))["settings"]
        places = (settings["scheme"], settings["fraction"], settings["seed"])
        study.directory(SplitKey(path.parent.parent.name, *places))


def stages_to_do(study: Study, key: SplitKey, directory: SplitDirectory) -> list[str]:
    """Name, in order, the shared work that the cells asked for need and that is not done."""
    arms = [cell.arm for cell in study.cells(key)]
    stages = ["split", "fit", "central"]
    if any(needs_pool(arm) for arm in arms):
        stages += ["adapt", "synthesize"]
    todo = [s for s in stages if not directory.is_done(s) and s not in directory.elsewhere]
    if "adapt" in stages and directory.is_done("synthesize") and _is_small(directory):
        todo.append(ENLARGE)
    fits = directory.is_done(UNCONDITIONAL) and ENLARGE not in todo
    if any(arm.name == UNCONDITIONAL for arm in arms) and not fits:
        todo.append(UNCONDITIONAL)
    if study.asked.generator and "adapt" in stages and not directory.is_done(JUDGE):
        todo.append(JUDGE)
    return todo if directory.is_done("features") else [*todo, "features"]


def _is_small(directory: SplitDirectory) -> bool:
    """Whether the pool has fewer pairs than the largest ratio needs."""
    pairs = max(stage["summary"].get("pairs", 0) for stage in directory.manifest["stages"].values())
    return bool(pairs < directory.wanted.synthesis.per_spot * directory.summary("split")["train"])


def _enlarge(directory: SplitDirectory) -> dict[str, Any]:
    # What goes with the smaller pool does not go with the larger one.
    directory.manifest["stages"].pop(UNCONDITIONAL, None)
    return {"pairs": enlarge(directory, directory.wanted.synthesis)}


def prepare(study: Study, key: SplitKey) -> None:
    """Do what the cells of a split share, as far as they are asked for and it is not done."""
    from c2lst.workflow.stages import STAGE_FUNCTIONS, RunInputs

    directory, settings = study.directory(key), study.settings_of(key)
    inputs = RunInputs(source=directory.path("section"), central=study.central)
    own: Mapping[str, Callable[[], dict[str, Any]]] = {
        ENLARGE: lambda: _enlarge(directory),
        UNCONDITIONAL: lambda: {"images": draw_unconditional(directory, settings.synthesis)},
        JUDGE: lambda: judge(directory),
        "features": lambda: _encode(directory),
    }
    for name in stages_to_do(study, key, directory):
        with directory.stage(name) as summary:
            work = own.get(name)
            summary.update(
                STAGE_FUNCTIONS[name](directory, inputs, settings) if work is None else work()
            )
    directory.finish()


def _encode(directory: SplitDirectory) -> dict[str, str]:
    """Keep the central model's views of all spots, and say what all cells rest on."""
    from safetensors.numpy import save_file

    from c2lst.central import CentralModel
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit

    central = CentralModel.load(directory.path("central"))
    preprocessing = Preprocessing.load(directory.path("preprocessing.json"))
    section = Section.load(directory.path("section"))
    views = central.encode_views(preprocessing.images(section))
    with whole_file(directory.path(FEATURES)) as partial:
        save_file({name: np.ascontiguousarray(x) for name, x in views.items()}, partial)
    return {
        "section_hash": section.content_hash,
        "train_hash": SpotSplit.load(directory.path("split.json")).train_hash,
        "preprocessing_hash": preprocessing.hash,
        "central_hash": central.hash,
    }
