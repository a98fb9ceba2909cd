"""Which reader a folder gets, and what is said where none fits."""

from __future__ import annotations

import logging
import shutil
from typing import get_args

import anndata
import numpy as np
import pytest
from PIL import Image

from c2lst.cli import options
from c2lst.data.readers import FORMATS, find_reader, read
from c2lst.errors import InputError
from miniatures.hest import write_hest
from miniatures.spaceranger import write_visium, write_visium_hd
from miniatures.xenium import write_xenium


def _anndata(folder):
    folder.mkdir()
    adata = anndata.AnnData(np.ones((3, 2), np.float32))
    adata.obsm["spatial"] = np.eye(3, 2)
    adata.write_h5ad(folder / "mine.h5ad")
    return folder / "mine.h5ad"


@pytest.fixture(scope="module")
def sources(tmp_path_factory, small_legacy):
    folder = tmp_path_factory.mktemp("sources")
    store = folder / "s.zarr"
    (store / "tables").mkdir(parents=True)
    (store / "images").mkdir()
    (store / "zarr.json").write_text("{}")
    return {
        "hest": write_hest(folder / "hest").folder,
        "visium": write_visium(folder / "visium").source,
        "visium-hd": write_visium_hd(folder / "hd").source,
        "xenium": write_xenium(folder / "xenium").source,
        "spatialdata": store,
        "anndata": _anndata(folder / "anndata"),
        "legacy": small_legacy,
    }


@pytest.mark.parametrize("name", FORMATS[1:])
def test_every_format_is_recognised_and_says_why(sources, name):
    reader, because = find_reader(sources[name])
    assert name == reader.NAME
    assert "\n" not in because and len(because) > 10
    assert find_reader(sources[name], format=name)[0] is reader


@pytest.mark.parametrize("name", FORMATS[1:])
def test_no_format_recognises_another(sources, name, caplog):
    with caplog.at_level(logging.WARNING, logger="c2lst"):
        find_reader(sources[name])
    assert not caplog.text
    for other in FORMATS[1:]:
        if other != name:
            with pytest.raises(InputError, match="without --format") as caught:
                find_reader(sources[name], format=other)
            assert caught.value.found and caught.value.expected


@pytest.mark.parametrize("name", ["hest", "visium", "visium-hd", "xenium", "legacy"])
def test_what_a_mac_leaves_in_a_folder_changes_nothing(sources, name, tmp_path):
    # Some samples are named after the folder above.
    littered = tmp_path / sources[name].parent.name / sources[name].name
    shutil.copytree(sources[name], littered)
    for file in [path for path in littered.rglob("*") if path.is_file()]:
        file.with_name(f"._{file.name}").write_bytes(b"resource")
        file.with_name(".DS_Store").write_bytes(b"resource")
    plain, found = (read(folder, size=16) for folder in (sources[name], littered))
    assert (found.name, found.content_hash) == (plain.name, plain.content_hash)
    if sources[name] in plain.image_path.parents:
        assert found.image_path.name == plain.image_path.name


def test_the_choice_is_logged(small_legacy, caplog):
    with caplog.at_level(logging.INFO, logger="c2lst"):
        section = read(small_legacy, size=16)
    assert f"{small_legacy}: read as legacy Spatial Transcriptomics because it has" in caplog.text
    assert section.reading["format"] == "legacy Spatial Transcriptomics"
    assert "S1.png" in section.reading["because"]


def test_of_two_formats_the_first_is_taken_and_the_other_named(sources, tmp_path, caplog):
    both = shutil.copytree(sources["legacy"], tmp_path / "both")
    shutil.copytree(sources["hest"], both, dirs_exist_ok=True)
    with caplog.at_level(logging.WARNING, logger="c2lst"):
        assert find_reader(both)[0].NAME == "hest"
    assert "--format legacy" in caplog.text
    assert find_reader(both, format="legacy")[0].NAME == "legacy"


def test_an_h5ad_file_is_read_whatever_lies_beside_it(sources, tmp_path):
    beside = shutil.copytree(sources["visium"], tmp_path / "visium")
    shutil.copy(sources["anndata"], beside / "mine.h5ad")
    assert find_reader(beside / "mine.h5ad")[0].NAME == "anndata"
    assert find_reader(beside)[0].NAME == "visium"


def test_a_folder_of_no_format_lists_all_that_was_looked_for(tmp_path):
    (tmp_path / "thesis.txt").write_text("x")
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    message = str(caught.value)
    assert "thesis.txt" in message and "\n" not in message
    for name in FORMATS[1:]:
        reader = __import__(f"c2lst.data.readers.{name.replace('-', '_')}", fromlist=["TITLE"])
        assert reader.TITLE in message and reader.LOOKS_FOR in message


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".svs"])
def test_an_image_alone_is_sent_to_collect(tmp_path, suffix):
    Image.new("RGB", (64, 64), "white").save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / f"a{suffix}")
    for source in (tmp_path / f"a{suffix}", tmp_path):
        with pytest.raises(InputError, match="c2lst collect"):
            read(source)


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        read(tmp_path / "nowhere" / "C3")
    with pytest.raises(InputError, match="is of no format"):
        read(tmp_path / "C3")
    with pytest.raises(InputError, match="besides"):
        read(tmp_path / "C3", section="C4")
    with pytest.raises(InputError, match="no such image"):
        read(write_hest(tmp_path / "hest").folder, image=tmp_path / "none.tif")
    with pytest.raises(InputError, match="is not known"):
        read(tmp_path, format="cosmx")


def test_the_command_line_offers_every_format():
    assert sorted(get_args(get_args(options.Format)[0])) == sorted(FORMATS)


def test_a_width_of_bins_is_refused_where_nothing_is_pooled(sources):
    for name, source in sources.items():
        if name in ("visium-hd", "xenium"):
            continue
        with pytest.raises(InputError, match="--bin-um"):
            read(source, bin_um=50.0)
