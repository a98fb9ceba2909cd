"""Collections of patches, spoilt."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from bad_inputs import edits
from bad_inputs.case import BadInput
from miniatures.patches import patch_bytes
from miniatures.spider import spider_metadata, write_spider, write_spider_tar
from miniatures.tars import member, write_tar
from miniatures.webdataset import write_shards


def _case(name: str, make_in: Callable[[Path], object], *says: str, args: tuple[str, ...] = ()):
    def make(folder: Path) -> list[str]:
        make_in(folder)
        return ["collect", str(folder), *(arg.replace("{source}", str(folder)) for arg in args)]

    return BadInput(f"collection: {name}", make, says)


def _images(folder: Path) -> None:
    for seed in range(6):
        (folder / f"{seed}.png").write_bytes(patch_bytes(seed))


def _with(name: str, content: bytes) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        _images(folder)
        (folder / name).write_bytes(content)

    return make


def _tar(name: str, **header: object) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        honest = member("00001.png", patch_bytes(1))
        content = b"" if "type" in header else patch_bytes(2)
        write_tar(folder / "patches-000.tar", [honest, member(name, content, **header)])

    return make


def _spider(change: Callable[[list[dict]], object]) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        entries = spider_metadata()
        change(entries)
        write_spider(folder / "skin", entries)
        for path in (folder / "skin").iterdir():
            path.rename(folder / path.name)
        (folder / "skin").rmdir()

    return make


def _spider_tar_without_a_part(folder: Path) -> None:
    write_spider_tar(folder, parts=3)
    (folder / "spider-skin.tar.01").unlink()


def _spider_image_missing(folder: Path) -> None:
    _spider(lambda entries: None)(folder)
    (folder / "images" / "s0_p0.png").unlink()


def _groups(content: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        _images(folder)
        (folder / "groups.csv").write_text(content)

    return make


def _cmyk(folder: Path) -> None:
    _images(folder)
    Image.new("CMYK", (16, 16)).save(folder / "a.jpg")


def _shards_truncated(folder: Path) -> None:
    write_shards(folder)
    edits.truncate(folder / "patches-001.tar", 0.4)


CASES = [
    _case("an image of 0 bytes", _with("a.png", b""), "a.png"),
    _case("an image that is text", _with("a.jpg", b"no image"), "a.jpg"),
    _case("an image truncated", _with("a.png", patch_bytes(9)[:60]), "a.png"),
    _case("a CMYK image", _cmyk, "a.jpg", "CMYK"),
    _case("no images", lambda f: (f / "readme.md").write_text("hello"), "readme.md"),
    _case("tar with ../", _tar("../../evil.png"), "patches-000.tar", "evil.png"),
    _case("tar with an absolute path", _tar("/tmp/evil.png"), "patches-000.tar", "evil.png"),
    _case(
        "tar with a link out of the folder",
        _tar("00002.png", type=tarfile.SYMTYPE, linkname="../../secret"),
        "00002.png",
        "link",
    ),
    _case("tar with a device", _tar("00002.png", type=tarfile.CHRTYPE), "00002.png"),
    _case("tar truncated", _shards_truncated, "patches-001.tar"),
    _case("spider without slide_id", _spider(lambda e: e[2].pop("slide_id")), "slide_id"),
    _case("spider slide in both splits", _spider(lambda e: e[0].update(split="test")), "slide-0"),
    _case("spider image missing", _spider_image_missing, "s0_p0.png"),
    _case("spider tar without a part", _spider_tar_without_a_part, "spider-skin.tar"),
    _case("µm/px of 0", _images, "mpp", args=("--mpp", "0")),
    _case("validation share of 2", _images, "validation", args=("--validation", "2")),
    _case(
        "groups without a column",
        _groups("file,patient\n0.png,A\n"),
        "groups.csv",
        args=("--groups", "{source}/groups.csv"),
    ),
    _case(
        "groups of other images",
        _groups("name,group\nz.png,A\n"),
        "groups.csv",
        args=("--groups", "{source}/groups.csv"),
    ),
]
