"""SPIDER in miniature: one organ as its tar in parts, or extracted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from miniatures.patches import patch_bytes
from miniatures.tars import split_file, tar_of

CLASSES = ("adenocarcinoma high grade", "fat", "mucus")


def spider_metadata(slides: int = 4, per_slide: int = 3) -> list[dict[str, Any]]:
    """Entries with a 5 × 5 neighbourhood each; the first of a slide lies at its border.

    Neighbouring patches share context, and one labelled patch is the context of another.
    """
    entries = []
    for slide in range(slides):
        for number in range(per_slide):
            image = f"s{slide}_p{number}.png"
            context = {
                f"{row}_{column}": f"s{slide}_c{row}{column + number}.png"
                for row in range(5)
                for column in range(5)
                if (row, column) != (2, 2) and not (number == 0 and row == 0)
            }
            if number == 1:
                context["2_1"] = f"s{slide}_p0.png"
            entries.append(
                {
                    "slide_id": f"slide-{slide}",
                    "image_name": image,
                    "context_info": context,
                    "class": CLASSES[(slide + number) % len(CLASSES)],
                    "split": "test" if slide == slides - 1 else "train",
                }
            )
    return entries


def image_names(entries: list[dict[str, Any]]) -> tuple[set[str], set[str]]:
    """Names of the labelled patches, and of those that are context alone."""
    central = {entry["image_name"] for entry in entries}
    context = {name for entry in entries for name in entry["context_info"].values()}
    return central, context - central


def write_spider(folder: Path, entries: list[dict[str, Any]] | None = None) -> Path:
    """Write ``metadata.json`` and ``images/``; returns the folder."""
    entries = spider_metadata() if entries is None else entries
    (folder / "images").mkdir(parents=True)
    central, context = image_names(entries)
    for seed, name in enumerate(sorted(central | context)):
        (folder / "images" / name).write_bytes(patch_bytes(seed))
    (folder / "metadata.json").write_text(json.dumps(entries), encoding="utf-8")
    return folder


def write_spider_tar(
    folder: Path,
    organ: str = "skin",
    parts: int = 3,
    entries: list[dict[str, Any]] | None = None,
    without: tuple[str, ...] = (),
) -> Path:
    """Write ``spider-<organ>.tar.00``, …; returns the folder."""
    entries = spider_metadata() if entries is None else entries
    central, context = image_names(entries)
    files = {
        f"images/{name}": patch_bytes(seed)
        for seed, name in enumerate(sorted(central | context))
        if name not in without
    }
    files["metadata.json"] = json.dumps(entries).encode()
    folder.mkdir(parents=True, exist_ok=True)
    split_file(tar_of(folder / f"spider-{organ}.tar", files), parts)
    return folder
