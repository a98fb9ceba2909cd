from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from c2lst.central import CentralModel
from c2lst.cli.app import app
from c2lst.errors import InputError
from toy import TOML


@pytest.fixture
def tiles(tmp_path, stained_image):
    """Twelve H&E-like tiles, and a thirteenth that is the first one mirrored."""
    folder = tmp_path / "tiles"
    folder.mkdir()
    for number in range(12):
        pixels = stained_image(64, 64, seed=number)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
        if number == 0:
            Image.fromarray(np.ascontiguousarray(pixels[::-1])).save(folder / "mirrored.png")
    return folder


def run(*arguments: object) -> None:
    app([str(argument) for argument in arguments], standalone_mode=False)


def test_what_is_collected_is_told_and_trained_on(tiles, tmp_path, capsys):
    run(
        "collect",
        tiles,
        "-o",
        tmp_path / "collection",
        "--mpp",
        0.5,
        "--licence",
        "CC0",
        "--seed",
        4,
    )
    told = capsys.readouterr().out
    for words in ("12", "validation", "0 exact, 1 near", "on disk", "CC0"):
        assert words in told
    config = tmp_path / "toy.toml"
    config.write_text(TOML)
    run(
        "pretrain", tmp_path / "collection", "-o", tmp_path / "central", "--preset", "tiny",
        "--config", config, "--patch-um", 32, "--watch", 0,
    )  # fmt: skip
    told = CentralModel.load(tmp_path / "central").provenance["patches"]
    assert told["licence"] == "CC0" and told["patch_um"] == 32.0


def test_patches_of_another_collection_are_copies(tiles, tmp_path, capsys):
    few = tmp_path / "few"
    few.mkdir()
    for number in range(3):
        (few / f"{number}.png").write_bytes((tiles / f"{number:02d}.png").read_bytes())
    run("collect", few, "-o", tmp_path / "first")
    capsys.readouterr()
    run("collect", tiles, "-o", tmp_path / "second", "--against", tmp_path / "first")
    assert "also in first" in capsys.readouterr().out
    manifest = json.loads((tmp_path / "second" / "collection.json").read_text())
    assert manifest["patches"] == 9


@pytest.mark.parametrize(("stride", "patches"), [((), 4), (("--stride-um", 16), 9)])
def test_patches_of_a_slide_lie_as_far_apart_as_asked(tmp_path, stained_image, stride, patches):
    Image.fromarray(stained_image(128, 128, seed=1)).save(tmp_path / "slide.png")
    run("collect", tmp_path / "slide.png", "-o", tmp_path / "out", "--mpp", 0.5, "--size", 64,
        "--patch-um", 32, "--copies", "flag", *stride)  # fmt: skip
    manifest = json.loads((tmp_path / "out" / "collection.json").read_text())
    assert manifest["patches"] == patches


def test_unreadable_images_are_listed(tiles, tmp_path, capsys):
    (tiles / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        run("collect", tiles, "-o", tmp_path / "collection")
    run("collect", tiles, "-o", tmp_path / "collection", "--skip-unreadable")
    assert "broken.jpg" in capsys.readouterr().out
