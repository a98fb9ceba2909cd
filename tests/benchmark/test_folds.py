from __future__ import annotations

import dataclasses

import pytest

from c2lst.benchmark import Fold, Task, leave_one_out
from c2lst.data.patches import Patches
from c2lst.errors import InputError
from toy_sections import toy_section


def test_patients_are_left_out_whole_by_default(sections):
    task = leave_one_out(sections)
    assert [(f.name, f.train, f.test) for f in task.folds] == [
        ("P", ("C",), ("A", "B")),
        ("Q", ("A", "B"), ("C",)),
    ]
    assert task.caution is None


def test_sections_can_be_left_out_alone_and_the_caution_says_so(sections):
    task = leave_one_out(sections, by="section")
    assert [f.test for f in task.folds] == [("A",), ("B",), ("C",)]
    assert "of a test patient are learnt from" in task.caution


def test_patients_named_by_hand_go_before_the_metadata(sections):
    task = leave_one_out(sections, patients={"B": "R"})
    assert [f.name for f in task.folds] == ["P", "R", "Q"]


def test_one_patient_is_refused_and_no_benchmark(sections):
    with pytest.raises(InputError, match=r"are all of one patient.*--by section"):
        leave_one_out(sections[:2])
    assert "one patient" in leave_one_out(sections[:2], by="section").caution


def test_unknown_patients_are_asked_for(sections):
    nameless = dataclasses.replace(sections[2], metadata={})
    with pytest.raises(InputError, match="no patient of C; name them, as --patient C=P1"):
        leave_one_out([*sections[:2], nameless])
    assert "not every section" in leave_one_out([*sections[:2], nameless], by="section").caution


@pytest.mark.parametrize(
    ("chosen", "patients", "words"),
    [
        ([0], {}, "at least two sections"),
        ([0, 0], {}, "same name"),
        ([0, 1], {"X": "P"}, "not given"),
    ],
)
def test_what_is_no_task_is_refused(sections, chosen, patients, words):
    with pytest.raises(InputError, match=words):
        leave_one_out([sections[i] for i in chosen], "section", patients)


@pytest.mark.parametrize(
    ("train", "test", "words"),
    [((), ("A",), "learn from"), (("A",), (), "to predict"), (("A", "B"), ("B",), "in test")],
)
def test_a_fold_has_two_sides_apart(train, test, words):
    with pytest.raises(InputError, match=words):
        Fold("1", train, test)


def test_one_slide_on_both_sides_is_refused_unless_allowed(sections, caplog):
    again = dataclasses.replace(sections[0], name="D", metadata={"patient": "S"})
    task = leave_one_out([*sections, again])
    with pytest.raises(InputError, match=r"one slide in training and in test.*A and D"):
        task.refuse_duplicates()
    task.refuse_duplicates(allow=True)
    assert "A and D" in caplog.text
    leave_one_out([*sections, again], patients={"D": "P"}).refuse_duplicates()


def test_every_library_counts_the_same_genes(sections):
    fewer = dataclasses.replace(sections[1], adata=sections[1].adata[:, ::-1][:, :15].copy())
    task = leave_one_out([sections[0], fewer], by="section").with_shared_genes()
    first, second = task.sections.values()
    assert first.genes.tolist() == second.genes.tolist() == [f"g{i}" for i in range(9, 24)]
    assert first.library_size.tolist() == first.counts.sum(axis=1).A1.tolist()


def test_patches_of_another_width_are_refused_first(sections):
    wide = Patches(sections[1].patches[:], 200.0)
    other = dataclasses.replace(sections[1], patches=wide)
    with pytest.raises(InputError, match="another width"):
        leave_one_out([sections[0], other], by="section").with_shared_genes()


def test_sections_of_their_own_are_not_taken_for_duplicates(sections):
    leave_one_out([*sections, toy_section("D", 9, patient="S")]).refuse_duplicates()


def test_a_section_that_is_listed_twice_is_refused():
    with pytest.raises(InputError, match=r"fold 'f': names a section more than once, found A"):
        Fold("f", ("A", "A"), ("B",))


@pytest.mark.parametrize(
    ("folds", "words"),
    [
        ((), "no folds of different names, found none"),
        ((Fold("f", ("A",), ("B",)), Fold("f", ("B",), ("A",))), "found f, f"),
        ((Fold("f", ("A",), ("X",)),), r"fold 'f': names a section that is not there, found X"),
    ],
)
def test_a_task_has_folds_of_its_sections(sections, folds, words):
    with pytest.raises(InputError, match=words):
        Task({section.name: section for section in sections}, folds, {})
