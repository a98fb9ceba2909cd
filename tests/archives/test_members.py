import contextlib
import gzip
import io
import stat
import tarfile
import tracemalloc
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.archives import Limits, first_member, open_member, read_members
from c2lst.errors import InputError
from miniatures.tars import member, split_file, tar_of, write_tar

FILES = {"a.txt": b"first", "b/c.bin": bytes(range(256)) * 40, "b/empty": b""}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_members_come_in_order_with_their_content(tmp_path, mode):
    path = tar_of(tmp_path / "a.tar", FILES, mode)
    assert list(read_members(path)) == list(FILES.items())
    assert first_member(path) == "a.txt"


def test_zip_members_come_in_order_with_their_content(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.mkdir("b")
        for name, content in FILES.items():
            bundle.writestr(name, content)
    assert list(read_members(tmp_path / "a.zip")) == list(FILES.items())


@given(parts=st.integers(1, 9))
def test_a_tar_in_parts_reads_like_the_whole(tmp_path_factory, parts):
    folder = tmp_path_factory.mktemp("tar")
    split_file(tar_of(folder / "a.tar", FILES), parts)
    assert dict(read_members(folder / "a.tar")) == FILES


def test_only_what_is_wanted_is_read(tmp_path):
    path = tar_of(tmp_path / "a.tar", FILES)
    assert list(read_members(path, lambda name: name == "a.txt")) == [("a.txt", b"first")]


def test_one_member_is_opened_as_a_stream(tmp_path):
    path = tar_of(tmp_path / "a.tar", FILES)
    with open_member(path, "b/c.bin") as content:
        assert content.read(3) == b"\0\1\2"
    with pytest.raises(InputError, match="holds no file 'x'"), open_member(path, "x"):
        pass


def test_leading_points_are_dropped(tmp_path):
    path = tar_of(tmp_path / "a.tar", {"./b//c.txt": b"1"})
    assert list(read_members(path)) == [("b/c.txt", b"1")]


REFUSED = {
    "parent": (member("../out.txt", b"x"), "leaves the folder"),
    "parent inside": (member("a/../../out.txt", b"x"), "leaves the folder"),
    "absolute": (member("/etc/out.txt", b"x"), "absolute path"),
    "drive": (member("C:/out.txt", b"x"), "absolute path"),
    "backslash": (member("a\\b.txt", b"x"), "backslash"),
    "control": (member("a\nb.txt", b"x"), "control character"),
    "long": (member("a" * 300, b"x"), "too long a name"),
    "no name": (member("./.", b"x"), "has no name"),
    "symlink out": (member("a", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is a link"),
    "symlink in": (member("a", type=tarfile.SYMTYPE, linkname="b"), "is a link"),
    "hard link": (member("a", type=tarfile.LNKTYPE, linkname="../b"), "is a link"),
    "device": (member("a", type=tarfile.CHRTYPE), "device or pipe"),
    "pipe": (member("a", type=tarfile.FIFOTYPE), "device or pipe"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_member_that_could_do_harm_is_refused_by_name(tmp_path, case):
    bad, problem = REFUSED[case]
    path = write_tar(tmp_path / "a.tar", [member("good.txt", b"ok"), bad])
    with pytest.raises(InputError, match=problem) as caught:
        list(read_members(path))
    assert "a.tar, member" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "a/../../b", "C:\\out.txt"])
def test_a_zip_member_that_leaves_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        bundle.writestr(name, "x")
    with pytest.raises(InputError, match=r"absolute path|leaves the folder"):
        list(read_members(tmp_path / "a.zip"))


@pytest.mark.parametrize(("kind", "problem"), [(stat.S_IFLNK, "link"), (stat.S_IFCHR, "device")])
def test_a_zip_member_that_is_no_file_is_refused(tmp_path, kind, problem):
    info = zipfile.ZipInfo("a")
    info.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        bundle.writestr(info, "/etc/passwd")
    with pytest.raises(InputError, match=problem):
        list(read_members(tmp_path / "a.zip"))


def test_an_encrypted_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as bundle:
        bundle.writestr("a", "x")
    content = bytearray((tmp_path / "a.zip").read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match="member 'a': is encrypted"):
        list(read_members(tmp_path / "a.zip"))


def test_a_sparse_file_is_refused(tmp_path):
    bad = member("a", pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**40)})
    path = write_tar(tmp_path / "a.tar", [bad])
    with pytest.raises(InputError, match="is a sparse file"):
        list(read_members(path))


def test_limits_stop_a_bomb_before_it_is_unpacked(tmp_path):
    path = tar_of(tmp_path / "a.tar", {"a": b"x" * 1000, "b": b"", "c": b""})
    with pytest.raises(InputError, match="is too large, found 1,000 bytes"):
        list(read_members(path, limits=Limits(member_bytes=999)))
    with pytest.raises(InputError, match=r"member 'c': comes after the 2 allowed"):
        list(read_members(path, limits=Limits(members=2)))


def test_a_compressed_bomb_is_refused_by_what_its_header_claims(tmp_path):
    info, _ = member("zeros")
    info.size = 2**33
    header = info.tobuf()
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(header + bytes(2**20)))
    with pytest.raises(InputError, match="unpack to too much"):
        list(read_members(tmp_path / "a.tar.gz", limits=Limits()))


def test_a_header_that_claims_gigabytes_takes_no_memory(tmp_path):
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**34
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    with pytest.raises(InputError, match="a header asks for"):
        list(read_members(tmp_path / "a.tar"))


def test_memory_does_not_grow_with_the_number_of_members(tmp_path):
    path = tar_of(tmp_path / "a.tar", {f"{number}.txt": b"x" for number in range(8000)})
    tracemalloc.start()
    assert sum(1 for _ in read_members(path)) == 8000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4_000_000


@pytest.mark.parametrize("compressed", [False, True])
def test_a_tar_that_stops_between_two_members_is_not_taken_for_whole(tmp_path, compressed):
    whole = tar_of(tmp_path / "a.tar", FILES).read_bytes()
    for cut in range(512, 11_777, 512):
        part = whole[:cut]
        (tmp_path / "a.tar").write_bytes(gzip.compress(part, 1) if compressed else part)
        with pytest.raises(InputError, match="damaged or incomplete"):
            list(read_members(tmp_path / "a.tar"))


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    path = tar_of(tmp_path / "a.tar", FILES)
    content = bytearray(path.read_bytes())
    content[1024 + 148] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged or incomplete"):
        list(read_members(path))


@given(cut=st.integers(0, 12_000))
def test_a_tar_cut_short_anywhere_is_never_taken_for_whole(tmp_path_factory, cut):
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w") as tar:
        for name, content in FILES.items():
            tar.addfile(member(name, content)[0], io.BytesIO(content))
    path = tmp_path_factory.mktemp("tar") / "a.tar"
    path.write_bytes(whole.getvalue()[:cut])
    try:
        assert dict(read_members(path)) == FILES
    except InputError as error:
        assert "a.tar" in str(error)


@given(noise=st.binary(max_size=3000), place=st.integers(0, 13_000), zipped=st.booleans())
def test_damage_never_raises_anything_else(tmp_path_factory, noise, place, zipped):
    folder = tmp_path_factory.mktemp("noise")
    path = folder / ("a.zip" if zipped else "a.tar")
    if zipped:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
            for name, content in FILES.items():
                bundle.writestr(name, content)
    else:
        tar_of(path, FILES)
    content = path.read_bytes()
    path.write_bytes(content[:place] + noise + content[place + len(noise) :])
    with contextlib.suppress(InputError):
        list(read_members(path))


@given(noise=st.binary(max_size=2000), suffix=st.sampled_from([".tar", ".zip", ".tar.gz"]))
def test_noise_is_no_archive(tmp_path_factory, noise, suffix):
    path = tmp_path_factory.mktemp("noise") / f"a{suffix}"
    path.write_bytes(noise)
    try:
        assert list(read_members(path)) == []
    except InputError as error:
        assert "\n" not in str(error)
