"""Tables for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from c2lst.data.section import Section
    from c2lst.planning import SamplingPlan


def show_section(section: Section, directory: Path) -> None:
    """Print what was read, and where it was written."""
    from rich.console import Console
    from rich.table import Table

    from c2lst.data.layout import HestPlace
    from c2lst.data.readers.constants import ReadingKey

    reading, count = section.reading, len(section)
    on_tissue, overlap = reading.get(ReadingKey.ON_TISSUE), reading.get(ReadingKey.OVERLAP)
    dropped = reading.get(ReadingKey.DROPPED, {})
    rows = {
        "format": f"{reading[ReadingKey.FORMAT]}: {reading[ReadingKey.BECAUSE]}",
        "spots": f"{count:,}",
        "genes": f"{len(section.genes):,}",
        "µm/px": f"{section.mpp:.4g}, {reading.get(ReadingKey.MPP_FROM, 'as it was stored')}",
        "patches": f"{section.patches.patch_um:g} µm in {section.patches.size} px",
        "overlap": "unknown" if overlap is None else f"{overlap:.0%} with other patches (median)",
        "on tissue": "unknown" if on_tissue is None else f"{on_tissue:,} of {count:,} spots",
        "dropped": ", ".join(f"{n:,} {why}" for why, n in dropped.items()) or "none",
        "output": str(directory),
        "overlay": str(HestPlace(directory, section.name).plot),
    }
    table = Table(title=f"section {section.name}", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table, markup=False)


def show_stages(path: Path) -> None:
    """Print how long each stage of a run took."""
    from rich.console import Console
    from rich.table import Table

    from c2lst.storage import read_json

    table = Table(title="stages")
    table.add_column("stage")
    table.add_column("time", justify="right")
    table.add_column("what came of it")
    for name, stage in read_json(path, required=("stages",))["stages"].items():
        plain = {k: v for k, v in stage["summary"].items() if isinstance(v, str | int | float)}
        minutes, seconds = divmod(round(stage["seconds"]), 60)
        told = ", ".join(f"{key} {_short(value)}" for key, value in plain.items())
        table.add_row(name, f"{minutes}:{seconds:02d}", told)
    Console().print(table)


def _short(value: str | float) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)


def show_plan(plan: SamplingPlan, given: int) -> None:
    """Print what a plan would leave unknown, beside random choices of as many spots."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    low, high = np.quantile(plan.random, (0.025, 0.975))
    chosen = f"{len(plan.design.order):,}"
    rows = {
        "spots to sequence": f"{chosen} in {len(plan.regions)} regions"
        if len(plan.regions)
        else chosen,
        "sequenced before": f"{given:,}",
        "how alike spots are": "from the first round" if plan.fitted else "from the H&E alone",
        "unknown now": f"{plan.design.before:.1%}",
        "unknown after": f"{plan.unknown:.1%}",
        "unknown after a random choice": f"{plan.random.mean():.1%} ({low:.1%} to {high:.1%})",
    }
    title = "share of the slide's explainable variance"
    table = Table(title="plan", caption=f"unknown: {title}", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right")
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table)


def show_adapter(made: dict[str, Any], genes: int, seconds: float) -> None:
    """Print what an adapter was trained on, how far, and what held-out spots say of it.

    Parameters
    ----------
    made
        Its provenance.
    genes
        Size of its panel.
    seconds
        How long its training took.
    """
    from rich.console import Console
    from rich.table import Table

    stopped, private = made["early_stop"], made["privacy"]
    steps = f"{made['settings']['training']['steps']:,}"
    rows = {
        "spots": f"{made['learnt_spots']:,} learnt from",
        "genes": f"{genes:,}",
        "weights": f"{made['parameters']:,}, {made['share']:.1%} of the central model's",
        "steps": steps,
        "held-out loss": "not looked at",
        "time": f"{seconds // 60:.0f}:{seconds % 60:02.0f} min",
    }
    if stopped:
        start, best = stopped["loss_at_start"], stopped["loss_kept"]
        rows["spots"] += f", {stopped['held_out_spots']:,} held out"
        ended, kept = stopped["stopped_at"], stopped["kept_step"]
        rows["steps"] = f"{ended:,} of {steps}, weights of step {kept:,} kept"
        rows["held-out loss"] = f"{start:.4g} → {best:.4g} ({best / start - 1:+.1%})"
    if private:
        rows["privacy"] = f"ε = {private['epsilon']:g}, δ = {private['delta']:.1g}"
    table = Table(title=f"adapter to section {made['section']}", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    Console().print(table, markup=False)
