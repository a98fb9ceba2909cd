from __future__ import annotations

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


def test_unreadable_images_are_listed(tiles, tmp_path, capsys):
    (tiles / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    with pytest.raises(InputError, match=r"broken\.jpg"):
        run("collect", tiles, "-o", tmp_path / "collection")
    run("collect", tiles, "-o", tmp_path / "collection", "--skip-unreadable")
    assert "broken.jpg" in capsys.readouterr().out
