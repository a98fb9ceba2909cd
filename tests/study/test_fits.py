"""Advice weighs what other arms have trained, and trains nothing again."""

import dataclasses
import shutil

import pytest

from c2lst.diffusion import trainer
from c2lst.study import StudySettings, run_study, running
from c2lst.study.grid import Cell
from c2lst.study.results import read_table
from toy import toy_settings

GRID = StudySettings(
    fractions=(0.5,), ratios=(2,), controls=(), seeds=1, networks=("frozen",), advised=True
)


def settings(folder):
    """A toy study's, with an encoder that takes no time."""
    return toy_settings(folder, prediction={"encoder": "random"})


def run(section, folder, grid=GRID):
    """Run a study; return its folder and, in order, arms with the updates that each made."""
    steps, done = [], []
    carry_out, take_step = running.carry_out, trainer._Run._take_step

    def counted(self):
        steps.append(self.label)
        return take_step(self)

    def noted(study, cell):
        before = len(steps)
        carry_out(study, cell)
        done.append((cell.arm.name, len(steps) - before))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer._Run, "_take_step", counted)
        patch.setattr(running, "carry_out", noted)
        outcome = run_study([section], folder, settings(folder.parent), grid)
    assert outcome.failed == {}
    return outcome.root, done


@pytest.fixture(scope="module")
def one_after_another(small_legacy, tmp_path_factory):
    return run(small_legacy, tmp_path_factory.mktemp("fits") / "study")


@pytest.fixture
def again(one_after_another, small_legacy, tmp_path):
    """Do the cells again, of what the study has shared between them."""

    def again(name, grid=GRID):
        folder = tmp_path / name / "study"
        for shared in ("sections", "splits"):
            source = one_after_another[0] / shared
            shutil.copytree(source, folder / shared, ignore=shutil.ignore_patterns("cells"))
        return run(small_legacy, folder, grid)

    return again


def test_advice_takes_no_update_of_its_own(one_after_another):
    root, done = one_after_another
    made = dict(done)
    assert made["ratio-0"] > 0 and made["ratio-2"] > 0
    assert made["advised"] == 0
    assert not list(root.glob("splits/*/*/.work"))


def test_it_comes_after_them_and_says_the_same_in_any_order(one_after_another, again, monkeypatch):
    cells = StudySettings.cells
    # Advice first, were it not for what it rests on.
    monkeypatch.setattr(StudySettings, "cells", lambda *given: cells(*given)[::-1])
    root, done = again("reversed")
    names = [name for name, _ in done]
    assert dict(done)["advised"] == 0
    assert names.index("advised") > max(names.index("ratio-0"), names.index("ratio-2"))
    # Alone, it trains for itself, and comes to the same.
    monkeypatch.setattr(StudySettings, "cells", _advised_alone(cells))
    alone, found = again("alone")
    assert [name for name, _ in found] == ["no-network", "advised"] and found[1][1] > 0
    errors = [
        read_table(folder).set_index("arm").loc["advised", "mae"]
        for folder in (one_after_another[0], root, alone)
    ]
    assert errors[0] == errors[1] == errors[2]


def test_mini_batches_of_each_arms_own_ratio_are_no_part_of_advice(again):
    union = dataclasses.replace(GRID, union=True)
    _, done = again("union", union)
    made = dict(done)
    assert made["advised"] == made["ratio-0"] > 0


def _advised_alone(cells):
    def only(*given) -> list[Cell]:
        return [cell for cell in cells(*given) if cell.arm.name in ("no-network", "advised")]

    return only
