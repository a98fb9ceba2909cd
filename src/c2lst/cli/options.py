"""Options that several commands share, each declared once."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from c2lst.errors import InputError

Output = Annotated[Path, typer.Option("--output", "-o", help="Where the result goes.")]
SectionFolder = Annotated[Path, typer.Argument(metavar="SECTION", help="Folder of the section.")]
SectionName = Annotated[
    str | None, typer.Option(help="Which section, where the folder holds several.")
]
A_CENTRAL = "Central model: its folder, its id on the hub, or builtin"
Central = Annotated[str, typer.Option(metavar="CENTRAL", help=f"{A_CENTRAL}.")]
GivenCentral = Annotated[
    str | None, typer.Option("--central", metavar="CENTRAL", help=f"{A_CENTRAL}.")
]
SplitFile = Annotated[Path, typer.Option("--split", help="Split, as JSON.")]
Adapter = Annotated[Path, typer.Argument(help="Folder of the adapter.")]
# An adapter notes where it was made from: these say otherwise.
NotedSection = Annotated[
    Path | None, typer.Option("--section", help="Folder of the section; noted with the adapter.")
]
NotedSplit = Annotated[
    Path | None, typer.Option("--split", help="Its split; noted with the adapter.")
]
NotedCentral = Annotated[
    str | None,
    typer.Option("--central", metavar="CENTRAL", help=f"{A_CENTRAL}; noted with the adapter."),
]
Guidance = Annotated[float | None, typer.Option(help="Guidance scale.")]
Sampler = Annotated[
    Literal["paper", "faithful", "fast"] | None, typer.Option(help="Solver and its steps.")
]
Fraction = Annotated[
    float | None, typer.Option(help="Share of spots that are sequenced; 0.25 by default.")
]
Scheme = Annotated[
    Literal["random", "buffered", "blocks", "all"],
    typer.Option(help="How spots are chosen; all: every one is sequenced, none is held out."),
]
Preset = Annotated[
    Literal["tiny", "small", "base", "paper"], typer.Option(help="Size and length of everything.")
]
Config = Annotated[Path | None, typer.Option(help="TOML file that changes the preset.")]
Seed = Annotated[int | None, typer.Option(help="One seed for everything.")]
Mpp = Annotated[float | None, typer.Option(help="µm per px, instead of what the spot pitch says.")]
Image = Annotated[
    Path | None, typer.Option(help="Full-resolution image, where it is not part of the slide.")
]
Format = Annotated[
    Literal["auto", "hest", "visium-hd", "visium", "xenium", "spatialdata", "anndata", "legacy"],
    typer.Option(help="Format of the slide; recognised by default."),
]
GeneList = Annotated[
    Path | None, typer.Option("--genes", help="Text file with one gene of the panel a line.")
]


def read_genes(path: Path | None) -> tuple[str, ...] | None:
    """Read a gene list, one name a line; blank lines and ``#`` comments are skipped."""
    if path is None:
        return None
    try:
        # Editors on Windows put a mark of the encoding first, which is no part of a name.
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, "is no readable text file", expected="one gene a line") from error
    names = [line.split("#")[0].strip() for line in lines]
    genes = tuple(name for name in names if name)
    if not genes:
        raise InputError(path, "names no gene", expected="one gene a line")
    return genes


def refuse_share_of_all(fraction: float | None, scheme: str) -> None:
    """Refuse a share of the spots where all of them are asked for."""
    if scheme == "all" and fraction is not None:
        raise InputError(
            "--fraction", "does not go with scheme all, which takes every spot", found=fraction,
            remedy="leave one of them out",
        )  # fmt: skip


def scratch(output: Path) -> Path:
    """Return the folder of the checkpoints of a result that is being made."""
    output = output.absolute()
    return output.parent / f".{output.name}.work"


def clear_scratch(output: Path) -> None:
    """Remove the checkpoints of a result that is complete."""
    shutil.rmtree(scratch(output), ignore_errors=True)


def refuse_finished(output: Path, made: Sequence[str], *, unless: bool = False) -> None:
    """Keep a result that took long from being replaced by the same command given again.

    Parameters
    ----------
    output
        Where the result would go.
    made
        What it holds, first the file by which a complete one is known.

    Raises
    ------
    InputError
        Also if something else is there.
    """
    from c2lst.storage import refuse_foreign

    refuse_foreign(output, made)
    if (output / made[0]).is_file() and not unless:
        raise InputError(
            output,
            "is complete already",
            remedy="choose another --output, or --resume never to make it anew",
        )
