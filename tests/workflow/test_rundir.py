import pytest

from c2lst.errors import InputError
from c2lst.workflow.rundir import RunDirectory


def opened(root):
    return RunDirectory(root, {"source": "a"}, {"seed": 0}, "c2lst run")


def begun(root):
    directory = opened(root)
    with directory.stage("split"):
        pass
    return directory


def test_opening_a_folder_changes_nothing_in_it(tmp_path):
    """Another process may be writing there."""
    begun(tmp_path / "run")
    (tmp_path / "run" / ".central.half").mkdir()
    (tmp_path / "run" / ".manifest.half.json").write_text("{")
    before = sorted(path.name for path in (tmp_path / "run").iterdir())
    opened(tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == before


def test_a_stage_that_begins_removes_what_a_kill_left_and_nothing_else(tmp_path):
    directory = begun(tmp_path / "run")
    (tmp_path / "run" / ".central.half").mkdir()
    (tmp_path / "run" / ".gitignore").write_text("the user's")
    with directory.stage("fit"):
        assert {p.name for p in (tmp_path / "run").glob(".*")} == {".gitignore"}


def test_a_folder_whose_first_manifest_is_being_written_is_a_new_one(tmp_path):
    (tmp_path / ".manifest.half.json").write_text("{")
    assert opened(tmp_path).manifest["stages"] == {}
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="nothing in this one was touched"):
        opened(tmp_path)


def test_what_a_mac_leaves_in_a_new_folder_is_nothing(tmp_path):
    (tmp_path / ".DS_Store").write_bytes(b"finder")
    assert opened(tmp_path).manifest["stages"] == {}
