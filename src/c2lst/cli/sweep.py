"""Commands that ask an adapter what genes do: one moved, some missing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell
from c2lst.errors import InputError

if TYPE_CHECKING:
    from c2lst.evaluation.distribution import KernelDistance
    from c2lst.local.missing import MissingGenes
    from c2lst.local.sweep import SweepResult
    from c2lst.local.synthesis import SynthesisSettings


def sweep(
    adapter: opt.Adapter,
    output: opt.Output,
    gene: Annotated[str | None, typer.Option(help="The gene to move.")] = None,
    genes: Annotated[str | None, typer.Option(help="Genes to move together: A,B,C.")] = None,
    signature: Annotated[
        Path | None, typer.Option(help="CSV of gene,weight to move along, such as a cell type.")
    ] = None,
    spot: Annotated[
        str | None, typer.Option(help="Training spot to start from; the most average by default.")
    ] = None,
    low: Annotated[float, typer.Option("--from", help="Lowest step, in SD of expression.")] = -2.0,
    high: Annotated[float, typer.Option("--to", help="Highest step.")] = 2.0,
    steps: Annotated[int, typer.Option(help="Steps; the spot's own profile is one.")] = 9,
    noises: Annotated[int, typer.Option(min=1, help="Noises: rows of the figure.")] = 6,
    nulls: Annotated[int, typer.Option(min=0, help="Random genes to compare with.")] = 20,
    guidance: opt.Guidance = None,
    sampler: opt.Sampler = None,
    section: opt.NotedSection = None,
    split_file: opt.NotedSplit = None,
    central: opt.NotedCentral = None,
    preset: opt.Preset = "small",
    config: opt.Config = None,
    seed: opt.Seed = None,
) -> None:
    """Move a gene from low to high under the same noise, and see what it does to the tissue."""
    from c2lst.evaluation.encoders import get_encoder
    from c2lst.evaluation.ruler import Ruler
    from c2lst.local import directions
    from c2lst.local.figures import draw_sweep
    from c2lst.local.sources import open_adapter, open_spots
    from c2lst.local.sweep import mean_spot, spot_profile
    from c2lst.local.sweep import steps as even_steps
    from c2lst.local.sweep import sweep as moved
    from c2lst.storage import refuse_unreplaceable, write_json

    if sum(choice is not None for choice in (gene, genes, signature)) != 1:
        raise InputError("command line", "give one of --gene, --genes and --signature")
    refuse_unreplaceable(output)  # before hours of drawing
    values = even_steps(low, high, steps)
    settings = _settings(preset, config, seed, guidance, sampler)
    local = open_adapter(adapter, central)
    slide, split = open_spots(adapter, local, section, split_file)
    preprocessing = local.preprocessing
    panel = preprocessing.panel.genes
    if signature is not None:
        name, change = signature.stem, directions.of_signature(signature, panel)
    else:
        named = [entry.strip() for entry in (genes or gene or "").split(",") if entry.strip()]
        name, change = ", ".join(named), directions.of_genes(named, panel)
    start = spot or mean_spot(slide, split, preprocessing)
    profile = spot_profile(slide, split, preprocessing, start)
    directions.warn_of_negative_counts(profile, change, values, preprocessing)
    ruler = Ruler.fit(
        preprocessing.images(split.training(slide)), preprocessing, get_encoder("auto")
    )
    random_directions = directions.at_random(change, nulls, seed=settings.seed)
    result = moved(
        local,
        profile,
        change,
        values,
        noises,
        settings,
        ruler=ruler,
        nulls=random_directions,
        directory=opt.scratch(output),
    )
    draw_sweep(result, f"{name}, from spot {start} of section {slide.name}", output / "sweep.png")
    _write_rows(output / "sweep.csv", result.rows())
    write_json(
        output / "sweep.json",
        {
            "moved": {g: float(w) for g, w in zip(panel, change, strict=True) if w},
            "spot": start,
            "steps": values,
            "noises": result.seeds,
            "random_directions": len(random_directions),
            "features": ruler.encoder.label,
            "effects": [effect.to_dict() for effect in result.effects()],
            **_about(local.hash, settings),
        },
    )
    opt.clear_scratch(output)
    _show_effects(name, result)
    tell(f"sweep of {name} → {output}")


def drop_genes(
    adapter: opt.Adapter,
    output: opt.Output,
    number: Annotated[int, typer.Option(help="Genes to drop at random (paper: 5).")] = 5,
    trials: Annotated[int, typer.Option(min=1, help="Random choices of the genes.")] = 10,
    spots: Annotated[int, typer.Option(min=2, help="Training spots to draw for.")] = 16,
    guidance: opt.Guidance = None,
    sampler: opt.Sampler = None,
    section: opt.NotedSection = None,
    split_file: opt.NotedSplit = None,
    central: opt.NotedCentral = None,
    preset: opt.Preset = "small",
    config: opt.Config = None,
    seed: opt.Seed = None,
) -> None:
    """Draw patches with genes missing, and compare them with all genes and with real patches."""
    import numpy as np

    from c2lst.evaluation.encoders import get_encoder
    from c2lst.local import missing
    from c2lst.local.figures import draw_missing
    from c2lst.local.sources import open_adapter, open_spots
    from c2lst.storage import refuse_unreplaceable, write_json

    refuse_unreplaceable(output)
    settings = _settings(preset, config, seed, guidance, sampler)
    local = open_adapter(adapter, central)
    missing.numbers_missing(number, len(local.preprocessing.panel))
    slide, split = open_spots(adapter, local, section, split_file)
    training = split.training(slide)
    order = np.random.default_rng((settings.seed, 13)).permutation(len(training))
    chosen = np.sort(order[:spots])
    encoder = get_encoder("auto")
    result = missing.drop_genes(
        local,
        local.preprocessing.expression(training)[chosen],
        local.preprocessing.images(training),
        settings,
        number=number,
        trials=trials,
        encoder=encoder,
        directory=opt.scratch(output),
    )
    draw_missing(result, training.barcodes[chosen].tolist(), output / "drop_genes.png")
    _write_rows(output / "drop_genes.csv", result.rows())
    write_json(
        output / "drop_genes.json",
        {
            **result.to_dict(),
            "spots": training.barcodes[chosen],
            "features": encoder.label,
            **_about(local.hash, settings),
        },
    )
    opt.clear_scratch(output)
    _show_missing(result)
    tell(f"images with missing genes → {output}")


def _settings(
    preset: str, config: Path | None, seed: int | None, guidance: float | None, sampler: str | None
) -> SynthesisSettings:
    from c2lst.settings import load_settings

    given = {"guidance": guidance, "sampler": sampler}
    changes = {"seed": seed, "synthesis": {k: v for k, v in given.items() if v is not None}}
    return load_settings(preset, config, changes).synthesis


def _about(adapter_hash: str, settings: SynthesisSettings) -> dict[str, Any]:
    from c2lst import __version__

    return {
        "c2lst": __version__,
        "adapter": adapter_hash,
        "guidance": settings.guidance,
        "sampler": settings.sampler,
        "seed": settings.seed,
    }


def _write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    import pandas as pd

    from c2lst.storage import whole_file

    with whole_file(path) as partial:
        pd.DataFrame(list(rows)).to_csv(partial, index=False, float_format="%.6g")


def _show_effects(name: str, result: SweepResult) -> None:
    from rich.console import Console
    from rich.table import Table

    from c2lst.local.figures import TITLES, signed

    count = len(next(iter(result.null.values())))
    caption = f"p: share of {count} random directions that move it as much" if count else None
    table = Table(title=f"{name} raised by one standard deviation", caption=caption)
    for heading in ("measure", "change", "95 % interval", "of real SD", "p"):
        left = heading == "measure"
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for effect in result.effects():
        relative = effect.slope / effect.spread if effect.spread else float("nan")
        table.add_row(
            TITLES[effect.measure],
            signed(effect.slope),
            "" if math.isnan(effect.low) else f"{signed(effect.low)} to {signed(effect.high)}",
            "" if effect.measure == "shift" else f"{relative:+.1%}",
            "" if count == 0 else f"{effect.p:.3f}",
        )
    Console().print(table)


def _show_missing(result: MissingGenes) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"genes missing of {result.genes}, against all genes")
    for heading in ("missing", "cosine", "pixels", "kernel distance to real"):
        table.add_column(heading, justify="right", no_wrap=True)
    for level in result.levels:
        table.add_row(
            f"{level.missing}",
            f"{level.cosine:.4f} ± {level.cosine_sd:.4f}",
            f"{level.pixels:.2f}",
            _with_interval(level.to_real),
        )
    table.add_section()
    table.add_row(
        "another noise", f"{result.another_noise[0]:.4f}", f"{result.another_noise[1]:.2f}", ""
    )
    table.add_row("real to real", "", "", _with_interval(result.floor))
    Console().print(table)


def _with_interval(distance: KernelDistance) -> str:
    return f"{distance.value:.3f} ({distance.low:.3f} to {distance.high:.3f})"
