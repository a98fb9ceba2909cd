"""Xenium output, spoilt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from bad_inputs import edits
from bad_inputs.case import BadInput
from miniatures.xenium import write_xenium

TRANSCRIPTS, EXPERIMENT = "transcripts.parquet", "experiment.xenium"
ALIGNMENT, IMAGE = "Sample_he_imagealignment.csv", "Sample_he_image.ome.tif"


def _case(name: str, spoil: Callable[[Path], object], *says: str, kind: str | None = "parquet"):
    def make(folder: Path) -> list[str]:
        write_xenium(folder, kind)
        spoil(folder)
        return ["ingest", str(folder)]

    return BadInput(f"xenium: {name}", make, says)


def _table(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        change(pd.read_parquet(folder / TRANSCRIPTS)).to_parquet(folder / TRANSCRIPTS)

    return spoil


CASES = [
    _case("experiment is no JSON", lambda f: (f / EXPERIMENT).write_text("["), EXPERIMENT),
    _case(
        "experiment lacks pixel_size",
        lambda f: edits.json_value(f / EXPERIMENT, "pixel_size", ...),
        EXPERIMENT,
        "pixel_size",
    ),
    _case(
        "pixel_size is a word",
        lambda f: edits.json_value(f / EXPERIMENT, "pixel_size", "small"),
        EXPERIMENT,
        "small",
    ),
    _case("transcripts truncated", lambda f: edits.truncate(f / TRANSCRIPTS), TRANSCRIPTS),
    _case(
        "transcripts lack x_location",
        _table(lambda t: t.drop(columns="x_location")),
        TRANSCRIPTS,
        "x_location",
    ),
    _case("transcripts all of low quality", _table(lambda t: t.assign(qv=3.0)), TRANSCRIPTS, "20"),
    _case(
        "transcripts at no place",
        _table(lambda t: t.assign(x_location=float("nan"))),
        TRANSCRIPTS,
        "x nan",
    ),
    _case(
        "csv of transcripts truncated",
        lambda f: edits.truncate(f / "transcripts.csv.gz"),
        "transcripts.csv.gz",
        kind="csv",
    ),
    _case("alignment is text", lambda f: (f / ALIGNMENT).write_text("none"), ALIGNMENT),
    _case(
        "alignment is singular",
        lambda f: (f / ALIGNMENT).write_text("0,0,0\n0,0,0\n0,0,1\n"),
        ALIGNMENT,
    ),
    _case("image missing", lambda f: (f / IMAGE).unlink(), "image"),
    _case("image truncated", lambda f: edits.truncate(f / IMAGE, 0.3), IMAGE),
    _case(
        "neither transcripts nor matrix",
        lambda f: [
            (f / n).unlink() for n in (TRANSCRIPTS, "cell_feature_matrix.h5") if (f / n).exists()
        ],
        "transcripts",
    ),
]
