"""Command that judges a generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell
from c2lst.errors import InputError

if TYPE_CHECKING:
    from c2lst.data.simulate import SimulatedTruth
    from c2lst.workflow.generator import Part


def evaluate_generator(
    adapter: opt.Adapter,
    output: opt.Output,
    section: opt.NotedSection = None,
    split_file: opt.NotedSplit = None,
    central: opt.NotedCentral = None,
    held_out: Annotated[
        Path | None,
        typer.Option(help="Section that the adapter never saw, instead of the test spots."),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="SECTION_truth.json of simulated tissue.")
    ] = None,
    per_spot: Annotated[int, typer.Option(help="Images per training spot, of each kind.")] = 4,
    sampler: Annotated[
        Literal["paper", "faithful", "fast"], typer.Option(help="Solver and its steps.")
    ] = "fast",
    guidance: Annotated[float, typer.Option(help="Guidance scale.")] = 3.0,
    encoder: Annotated[
        str,
        typer.Option(
            help="Image features: auto, imagenet, random, conch, uni, uni2, virchow2, h-optimus-0, "
            "h-optimus-1, phikon, phikon-v2, timm:NAME, NAME=FOLDER, or a network's FOLDER."
        ),
    ] = "auto",
    nuclei: Annotated[
        str,
        typer.Option(
            help="What finds nuclei: watershed, hovernet, hovernet=WEIGHTS, or cellvit=FOLDER for "
            "what CellViT found."
        ),
    ] = "watershed",
    umap: Annotated[bool, typer.Option(help="Map patches by UMAP, too, if installed.")] = True,
    drop_genes: Annotated[
        int, typer.Option(help="Genes to leave out in the figure of missing genes; 0: no figure.")
    ] = 5,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of kept features, instead of the user's cache.")
    ] = None,
    seed: Annotated[int, typer.Option(help="One seed for everything.")] = 0,
) -> None:
    """Judge a generator: whether its patches follow their genes, and how like tissue they are.

    Held-out real spots train what reads genes from patches; they are used for nothing else.
    """
    from c2lst.data.section import Section
    from c2lst.local.sources import open_adapter, open_spots
    from c2lst.storage import refuse_unreplaceable
    from c2lst.workflow.generator import GeneratorSettings
    from c2lst.workflow.generator import evaluate_generator as judge

    settings = GeneratorSettings(
        per_spot, guidance, sampler, encoder, nuclei, umap, drop_genes, seed
    )
    refuse_unreplaceable(output)
    known = None if truth is None else _truth(truth)
    local = open_adapter(adapter, central)
    slide, spots = open_spots(adapter, local, section, split_file)
    parts = judge(
        local,
        slide,
        spots,
        output,
        settings,
        held_out=None if held_out is None else Section.load(held_out),
        truth=known,
        directory=opt.scratch(output),
        cache=cache,
    )
    opt.clear_scratch(output)
    _show(parts)
    for part in parts:
        tell(part.verdict)
    tell(f"→ {output}")


def _truth(path: Path) -> SimulatedTruth:
    from c2lst.data.simulate import SimulatedTruth

    ending = "_truth"
    if not path.stem.endswith(ending):
        raise InputError(path, "is no truth of simulated tissue", expected="SECTION_truth.json")
    return SimulatedTruth.load(path.parent, path.stem.removesuffix(ending))


def _show(parts: list[Part]) -> None:
    """Print the first row of each part."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="synthetic patches: means, with 95 % intervals")
    for name in ("what", "judged by", "synthetic", "shuffled", "no genes", "real"):
        table.add_column(name, justify="left" if name in ("what", "judged by") else "right")
    for part in parts:
        row = part.table.iloc[0]
        label = part.name if row["name"] == "mean" else f"{part.name}, {row['name']}"
        table.add_row(
            label,
            part.by.split(" (")[0],
            _interval(row["estimate"], row["low"], row["high"]),
            _short(row["shuffled"]),
            _short(row["unconditional"]),
            _interval(row["real"], row["real_low"], row["real_high"]),
        )
    Console().print(table, markup=False)


def _interval(value: float, low: float, high: float) -> str:
    return f"{_short(value)} ({_short(low)} to {_short(high)})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3f}"
