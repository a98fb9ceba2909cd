import contextlib
import json
import os
import shutil
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pandas as pd
import pytest

from c2lst.errors import InputError
from c2lst.storage import one_writer
from c2lst.study import StudySettings, run_study, running, workers
from c2lst.study.grid import Cell, SplitKey
from c2lst.study.results import KEYS, read_table
from c2lst.study.workers import Failure, work_off
from c2lst.workflow import stages
from toy import toy_settings
from toy_study import Noting, die


def test_every_method_of_every_arm_has_a_row(finished, grid):
    table = read_table(finished)
    assert not table.duplicated(list(KEYS)).any()
    rows = table.groupby("arm")["method"].apply(set)
    assert set(rows.index) == {arm.name for arm in grid.arms()} | {"baseline"}
    assert rows["no-network"] == {"c2lst (image + place)"}
    assert rows["shuffled"] == {"c2lst (image + place)", "network"}
    assert {"train_median", "kriging", "ridge"} <= rows["baseline"]
    assert table["skill"].notna().all()
    assert (table[["section_hash", "train_hash", "central_hash"]] != "").all().all()
    # What rests on no synthetic image rests on no adapter.
    assert set(table.loc[table["adapter_hash"] == "", "arm"]) == {
        *("baseline", "no-network", "ratio-0", "same-epochs"),
    }


def test_arms_take_equal_steps_and_as_many_pairs_as_they_say(finished):
    table = read_table(finished).set_index("arm")
    trained = table[table["networks"] > 0]
    assert (trained["pairs"] == trained["ratio"] * trained["train_spots"]).all()
    steps = trained["steps"].groupby("arm").first()
    assert steps.pop("same-epochs") == 1
    assert set(steps) == {4}


def test_real_only_is_what_synthetic_pairs_are_measured_against(finished):
    table = read_table(finished).set_index(["arm", "method"])
    assert table.loc["ratio-0", "mae_drop"].eq(0).all()
    assert table.loc["baseline", "mae_drop"].isna().all()
    network = table.xs("network", level="method")["mae"]
    drop = table.loc[("ratio-2", "network"), "mae_drop"]
    assert drop == pytest.approx(1 - network["ratio-2"] / network["ratio-0"])


def test_a_study_leaves_its_tables_its_page_and_no_scratch(finished):
    names = {path.name for path in finished.iterdir()}
    assert names == {
        *("study.json", "study.html", "study.parquet", "genes.parquet", "table.csv"),
        *("blocks.parquet", "comparisons.parquet", "figures", "sections", "splits"),
    }
    assert not list(finished.glob("splits/*/*/.*"))


def test_shared_work_is_done_once_and_an_interrupted_study_goes_on(
    finished, grid, small_legacy, tmp_path, monkeypatch
):
    """Interrupted while each stage and each second cell is at work: every one is done once."""
    done, stop = [], iter([True, False] * 50)

    def counted(name, work):
        def call(*arguments):
            result = work(*arguments)
            done.append(name)
            return result

        return call

    counting = {name: counted(name, work) for name, work in stages.STAGE_FUNCTIONS.items()}
    monkeypatch.setattr(stages, "STAGE_FUNCTIONS", counting)
    carry_out = running.carry_out

    def interrupted(study, cell):
        if next(stop):
            raise KeyboardInterrupt
        carry_out(study, cell)
        done.append(cell.arm.name)

    monkeypatch.setattr(running, "carry_out", interrupted)
    arguments = ([small_legacy], tmp_path / "study", toy_settings(tmp_path), grid)
    for _ in grid.arms():
        with pytest.raises(KeyboardInterrupt):
            run_study(*arguments)
    run_study(*arguments)
    shared = ["split", "fit", "central", "adapt", "synthesize"]
    assert sorted(done) == sorted(shared + [arm.name for arm in grid.arms()])
    pd.testing.assert_frame_equal(read_table(tmp_path / "study"), read_table(finished))


def test_a_finished_study_is_only_drawn_again(finished, grid, small_legacy, tmp_path, monkeypatch):
    def refused(*arguments):
        raise AssertionError("nothing is left to do")

    monkeypatch.setattr(running, "do", refused)
    copy = Path(shutil.copytree(finished, tmp_path / "study"))
    outcome = run_study([small_legacy], copy, toy_settings(tmp_path), grid)
    assert outcome.failed == {} and outcome.cells == len(grid.arms())


def test_a_failed_cell_is_recorded_and_the_others_go_on(
    finished, grid, small_legacy, tmp_path, monkeypatch
):
    copy = Path(shutil.copytree(finished, tmp_path / "study"))
    cells = next(copy.glob("splits/*/*/cells"))
    for name in ("shuffled", "ratio-2"):
        shutil.rmtree(next(cells.glob(f"{name}-*")))
    carry_out = running.carry_out

    def failing(study, cell):
        if cell.arm.name == "shuffled":
            raise ValueError("no\nluck")
        carry_out(study, cell)

    monkeypatch.setattr(running, "carry_out", failing)
    outcome = run_study([small_legacy], copy, toy_settings(tmp_path), grid)
    name = f"S1/{cells.parent.name}/shuffled-resnet-tiny"
    assert outcome.failed == {name: "ValueError: no luck"}
    record = json.loads((copy / "study.json").read_text())
    assert record["failed"] == outcome.failed and "failing" in record["tracebacks"][name]
    assert set(read_table(copy)["arm"]) >= {"ratio-2"} and list(cells.glob("ratio-2-*"))
    assert "no luck" in (copy / "study.html").read_text(encoding="utf-8")

    monkeypatch.setattr(running, "carry_out", carry_out)
    assert run_study([small_legacy], copy, toy_settings(tmp_path), grid).failed == {}
    pd.testing.assert_frame_equal(read_table(copy), read_table(finished))


def test_a_split_that_cannot_be_drawn_fails_alone(small_legacy, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "carry_out", lambda study, cell: None)
    grid = StudySettings(fractions=(0.01,), ratios=(0,), controls=(), seeds=2)
    outcome = run_study([small_legacy], tmp_path / "study", toy_settings(tmp_path), grid)
    assert len(outcome.failed) == outcome.cells == 4
    assert all("too few train spots" in message for message in outcome.failed.values())


def test_after_a_first_mistake_the_same_folder_will_do(small_legacy, tmp_path, monkeypatch):
    monkeypatch.setattr(running, "do", lambda study, task: None)
    grid = StudySettings(networks=(), seeds=1)
    with pytest.raises(InputError, match="C9"):
        run_study([small_legacy / "C9"], tmp_path / "study", toy_settings(tmp_path), grid)
    run_study([small_legacy / "S1"], tmp_path / "study", toy_settings(tmp_path), grid)


def test_a_folder_of_something_else_is_left_alone(small_legacy, tmp_path, grid):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="nothing in this one was touched"):
        run_study([small_legacy], tmp_path, toy_settings(tmp_path.parent), grid)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_no_section_is_refused(tmp_path, grid):
    with pytest.raises(InputError, match="no section"):
        run_study([], tmp_path / "study", toy_settings(tmp_path), grid)
    assert not (tmp_path / "study").exists()


def test_one_section_given_twice_is_refused(small_legacy, tmp_path, grid):
    twice = [small_legacy, small_legacy / "S1"]
    with pytest.raises(InputError, match="given twice"):
        run_study(twice, tmp_path / "study", toy_settings(tmp_path), grid)


def test_a_central_model_that_is_given_is_not_trained_or_copied(
    finished, small_legacy, tmp_path, monkeypatch
):
    monkeypatch.setattr(running, "carry_out", lambda study, cell: None)
    central = next(finished.glob("splits/*/*/central"))
    grid = StudySettings(fractions=(0.5,), ratios=(1,), controls=(), seeds=2)
    study = tmp_path / "study"
    run_study([small_legacy], study, toy_settings(tmp_path), grid, central=central)
    assert not list(study.glob("splits/*/*/central"))
    manifests = [json.loads(p.read_text()) for p in study.glob("splits/*/*/manifest.json")]
    used = {m["stages"]["features"]["summary"]["central_hash"] for m in manifests}
    assert used == {json.loads((central / "central.json").read_text())["hash"]}


def test_processes_do_what_follows_too_and_outlive_a_failure(tmp_path):
    def follow(task, failure):
        return ["a-1", "a-2"] if task == "a" else []

    ended = dict(work_off(["a", "bad", "b"], Noting(tmp_path), follow, jobs=2))
    assert set(ended) == {"a", "a-1", "a-2", "bad", "b"}
    assert [task for task, failure in ended.items() if failure] == ["bad"]
    assert isinstance(ended["bad"], Failure) and ended["bad"].message == "ValueError: bad"
    noted = [path.read_text().split() for path in tmp_path.glob("*.txt")]
    assert len(noted) == 4
    assert {threads for _, threads in noted} == {"1"}
    assert str(os.getpid()) not in {process for process, _ in noted}


def test_a_process_that_dies_is_one_line():
    with pytest.raises(InputError, match=r"a process died.*--jobs"):
        list(work_off(["a"], die, lambda task, failure: [], jobs=2))


def test_a_process_that_dies_between_two_tasks_is_one_line(monkeypatch):
    class Dying(workers._Here):
        def submit(self, function, /, *arguments, **options):
            if "second" in arguments:
                raise BrokenProcessPool("a process died while nobody waited for it")
            return super().submit(function, *arguments, **options)

    monkeypatch.setattr(workers, "_executor", lambda jobs: contextlib.nullcontext(Dying()))
    ended = []
    with pytest.raises(InputError, match=r"a process died.*--jobs"):
        for task, _ in work_off(["first", "second"], str, lambda task, failure: [], jobs=1):
            ended.append(task)
    assert ended == ["first"]


def test_what_follows_goes_before_what_waits():
    order = []
    key = SplitKey("A", "random", 0.5, 0)
    cells = StudySettings(networks=("n",)).cells(key)
    other = SplitKey("B", "random", 0.5, 0)

    def follow(task, failure):
        return cells if task == key else []

    for task, _ in work_off([key, other], lambda task: None, follow, jobs=1):
        order.append(task)
    assert order == [key, *cells, other]
    assert all(isinstance(task, Cell | SplitKey) for task in order)


def test_a_study_has_one_writer(grid, small_legacy, tmp_path):
    with one_writer(tmp_path / "s"), pytest.raises(InputError, match="another c2lst works"):
        run_study([small_legacy], tmp_path / "s", toy_settings(tmp_path), grid)
