from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from c2lst.data.collections import open_collection, writing
from c2lst.data.collections.collect import CollectSettings, collect
from c2lst.data.collections.copies import pixel_hash
from c2lst.errors import InputError


def table(folder):
    return [
        row
        for path in sorted((folder / "data").glob("*.parquet"))
        for row in pq.read_table(path).to_pylist()
    ]


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_images_are_kept_as_they_are_with_what_is_known_of_them(tiles, tmp_path):
    manifest = collect([tiles], tmp_path / "out", CollectSettings(mpp=0.5, licence="CC0"))
    found = table(tmp_path / "out")
    assert len(found) == manifest["patches"] == 40
    for row in found:
        assert row["image"]["bytes"] == (tiles / row["name"]).read_bytes()
        assert row["sha256"] == pixel_hash(np.asarray(Image.open(tiles / row["name"])))
        assert row["label"] == row["name"][0] and row["source"] == "tiles"
        assert row["mpp"] == 0.5 and row["copy_of"] is None and row["phash"] is not None
    assert manifest["classes"] == {"a": 20, "b": 20} and manifest["licence"] == "CC0"
    assert manifest["size"] == 40 and manifest["patch_um"] == 20.0
    assert not list(tmp_path.glob(".*"))


def test_it_opens_with_datasets_as_it_is(tiles, tmp_path):
    datasets = pytest.importorskip("datasets")
    collect([tiles], tmp_path / "out", CollectSettings(licence='free: "as is"'))
    found = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert set(found) == {"train", "validation"}
    assert isinstance(found["train"].features["image"], datasets.Image)
    row = found["train"][0]
    assert np.array_equal(np.asarray(row["image"]), np.asarray(Image.open(tiles / row["name"])))
    assert row["split"] == "train"


def test_no_group_is_on_both_sides_and_more_patches_move_none(tiles, tmp_path):
    groups = tmp_path / "groups.csv"
    settings = CollectSettings(validation=0.5, seed=3)
    manifest = collect([tiles], tmp_path / "all", settings, groups=groups)
    sides = {row["name"]: (row["group"], row["split"]) for row in table(tmp_path / "all")}
    assert manifest["groups"] == 4 and len(set(sides.values())) == 4
    for path in list(tiles.rglob("*.png"))[::3]:
        path.unlink()
    collect([tiles], tmp_path / "fewer", settings, groups=groups)
    fewer = table(tmp_path / "fewer")
    assert len(fewer) < 40
    assert all(sides[row["name"]] == (row["group"], row["split"]) for row in fewer)


def write_copies(tiles, encode_image):
    """Two copies of the first tile: one turned and re-encoded, one in another container."""
    first = np.asarray(Image.open(sorted(tiles.rglob("*.png"))[0]))
    (tiles / "z").mkdir()
    turned = np.ascontiguousarray(np.rot90(first))
    (tiles / "z" / "turned.jpg").write_bytes(encode_image(turned, "JPEG", quality=90))
    (tiles / "z" / "same.png").write_bytes(encode_image(first, compress_level=1))


def test_copies_are_dropped_or_flagged_beside_their_original(tiles, tmp_path, encode_image):
    write_copies(tiles, encode_image)
    dropped = collect([tiles], tmp_path / "dropped")
    assert dropped["patches"] == 40
    assert (dropped["copies"]["exact"], dropped["copies"]["near"]) == (1, 1)
    flagged = collect([tiles], tmp_path / "flagged", CollectSettings(copies="flag"))
    rows = {row["name"]: row for row in table(tmp_path / "flagged")}
    assert flagged["patches"] == 42 and flagged["copies"]["exact"] == 1
    for name in ("z/turned.jpg", "z/same.png"):
        original = rows["a/s0_00.png"]
        assert rows[name]["copy_of"] == "tiles:a/s0_00.png"
        assert (rows[name]["group"], rows[name]["split"]) == (original["group"], original["split"])


def test_copies_are_found_across_batches_as_within(tiles, tmp_path, encode_image, monkeypatch):
    write_copies(tiles, encode_image)
    collect([tiles], tmp_path / "whole")
    monkeypatch.setattr("c2lst.data.collections.collect._AT_ONCE", 3)
    collect([tiles], tmp_path / "batches")
    assert (
        files(tmp_path / "whole")["index/train.npy"]
        == files(tmp_path / "batches")["index/train.npy"]
    )


def test_patches_of_another_collection_or_section_count_as_copies(
    tiles, tmp_path, small_section, make_textures, encode_image
):
    some = tmp_path / "some"
    some.mkdir()
    for number, pixels in enumerate(make_textures(40, 40)[:5]):
        turned = np.ascontiguousarray(pixels[:, ::-1])
        (some / f"{number}.jpg").write_bytes(encode_image(turned, "JPEG", quality=95))
    collect([some], tmp_path / "other")
    small_section.save(tmp_path / "section")
    (tiles / "spot.png").write_bytes(encode_image(small_section.patches[7]))
    against = [tmp_path / "other", tmp_path / "section"]
    manifest = collect([tiles], tmp_path / "out", against=against)
    assert manifest["copies"]["against"] == {"other": 5, "section": 1}
    assert manifest["patches"] == 35 and manifest["copies"]["near"] == 0
    flag = CollectSettings(copies="flag")
    assert collect([tiles], tmp_path / "out", flag, against=against)["patches"] == 41
    flagged = [row["copy_of"] for row in table(tmp_path / "out") if row["copy_of"]]
    barcode = small_section.barcodes[7]
    assert len(flagged) == 6 and f"section:{small_section.name}/{barcode}" in flagged
    with pytest.raises(InputError, match="to compare with"):
        collect([tiles], tmp_path / "out", against=[tiles])


def test_blank_patches_are_no_copies_of_each_other(tmp_path, encode_image):
    rng = np.random.default_rng(0)
    folder = tmp_path / "blank"
    folder.mkdir()
    for number in range(6):
        pixels = np.clip(240 + rng.standard_normal((32, 32, 3)), 0, 255).astype(np.uint8)
        (folder / f"{number}.png").write_bytes(encode_image(pixels))
    (folder / "again.png").write_bytes((folder / "3.png").read_bytes())
    manifest = collect([folder], tmp_path / "out")
    assert manifest["patches"] == 6 and manifest["copies"]["exact"] == 1
    assert {row["phash"] for row in table(tmp_path / "out")} == {None}


def test_patches_are_cut_and_resampled_only_if_asked(tiles, tmp_path):
    settings = CollectSettings(size=16, patch_um=16.0, mpp=0.5)
    manifest = collect([tiles], tmp_path / "out", settings)
    assert manifest["size"] == 16 and manifest["patch_um"] == pytest.approx(16.0)
    whole = open_collection(tiles, size=16, patch_um=16.0, mpp=0.5)
    name = table(tmp_path / "out")[0]["name"]
    cut = open_collection(tmp_path / "out", size=16).fetch(np.array([0]))[0]
    expected = whole.fetch(np.array([whole.names.index(name)]))[0]
    assert np.abs(cut.astype(int) - expected).mean() < 3
    with pytest.raises(InputError, match="µm/px is not known"):
        collect([tiles], tmp_path / "out", CollectSettings(patch_um=16.0))


def test_an_image_that_cannot_be_read_is_an_error_or_left_out(tiles, tmp_path):
    (tiles / "a" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    with pytest.raises(InputError, match=r"broken\.png.*--skip-unreadable"):
        collect([tiles], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    manifest = collect([tiles], tmp_path / "out", CollectSettings(skip_unreadable=True))
    assert manifest["patches"] == 40 and len(manifest["skipped"]) == 1
    assert manifest["skipped"][0][0].endswith("a/broken.png")


@pytest.mark.parametrize("where", ["a/0.tif", "b/zz.tiff", "b/empty.tif", "b/zz.png"])
def test_whatever_file_cannot_be_read_is_an_error_or_left_out(tiles, tmp_path, where):
    broken = tiles / where
    if where == "b/zz.png":  # what may not be read fails as what is not there does
        broken.symlink_to(tmp_path / "gone")
    else:
        broken.write_bytes(b"" if "empty" in where else b"II*\0broken")
    with pytest.raises(InputError, match=rf"{broken.name}.*--skip-unreadable"):
        collect([tiles], tmp_path / "out")
    manifest = collect([tiles], tmp_path / "out", CollectSettings(skip_unreadable=True))
    assert manifest["patches"] == 40
    assert [Path(file).name for file, _ in manifest["skipped"]] == [broken.name]


@pytest.mark.parametrize("cut", ["at its head", "half way"])
def test_a_damaged_slide_is_an_error_or_left_out_and_the_others_are_cut(
    tmp_path, stained_image, cut
):
    import tifffile

    folder = tmp_path / "slides"
    folder.mkdir()
    for number, name in enumerate("abc"):
        pixels = stained_image(640, 640, seed=number)
        tifffile.imwrite(
            folder / f"{name}.svs", pixels, tile=(64, 64), photometric="rgb",
            compression="deflate", resolution=(5000, 5000), resolutionunit="CENTIMETER",
        )  # fmt: skip
    damaged, whole = folder / "b.svs", (folder / "b.svs").read_bytes()
    if cut == "half way":  # the first tiles are sound
        damaged.write_bytes(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    else:
        damaged.write_bytes(whole[:200])
    settings = CollectSettings(patch_um=100.0, size=16, mpp=2.0)
    with pytest.raises(InputError, match=r"b\.svs.*--skip-unreadable"):
        collect([folder], tmp_path / "out", settings)
    manifest = collect([folder], tmp_path / "out", replace(settings, skip_unreadable=True))
    assert [Path(file).name for file, _ in manifest["skipped"]] == ["b.svs"]
    slides = {row["slide"] for row in table(tmp_path / "out")}
    assert {"a", "c"} <= slides


def test_sources_are_joined_and_told_apart(tiles, tmp_path):
    other = tmp_path / "more" / "tiles"
    other.parent.mkdir()
    (tiles / "b").rename(other)
    manifest = collect([tiles, other], tmp_path / "out")
    assert [(s["source"], s["patches"]) for s in manifest["sources"]] == [
        ("tiles (1)", 20), ("tiles (2)", 20),
    ]  # fmt: skip


def test_a_folder_that_holds_something_else_is_not_replaced(tiles, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="did not write"):
        collect([tiles], tmp_path / "out")
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


KILLED = """
import os, signal, sys
from c2lst.data.collections import collect, writing
writing.SHARD_BYTES, collect._AT_ONCE = 8_000, 4
from c2lst.data.collections.collect import CollectSettings
closed = writing.CollectionWriter.checkpoint
def checkpoint(self):
    closed(self)
    if self.tally.read > 20: os.kill(os.getpid(), signal.SIGKILL)
writing.CollectionWriter.checkpoint = checkpoint
collect.collect([sys.argv[1]], sys.argv[2], CollectSettings(copies="flag"))
"""


def test_killed_it_goes_on_where_it_stopped(tiles, tmp_path, encode_image, monkeypatch, caplog):
    write_copies(tiles, encode_image)
    out = tmp_path / "out"
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), str(tiles), str(out)], check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL and not out.exists()
    monkeypatch.setattr(writing, "SHARD_BYTES", 8_000)
    monkeypatch.setattr("c2lst.data.collections.collect._AT_ONCE", 4)
    decoded = []
    real = writing.CollectionWriter.add
    monkeypatch.setattr(
        writing.CollectionWriter, "add", lambda *a: (decoded.append(a[1].name), real(*a))
    )
    settings = CollectSettings(copies="flag")
    collect([str(tiles)], out, settings)
    assert 0 < len(decoded) < 22
    collect([str(tiles)], tmp_path / "whole" / "out", settings)
    assert files(out) == files(tmp_path / "whole" / "out")
    assert not (tmp_path / ".out.work").exists()


def test_interrupted_and_with_other_images_it_starts_over(tiles, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "SHARD_BYTES", 8_000)
    monkeypatch.setattr("c2lst.data.collections.collect._AT_ONCE", 4)
    broken = tiles / "b" / "s3_39.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:100])
    with pytest.raises(InputError, match="s3_39"):
        collect([tiles], tmp_path / "out")
    assert not (tmp_path / "out").exists() and (tmp_path / ".out.work" / "state.json").exists()
    broken.write_bytes(whole)
    (tiles / "a" / "s0_00.png").unlink()
    assert collect([tiles], tmp_path / "out")["patches"] == 39
    names = [row["name"] for row in table(tmp_path / "out")]
    assert len(set(names)) == 39 and "a/s0_00.png" not in names
