from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from c2lst.benchmark import read_task
from c2lst.errors import InputError
from toy_sections import NAMES, write_hest_bench

PANEL = [*NAMES[:6], *NAMES[12:14]]


@pytest.fixture
def folder(sections, tmp_path):
    return write_hest_bench(tmp_path / "TOY", sections, PANEL)


def test_a_task_is_read_as_it_was_published(folder, sections):
    task = read_task(folder)
    assert task.genes == tuple(PANEL)
    assert [(f.name, f.test) for f in task.folds] == [
        (f"split {k}", (section.name,)) for k, section in enumerate(sections)
    ]
    for section in sections:
        found = task.sections[section.name]
        assert np.array_equal(found.counts.toarray(), section.counts.toarray())
        assert np.array_equal(found.patches[:], section.patches[:])
        assert found.mpp == pytest.approx(section.mpp)
        assert found.pitch_um == pytest.approx(section.pitch_um)
        assert found.patches.patch_um == pytest.approx(112)
    assert "not every section" in task.caution
    assert read_task(folder, size=8).sections["A"].patches.size == 8


def test_many_folds_keep_their_order(folder):
    for kind in ("train", "test"):
        for k in (2, 10):
            (folder / "splits" / f"{kind}_{k}.csv").write_text(
                (folder / "splits" / f"{kind}_0.csv").read_text()
            )
    assert [f.name for f in read_task(folder).folds] == [f"split {k}" for k in (0, 1, 2, 10)]


def _drop_column(folder):
    path = folder / "splits" / "train_0.csv"
    pd.read_csv(path).drop(columns="expr_path").to_csv(path, index=False)


def _same_on_both_sides(folder):
    text = (folder / "splits" / "train_0.csv").read_text()
    (folder / "splits" / "test_0.csv").write_text(text)


def _rename_sample(folder, old, new):
    for path in (folder / "splits").glob("*.csv"):
        path.write_text(path.read_text().replace(f"\n{old},", f"\n{new},"))


@pytest.mark.parametrize("name", ["007", "NA"])
def test_names_of_samples_are_text(folder, name):
    _rename_sample(folder, "A", name)
    task = read_task(folder)
    assert set(task.sections) == {name, "B", "C"}
    assert task.folds[0].test == (name,)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "splits" / "test_1.csv").unlink(), "test_1.csv: no such file"),
        (lambda f: (f / "splits" / "test_1.csv").write_text(""), "no readable CSV"),
        (_drop_column, "lacks the column 'expr_path'"),
        (_same_on_both_sides, "in training and in test"),
        (lambda f: (f / "var_50genes.json").unlink(), "var_50genes.json"),
        (lambda f: (f / "var_50genes.json").write_text(json.dumps({"genes": 3})), "no list"),
        (lambda f: (f / "var_50genes.json").write_text('{"genes": []}'), "no list"),
        (
            lambda f: (f / "var_50genes.json").write_text(json.dumps({"genes": ["g1", "NOT"]})),
            r"B.h5ad: lacks 1 of the 2 genes in var_50genes.json, found no 'NOT'",
        ),
        (lambda f: _rename_sample(f, "A", ""), "line 2 has no 'sample_id'"),
        (lambda f: (f / "patches" / "B.h5").unlink(), "B.h5: no such patch file"),
        (lambda f: (f / "adata" / "B.h5ad").write_bytes(b"x"), "no readable AnnData"),
    ],
)
def test_a_damaged_task_is_refused_by_file(folder, damage, words):
    damage(folder)
    with pytest.raises(InputError, match=words):
        read_task(folder)


def test_another_folder_is_no_task(tmp_path):
    with pytest.raises(InputError, match="no task of HEST-Bench"):
        (tmp_path / "var_50genes.json").write_text(json.dumps({"genes": ["A"]}))
        read_task(tmp_path)
