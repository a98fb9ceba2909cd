import json
import threading

import pytest

from c2lst.errors import InputError
from c2lst.fetch import plan_fetch, web
from miniatures import served
from miniatures.homes import section_files


def _names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_section_lands_under_the_names_that_ingest_reads(home, tmp_path):
    folder = plan_fetch("her2st/C2").download(tmp_path / "out", accept_licence=True)
    assert _names(folder) == ["C2.jpg", "C2.tsv.gz", "C2_selection.tsv", "fetched.json"]
    contents = list(section_files("C2").values())
    assert [(folder / name).read_bytes() for name in _names(folder)[:3]] == contents


def test_a_recorded_section_asks_nothing_before_it_is_accepted(home):
    plan = plan_fetch("her2st/C2")
    assert plan.size == sum(map(len, section_files("C2").values())) and home.asked == []


def test_a_section_off_record_is_checked_against_git(home, tmp_path):
    plan = plan_fetch("her2st/C3")
    assert home.asked == ["/tree"]
    assert all(file.checksum.startswith("git:") for file in plan.files)
    folder = plan.download(tmp_path / "out", accept_licence=True)
    assert (folder / "C3.jpg").read_bytes() == next(iter(section_files("C3").values()))


def test_a_section_that_the_repository_lacks_is_said(home):
    with pytest.raises(InputError, match=r"has not one file data/ST-imgs/C/C4/\*.jpg, found none"):
        plan_fetch("her2st/C4")


@pytest.mark.parametrize("part", ["C2", "C3"])
def test_another_content_never_takes_the_name(home, tmp_path, part):
    path = f"/raw/data/ST-cnts/{part}.tsv.gz"
    home.files[path] = home.files[path][::-1]
    with pytest.raises(InputError, match=r"gives another file than was published: (sha256|git)"):
        plan_fetch(f"her2st/{part}").download(tmp_path / "out", accept_licence=True)
    assert _names(tmp_path / "out") == [f"{part}.jpg"]
    assert home.asked.count(path) == 3


def test_a_transfer_that_breaks_off_is_tried_again(home, tmp_path):
    path = f"/raw/{next(iter(section_files('C2')))}"
    home.cut = [path, path]
    folder = plan_fetch("her2st/C2").download(tmp_path / "out", accept_licence=True)
    assert home.asked.count(path) == 3 and len(_names(folder)) == 4


def test_a_transfer_that_stalls_is_tried_again(home, tmp_path, monkeypatch):
    path = f"/raw/{next(iter(section_files('C2')))}"
    stalls, answer = [path], served._answer

    def stalling(handler, there, body):
        if handler.path not in stalls:
            return answer(handler, there, body)
        stalls.remove(path)
        there.asked.append(path)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(there.files[path])))
        handler.end_headers()
        handler.wfile.write(there.files[path][:9])
        released.wait(10)
        handler.close_connection = True

    released = threading.Event()
    monkeypatch.setattr(served, "_answer", stalling)
    monkeypatch.setattr(web, "_TIMEOUT_S", 0.5)
    try:
        folder = plan_fetch("her2st/C2").download(tmp_path / "out", accept_licence=True)
    finally:
        released.set()
    assert home.asked.count(path) == 2 and len(_names(folder)) == 4


def test_a_transfer_that_always_breaks_off_leaves_no_part_of_it(home, tmp_path):
    path = f"/raw/{list(section_files('C2'))[1]}"
    home.cut = [path] * 3
    with pytest.raises(InputError, match=r"cannot be reached or breaks off|another file"):
        plan_fetch("her2st/C2").download(tmp_path / "out", accept_licence=True)
    assert _names(tmp_path / "out") == ["C2.jpg"]


def test_what_is_there_already_is_not_fetched_again(home, tmp_path):
    plan = plan_fetch("her2st/C2")
    plan.download(tmp_path / "out", accept_licence=True)
    (tmp_path / "out/C2.jpg").unlink()
    home.asked.clear()
    plan.download(tmp_path / "out", accept_licence=True)
    assert home.asked == [f"/raw/{next(iter(section_files('C2')))}"]


def test_another_file_of_the_name_is_left_alone(home, tmp_path):
    (tmp_path / "C2.jpg").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"C2.jpg: exists and is not the published file \(4 bytes"):
        plan_fetch("her2st/C2").download(tmp_path, accept_licence=True)
    assert (tmp_path / "C2.jpg").read_bytes() == b"mine"


def test_a_server_that_says_no_is_asked_once(home, tmp_path):
    home.refuse = 404
    with pytest.raises(InputError, match="the server answers 404"):
        plan_fetch("her2st/C2").download(tmp_path / "out", accept_licence=True)
    assert len(home.asked) == 1


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"tree": 1}', b'{"tree": [{"type": "blob"}]}'])
def test_a_list_of_files_that_is_none_is_said(home, answer):
    home.files["/tree"] = answer
    with pytest.raises(InputError, match="no list of files"):
        plan_fetch("her2st/C3")


def test_where_files_are_from_is_kept_beside_them(home, tmp_path):
    for part in ("C2", "C3"):
        plan_fetch(f"her2st/{part}").download(tmp_path, accept_licence=True)
    receipt = json.loads((tmp_path / "fetched.json").read_text())
    assert sorted(receipt) == [name for name in _names(tmp_path) if name.startswith("C")]
    assert "zenodo" in receipt["C2.jpg"]["licence"]
