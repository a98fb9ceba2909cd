import pytest

from c2lst.errors import InputError
from c2lst.fetch import plan_fetch
from miniatures.homes import SAMPLE

RESOLVE = "/datasets/MahmoodLab/hest/resolve/0123456789abcdef0123456789abcdef01234567"
OF_THE_SAMPLE = {
    name: content for name, content in SAMPLE.items() if "TENX1." in name or "_" in name
}


def _files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".cache" not in path.parts and path.name != "fetched.json"
    }


def test_a_sample_keeps_the_layout_that_ingest_reads(home, tmp_path):
    plan = plan_fetch("hest/TENX1")
    assert plan.size == sum(map(len, OF_THE_SAMPLE.values()))
    assert not any("resolve" in path for path in home.asked)
    assert _files(plan.download(tmp_path / "out", accept_licence=True)) == OF_THE_SAMPLE


def test_an_organ_brings_its_parts_alone(home, tmp_path):
    plan = plan_fetch("spider/skin")
    assert plan.home.endswith("histai/SPIDER-skin")
    folder = plan.download(tmp_path / "out", accept_licence=True)
    assert sorted(_files(folder)) == [f"spider-skin.tar.0{number}" for number in range(3)]


def test_a_sample_that_is_not_there_is_said(home):
    with pytest.raises(InputError, match=r"has no files of 'TENX2', expected st/TENX2.h5ad"):
        plan_fetch("hest/TENX2")


@pytest.mark.parametrize("status", [401, 403])
def test_a_gated_repository_names_the_page_to_visit(home, tmp_path, status):
    plan = plan_fetch("hest/TENX1")
    home.refuse = status
    with pytest.raises(InputError, match=r"huggingface.co/datasets/MahmoodLab/hest: access is not"):
        plan.download(tmp_path / "out", accept_licence=True)
    assert not (tmp_path / "out").exists() or _files(tmp_path / "out") == {}


def test_a_file_that_is_not_the_published_one_is_removed(home, tmp_path):
    plan = plan_fetch("hest/TENX1")
    path = f"{RESOLVE}/patches/TENX1.h5"
    home.files[path] = home.files[path][::-1]
    with pytest.raises(InputError, match=r"TENX1.h5: is not the published file \(sha256"):
        plan.download(tmp_path / "out", accept_licence=True)
    assert "patches/TENX1.h5" not in _files(tmp_path / "out")
    home.files[path] = home.files[path][::-1]
    assert _files(plan.download(tmp_path / "out", accept_licence=True)) == OF_THE_SAMPLE


def test_a_second_fetch_goes_on_with_what_is_missing(home, tmp_path):
    plan = plan_fetch("hest/TENX1")
    plan.download(tmp_path, accept_licence=True)
    (tmp_path / "st/TENX1.h5ad").unlink()
    home.asked.clear()
    assert _files(plan.download(tmp_path, accept_licence=True)).keys() >= OF_THE_SAMPLE.keys()
    assert [path for path in home.asked if path.endswith(".h5")] == []


def test_another_file_of_the_name_is_left_alone(home, tmp_path):
    mine = tmp_path / "st/TENX1.h5ad"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")
    plan = plan_fetch("hest/TENX1")
    with pytest.raises(InputError, match=r"TENX1.h5ad: exists and is not the published file \(4 "):
        plan.download(tmp_path, accept_licence=True)
    assert mine.read_bytes() == b"mine" and not any("resolve" in path for path in home.asked)


def test_a_transfer_that_breaks_off_goes_on_where_it_stopped(home, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    path = f"{RESOLVE}/patches/TENX1.h5"
    home.cut = [path]
    folder = plan_fetch("hest/TENX1").download(tmp_path, accept_licence=True)
    assert _files(folder).keys() >= OF_THE_SAMPLE.keys()
    assert [start for asked, start in home.starts if asked == path and start] != []
