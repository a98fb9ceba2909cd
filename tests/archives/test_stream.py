import io
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.archives import archive_parts, is_archive
from c2lst.archives.stream import JoinedFiles
from c2lst.errors import InputError


@given(
    pieces=st.lists(st.binary(max_size=20), min_size=1, max_size=5),
    reads=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30)), max_size=8),
)
def test_joined_files_read_like_one(tmp_path_factory, pieces, reads):
    folder = tmp_path_factory.mktemp("parts")
    paths = tuple(folder / str(number) for number in range(len(pieces)))
    for path, piece in zip(paths, pieces, strict=True):
        path.write_bytes(piece)
    whole = io.BytesIO(b"".join(pieces))
    with io.BufferedReader(JoinedFiles(paths)) as joined:
        for position, size in reads:
            whole.seek(position), joined.seek(position)
            assert joined.read(size) == whole.read(size)


@pytest.mark.parametrize("numbers", [["00", "01", "02"], ["1", "2"], ["aa", "ab", "ac"]])
def test_parts_are_found_from_any_of_them(tmp_path, numbers):
    parts = tuple(tmp_path / f"a.tar.{number}" for number in numbers)
    for part in (*parts, tmp_path / "b.tar.00"):
        part.write_bytes(b"x")
    for asked in (*parts, tmp_path / "a.tar"):
        assert archive_parts(asked) == parts


def test_ten_parts_keep_their_order(tmp_path):
    for number in range(12):
        (tmp_path / f"a.tar.{number}").touch()
    assert [path.suffix for path in archive_parts(tmp_path / "a.tar")] == [
        f".{number}" for number in range(12)
    ]


@pytest.mark.parametrize("numbers", [["00", "02"], ["01", "03"], ["2", "3"], ["ab", "ad"]])
def test_a_missing_part_is_named(tmp_path, numbers):
    for number in numbers:
        (tmp_path / f"a.tar.{number}").touch()
    with pytest.raises(InputError, match=r"part \d of the archive is missing"):
        archive_parts(tmp_path / "a.tar")


def test_no_archive_is_said(tmp_path):
    with pytest.raises(InputError, match="no such archive"):
        archive_parts(tmp_path / "a.tar")


def test_what_is_an_archive():
    names = ["a.tar", "a.tgz", "a.tar.gz", "a.zip", "a.tar.00", "a.tar.ab", "A.TAR"]
    assert all(is_archive(name) for name in names)
    assert not any(is_archive(name) for name in ("a.png", "tar", "a.tar.json", "a.targz"))


def test_letters_go_on_past_those_that_compressed_archives_end_with(tmp_path):
    letters = [a + b for a in "abc" for b in string.ascii_lowercase]
    parts = tuple(tmp_path / f"a.tar.{text}" for text in letters)
    for part in parts:
        part.touch()
    for asked in (tmp_path / "a.tar", parts[0], tmp_path / "a.tar.bz"):
        assert archive_parts(asked) == parts


@pytest.mark.parametrize("other", ["gz", "zst", "asc", "sig"])
def test_a_signature_or_a_compressed_copy_beside_parts_is_none(tmp_path, other):
    parts = tuple(tmp_path / f"a.tar.{number}" for number in ("00", "01"))
    for path in (*parts, tmp_path / f"a.tar.{other}"):
        path.touch()
    assert archive_parts(tmp_path / "a.tar") == archive_parts(parts[1]) == parts
