import errno
import json
import os
from pathlib import Path

import filelock
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.errors import InputError
from c2lst.storage import (
    hash_arrays,
    hash_strings,
    is_litter,
    one_writer,
    read_json,
    refuse_foreign,
    whole_directory,
    whole_file,
    write_json,
)
from children import BUSY, exit_codes, work_alone


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with whole_file(path) as partial:
        partial.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    with pytest.raises(RuntimeError), whole_file(path) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert path.read_text() == "new"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "folder"
    for text in ("old", "new"):
        with whole_directory(path) as partial:
            (partial / "a.txt").write_text(text)
    with pytest.raises(RuntimeError), whole_directory(path) as partial:
        (partial / "a.txt").write_text("half")
        raise RuntimeError
    assert (path / "a.txt").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["folder"]


def test_a_result_has_its_name_only_once_its_content_is_on_the_disk(tmp_path, monkeypatch):
    flushed, sync, replace = set(), os.fsync, os.replace

    def noted(handle):
        flushed.add(os.fstat(handle).st_ino)
        sync(handle)

    def named(source, target):
        files = [source, *Path(source).rglob("*")]
        assert {Path(path).stat().st_ino for path in files} <= flushed
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted)
    monkeypatch.setattr(os, "replace", named)
    monkeypatch.setattr(os, "rename", named)
    with whole_directory(tmp_path / "folder") as partial:
        (partial / "deep").mkdir()
        (partial / "deep" / "a.txt").write_text("new")
        (partial / "deep" / "a.txt").chmod(0o400)
    with whole_file(tmp_path / "file") as partial:
        partial.write_text("new")
    assert (tmp_path / "folder").stat().st_ino in flushed and tmp_path.stat().st_ino in flushed


MADE = ("result.json", "weights", "README.md")


@pytest.mark.parametrize(
    "held",
    [["thesis.xlsx"], ["README.md"], ["result.json", "notes.txt"], ["result.json", ".git"]],
)
def test_what_is_no_earlier_result_is_never_replaced(tmp_path, held):
    path = tmp_path / "mine"
    path.mkdir()
    for name in held:
        (path / name).write_text("mine")
    with pytest.raises(InputError, match="not write, so it is not"), whole_directory(path, MADE):
        pytest.fail("nothing may be written")
    assert sorted(p.name for p in path.iterdir()) == sorted(held)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_link_to_a_larger_disk_stays_one(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "result").symlink_to(tmp_path / "disk", target_is_directory=True)
    with whole_directory(tmp_path / "result", MADE) as partial:
        (partial / "result.json").write_text("new")
    assert (tmp_path / "result").is_symlink()
    assert (tmp_path / "disk/result.json").read_text() == "new"


@pytest.mark.parametrize("held", [[], ["result.json"], ["result.json", "weights", ".DS_Store"]])
def test_an_earlier_result_and_an_empty_folder_are_replaced(tmp_path, held):
    path = tmp_path / "result"
    path.mkdir()
    for name in held:
        (path / name).write_text("old")
    with whole_directory(path, MADE) as partial:
        (partial / "result.json").write_text("new")
    assert [(p.name, p.read_text()) for p in path.iterdir()] == [("result.json", "new")]


def test_files_and_the_roots_of_disks_are_no_folders_to_write(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        refuse_foreign(tmp_path / "file", MADE)
    monkeypatch.setattr("pathlib.Path.is_mount", lambda path: True)
    with pytest.raises(InputError, match="a disk is mounted"):
        refuse_foreign(tmp_path, MADE)


def test_what_cannot_take_its_name_is_kept_and_named(tmp_path, monkeypatch):
    path, replace = tmp_path / "busy", os.replace
    path.mkdir()

    def refuse(source, target):
        if os.fspath(source) == str(path):
            raise OSError(errno.EBUSY, "Device or resource busy")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr("pathlib.Path.replace", lambda source, target: refuse(source, target))
    failed = pytest.raises(InputError, match="what was made is complete in")
    with failed as told, whole_directory(path) as partial:
        (partial / "a.txt").write_text("hours of work")
    (kept,) = (p for p in tmp_path.iterdir() if p != path)
    assert str(kept) in str(told.value) and (kept / "a.txt").read_text() == "hours of work"


def test_a_folder_is_no_file_to_write(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        write_json(tmp_path, {})
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_others_may_read_what_they_may_read_elsewhere(tmp_path):
    (tmp_path / "elsewhere").write_text("")
    with whole_directory(tmp_path / "folder") as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "private").touch(mode=0o600)
        (partial / "run.sh").touch(mode=0o700)
    modes = {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "folder").rglob("*")}
    assert modes["private"] == (tmp_path / "elsewhere").stat().st_mode & 0o777
    assert modes["run.sh"] & 0o100


def test_a_full_disk_is_said_plainly_and_loses_nothing(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    for failure in (
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("I/O error: No space left on device (os error 28)"),
    ):
        with pytest.raises(InputError, match="disk is full"), whole_file(path):
            raise failure
    assert path.read_text() == "old"


@pytest.mark.parametrize("whole", [whole_file, whole_directory])
def test_an_output_that_lies_in_a_file_is_refused_and_the_file_kept(tmp_path, whole):
    path = tmp_path / "a.txt"
    path.write_text("mine")
    with pytest.raises(InputError, match="lies in a file"), whole(path / "new" / "out"):
        pytest.fail("nothing may be written")
    assert path.read_text() == "mine"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), json_values))
def test_json_survives_the_round_trip(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    assert read_json(path) == value


def test_numpy_values_become_plain(tmp_path):
    write_json(tmp_path / "v.json", {"a": np.float32(0.5), "b": np.arange(2)})
    assert json.loads((tmp_path / "v.json").read_text()) == {"a": 0.5, "b": [0, 1]}


@pytest.mark.parametrize("text", ["", "{", "[1]", "\x00", "[" * 100_000])
def test_bad_json_is_one_error(tmp_path, text):
    (tmp_path / "v.json").write_text(text)
    with pytest.raises(InputError):
        read_json(tmp_path / "v.json")


def test_a_missing_key_is_named(tmp_path):
    write_json(tmp_path / "v.json", {"a": 1})
    with pytest.raises(InputError, match="'b' is missing"):
        read_json(tmp_path / "v.json", required=("a", "b"))


def test_hashes_see_boundaries_names_and_types():
    assert hash_strings(["ab", "c"]) != hash_strings(["a", "bc"])
    ones = np.ones(2, np.float32)
    assert hash_arrays({"a": ones}) != hash_arrays({"b": ones})
    assert hash_arrays({"a": ones}) != hash_arrays({"a": ones.astype(np.float64)})
    assert hash_arrays({"a": ones, "b": ones * 2}) == hash_arrays({"b": ones * 2, "a": ones})


def test_the_error_is_one_line_with_what_to_do():
    error = InputError("C3.tsv", "column 'x'", found="a\nb", expected="numbers", remedy="mend it")
    assert str(error) == "C3.tsv: column 'x', found a b, expected numbers; mend it"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_device_is_not_replaced_by_a_file(tmp_path):
    """As root, ``-o /dev/null`` would take it from every program."""
    os.mkfifo(tmp_path / "device")
    with pytest.raises(InputError, match="device"), whole_file(tmp_path / "device"):
        pytest.fail("nothing may be written")
    assert (tmp_path / "device").is_fifo()


def test_a_link_to_a_disk_that_is_not_there_is_refused_first(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "unmounted")
    with (
        pytest.raises(InputError, match="link to what is not there"),
        whole_directory(tmp_path / "out", MADE),
    ):
        pytest.fail("nothing may be made that can not be kept")


def test_a_folder_has_one_writer_at_a_time(tmp_path):
    with one_writer(tmp_path):
        assert exit_codes([(work_alone, tmp_path)]) == [BUSY]
        assert all(map(is_litter, tmp_path.iterdir()))
    assert exit_codes([(work_alone, tmp_path)]) == [0]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_a_killed_process_left_keeps_nobody_out(tmp_path):
    (tmp_path / ".c2lst.lock").touch()
    with one_writer(tmp_path):
        pass


def test_where_there_are_no_locks_one_works_all_the_same(tmp_path, monkeypatch, caplog):
    def fails(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "acquire", fails)
    with one_writer(tmp_path):
        pass
    assert "knows no locks" in caplog.text
