from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.data.collections.grouping import Grouping, read_groups, side_of
from c2lst.data.collections.sources import SourcePatch
from c2lst.errors import InputError

PIXELS = np.zeros((8, 8, 3), np.uint8)


def patch(name, **known):
    return SourcePatch(name, PIXELS, **known)


@given(st.text(), st.floats(0, 0.99), st.floats(0, 0.99), st.integers(0, 5))
def test_a_larger_share_only_adds_groups(group, first, second, seed):
    low, high = sorted([first, second])
    if side_of(group, low, seed) == "validation":
        assert side_of(group, high, seed) == "validation"
    assert side_of(group, 0.0, seed) == "train"


def test_the_share_of_groups_is_that_asked_for():
    sides = [side_of(f"slide-{i}", 0.2, 1) for i in range(2000)]
    assert 0.17 < sides.count("validation") / 2000 < 0.23
    assert sides != [side_of(f"slide-{i}", 0.2, 2) for i in range(2000)]


def test_a_group_is_the_files_else_the_sources_else_the_slide(tmp_path):
    assert Grouping().group_of(patch("a", slide="S", group="P")) == "P"
    assert Grouping().group_of(patch("a", slide="S")) == "S"
    assert Grouping().group_of(patch("a")) is None
    file = tmp_path / "groups.csv"
    file.write_text("name,group\na,G\n")
    assert Grouping(file=file).group_of(patch("a", slide="S", group="P")) == "G"
    with pytest.raises(InputError, match="neither a patch nor its slide, found b, expected"):
        Grouping(file=file).group_of(patch("b"))


def test_slides_are_grouped_by_their_patients(tmp_path):
    file = tmp_path / "patients.csv"
    file.write_text("name,group\nS1,P\nS2,P\n")
    grouping = Grouping(file=file)
    assert grouping.group_of(patch("S1@1,2", slide="S1")) == "P"
    assert grouping.group_of(patch("S2@1,2", slide="S2")) == "P"
    with pytest.raises(InputError, match="found S3@1,2, of slide S3"):
        grouping.group_of(patch("S3@1,2", slide="S3"))


def test_the_split_of_the_source_is_kept():
    grouping = Grouping(validation=0.0)
    assert grouping.side("S1", "a", "val") == "validation"
    assert grouping.side("S2", "b", "train") == "train"
    assert grouping.side(None, "c", "val") == "validation"


def test_a_group_that_a_source_divides_is_refused():
    grouping = Grouping(validation=0.0)
    grouping.side("S1", "a", "val")
    with pytest.raises(InputError, match="both sides"):
        grouping.side("S1", "b", None)
    grouping.forget()
    assert grouping.side("S1", "b", None) == "train"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "lacks a column"),
        ("name,class\na,x\n", "lacks a column"),
        ("file,group\na,\n", "line 2"),
        ("file,group\na\n", "line 2"),
        ("file,group\na,x\na,y\n", "line 3"),
        (b"\xff\xfe\x00", "no readable table"),
    ],
)
def test_a_bad_table_of_groups_is_refused(tmp_path, text, says):
    file = tmp_path / "groups.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=says):
        read_groups(file)


def test_a_share_outside_its_range_is_refused():
    with pytest.raises(InputError, match="validation"):
        Grouping(validation=1.0)
