"""A study grows: what is done stays, what is missing is done, what does not fit is refused."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from c2lst.data.synthetic import SyntheticPairs
from c2lst.errors import InputError
from c2lst.study import StudySettings, run_study, running
from c2lst.study.results import read_table
from toy import toy_settings


@pytest.fixture
def copy(finished, tmp_path):
    """A finished study to go on with."""
    return Path(shutil.copytree(finished, tmp_path / "study"))


@pytest.fixture
def work(monkeypatch):
    """Names of the work that is done from now on."""
    done, do = [], running.do

    def noted(study, task):
        do(study, task)
        done.append(getattr(task, "name", None) or task.arm.title)

    monkeypatch.setattr(running, "do", noted)
    return done


def times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("splits/*/*/cells/*/cell.json")}


def test_more_is_done_and_what_was_done_stays(copy, grid, work, small_legacy, tmp_path):
    before, old = times(copy), read_table(copy)
    more = dataclasses.replace(grid, controls=("mixup",), ratios=(1,), seeds=2)
    outcome = run_study([small_legacy], copy, toy_settings(tmp_path), more)
    assert outcome.failed == {}
    # Two splits of four arms were asked for; of the first, all but the new control was there.
    first = "random-0.5-seed-0"
    new = ["no-network", "ratio-0-resnet-tiny", "ratio-1-resnet-tiny", "mixup-resnet-tiny"]
    assert work == [first, "mixup-resnet-tiny", "random-0.5-seed-1", *new]
    assert {path: stamp for path, stamp in times(copy).items() if path in before} == before
    table = read_table(copy)
    # Its controls have as many pairs as the largest ratio of the whole study.
    assert set(table.loc[table["arm"] == "mixup", "ratio"]) == {2}
    kept = table[(table["seed"] == 0) & (table["arm"] != "mixup")].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, old, check_like=True)
    record = json.loads((copy / "study.json").read_text())
    assert record["request"]["grid"]["seeds"] == 2 and len(record["commands"]) == 1


def test_finished_cells_alone_are_gone_on_from(copy, grid, work, small_legacy, tmp_path):
    """Cells that were kept come to another machine without what they were made from."""
    before = times(copy)
    for path in copy.glob("splits/*/*/*"):
        if path.name != "cells":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    more = dataclasses.replace(grid, controls=("mixup",))
    assert run_study([small_legacy], copy, toy_settings(tmp_path), more).failed == {}
    assert work == ["random-0.5-seed-0", "mixup-resnet-tiny"]
    assert {path: stamp for path, stamp in times(copy).items() if path in before} == before


def test_a_larger_ratio_lets_the_pool_grow_around_what_is_there(
    copy, grid, work, small_legacy, tmp_path
):
    split = next(copy.glob("splits/*/*"))
    pool = SyntheticPairs.load(split / "synthetic")
    more = dataclasses.replace(grid, ratios=(3,))
    assert run_study([small_legacy], copy, toy_settings(tmp_path), more).failed == {}
    grown = SyntheticPairs.load(split / "synthetic")
    spots = len(pool) // 2
    assert len(grown) == 3 * spots
    at = np.arange(len(grown)) % 3 < 2
    np.testing.assert_array_equal(grown.images[at], pool.images)
    assert grown.source_barcodes[at].tolist() == pool.source_barcodes.tolist()
    assert len(set(grown.seeds.tolist())) == len(grown)
    assert len(SyntheticPairs.load(split / "unconditional")) == len(grown)
    # Ratios 0 to 2 stay; controls had as many pairs as the largest ratio. As many epochs round to
    # the same single step.
    controls = ("shuffled", "unconditional", "synthetic-only")
    assert work == [split.name, *(f"{name}-resnet-tiny" for name in ("ratio-3", *controls))]
    table = read_table(copy)
    assert not table.duplicated(["arm", "network", "method", "seed"]).any()
    assert set(table.loc[table["arm"] == "shuffled", "ratio"]) == {3}


def test_other_settings_of_the_predictor_redo_cells_and_nothing_that_is_shared(
    copy, grid, work, small_legacy, tmp_path
):
    settings = toy_settings(tmp_path)
    other = dataclasses.replace(
        settings, prediction=dataclasses.replace(settings.prediction, steps=6)
    )
    split, before, old = next(copy.glob("splits/*/*")), times(copy), read_table(copy)
    shared = json.loads((split / "manifest.json").read_text())["stages"]
    run_study([small_legacy], copy, other, grid)
    # No network is trained in one of them.
    assert work == [split.name, *(a.title for a in grid.arms() if a.name != "no-network")]
    assert json.loads((split / "manifest.json").read_text())["stages"] == shared
    assert set(before) < set(times(copy))
    steps = read_table(copy).set_index("arm")["steps"]
    assert set(steps.drop(["baseline", "no-network", "same-epochs"])) == {6}
    # The way back costs nothing.
    del work[:]
    run_study([small_legacy], copy, settings, grid)
    assert work == []
    pd.testing.assert_frame_equal(read_table(copy), old)


@pytest.mark.parametrize(
    ("options", "problem"),
    [({"genes": 10}, "another genes"), ({"patch_um": 100.0}, "another patch_um")],
)
def test_what_shared_work_was_not_shaped_by_is_refused(
    copy, grid, small_legacy, tmp_path, options, problem
):
    before = (copy / "study.parquet").read_bytes()
    elsewhere = dataclasses.replace(grid, fractions=(0.25,))
    for asked in (grid, elsewhere):
        with pytest.raises(InputError, match=problem):
            run_study([small_legacy], copy, toy_settings(tmp_path, **options), asked)
    assert (copy / "study.parquet").read_bytes() == before


def test_another_adapter_or_central_model_is_refused(copy, grid, small_legacy, tmp_path):
    settings = toy_settings(tmp_path)
    wider = dataclasses.replace(settings, adapter=dataclasses.replace(settings.adapter, width=9))
    with pytest.raises(InputError, match=r"another adapter\.width"):
        run_study([small_legacy], copy, wider, grid)
    central = Path(shutil.copytree(next(copy.glob("splits/*/*/central")), tmp_path / "central"))
    with pytest.raises(InputError, match="another central model"):
        run_study([small_legacy], copy, settings, grid, central=central)


def test_shared_work_without_a_record_is_taken_over(
    copy, grid, work, finished, small_legacy, tmp_path
):
    """As an older version left it: settings that it did not know, and a central model by folder."""
    for path in copy.iterdir():
        if path.is_file():
            path.unlink()
    shutil.rmtree(copy / "figures")
    split = next(copy.glob("splits/*/*"))
    shutil.rmtree(split / "cells")
    manifest = json.loads((split / "manifest.json").read_text())
    del manifest["settings"]["adapter"]["early_stop"], manifest["inputs"]["central_hash"]
    (split / "manifest.json").write_text(json.dumps(manifest))
    run_study([small_legacy], copy, toy_settings(tmp_path), grid)
    pd.testing.assert_frame_equal(read_table(copy), read_table(finished))


def test_a_section_that_is_not_what_it_was_is_not_taken_over(copy, grid, small_legacy, tmp_path):
    for path in copy.iterdir():
        if path.is_file():
            path.unlink()
    shutil.rmtree(copy / "figures")
    changed = Path(shutil.copytree(small_legacy, tmp_path / "changed"))
    counts = changed / "S1.tsv.gz"
    table = pd.read_csv(counts, sep="\t", index_col=0)
    (table + 1).to_csv(counts, sep="\t")
    with pytest.raises(InputError, match="is not the section 'S1' of the study"):
        run_study([changed], copy, toy_settings(tmp_path), grid)


def test_an_unknown_network_is_refused_before_anything_is_done(small_legacy, tmp_path):
    grid = StudySettings(networks=("resnet-7",))
    with pytest.raises(InputError, match="networks"):
        run_study([small_legacy], tmp_path / "study", toy_settings(tmp_path), grid)
    assert not (tmp_path / "study").exists()


def test_a_section_that_was_read_for_other_patches_is_refused(
    small_legacy, grid, tmp_path, monkeypatch
):
    def interrupted(study, task):
        raise RuntimeError("before any split has begun")

    monkeypatch.setattr(running, "do", interrupted)
    settings = toy_settings(tmp_path)
    run_study([small_legacy], tmp_path / "study", settings, grid)
    other = dataclasses.replace(settings, patch_um=settings.patch_um / 2)
    with pytest.raises(InputError, match="another patch_um"):
        run_study([small_legacy], tmp_path / "study", other, grid)
