import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2lst.data.collections.sources import find_source
from c2lst.errors import InputError
from miniatures.patches import patch_bytes
from miniatures.spider import write_spider, write_spider_tar
from miniatures.webdataset import write_shards


def _folder(path):
    path.mkdir()
    (path / "a.png").write_bytes(patch_bytes(0))
    return path


MAKERS = {
    "SPIDER because it has metadata.json and images/": write_spider,
    "SPIDER because it has spider-skin.tar": write_spider_tar,
    "WebDataset because it has 2 tars, the first patches-000.tar": write_shards,
    "image folder because its first image is a.png": _folder,
}


@pytest.mark.parametrize("reason", MAKERS)
def test_the_kind_and_the_reason_are_said(tmp_path, caplog, reason):
    caplog.set_level(logging.INFO, logger="c2lst")
    source = find_source(MAKERS[reason](tmp_path / "set"))
    assert source.origin.startswith(str(tmp_path / "set"))
    assert f"read as {reason}" in caplog.text


def test_an_unknown_place_lists_what_was_looked_for(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    for where, problem in ((tmp_path, "holds no patches"), (tmp_path / "x", "no such file")):
        with pytest.raises(InputError, match=problem) as caught:
            find_source(where)
        for kind in ("SPIDER", "WebDataset", "whole-slide", "image folder", "hf:owner/name"):
            assert kind in str(caught.value)


@pytest.mark.parametrize("options", [{"mpp": 0.0}, {"patch_um": -1.0}, {"stride_um": float("nan")}])
def test_a_width_must_be_above_zero(tmp_path, options):
    with pytest.raises(InputError, match="is no width"):
        find_source(tmp_path, **options)


@pytest.mark.parametrize("name", ["x" * 5000, "**.tar"])
def test_a_name_that_no_disk_takes_is_said(name):
    with pytest.raises(InputError, match=r"cannot be read|matches no file"):
        find_source(name)


@given(
    noise=st.binary(max_size=600),
    name=st.sampled_from(["a.tar", "a.zip", "a.png", "a.svs", "a.tif", "spider-x.tar.00", "a.dcm"]),
    alone=st.booleans(),
)
def test_any_bytes_give_patches_or_an_input_error(tmp_path_factory, noise, name, alone):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / name).write_bytes(noise)
    try:
        list(find_source(folder / name if alone else folder, mpp=0.5))
    except InputError as error:
        assert "\n" not in str(error)


@given(where=st.text(max_size=40))
def test_any_text_is_a_source_or_an_input_error(where):
    try:
        find_source(where or "x")
    except InputError as error:
        assert "\n" not in str(error)
