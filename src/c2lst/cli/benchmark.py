"""The command that learns from whole sections and predicts others."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell
from c2lst.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame

    from c2lst.benchmark import Task
    from c2lst.data.section import Section


def benchmark(
    output: opt.Output,
    sections: Annotated[
        list[Path] | None,
        typer.Argument(metavar="SECTION", help="Folders of sections; before the options."),
    ] = None,
    hest_bench: Annotated[
        Path | None, typer.Option(help="Folder of a task of HEST-Bench, instead of sections.")
    ] = None,
    by: Annotated[
        Literal["patient", "section"], typer.Option(help="What is left out together.")
    ] = "patient",
    patient: Annotated[
        list[str] | None, typer.Option(help="Whose a section is, as SECTION=PATIENT.")
    ] = None,
    genes: Annotated[int, typer.Option(help="Size of the panel, where the task has none.")] = 250,
    encoder: Annotated[
        str, typer.Option(help="Frozen encoder of the patches; central: the model of --central.")
    ] = "auto",
    central: opt.GivenCentral = None,
    normalise: Annotated[
        bool, typer.Option("--normalise/--as-is", help="Bring patches to one stain, or not.")
    ] = True,
    network: Annotated[
        str,
        typer.Option(help="Network trained on real pairs; frozen: a head on --encoder; or none."),
    ] = "resnet-tiny",
    steps: Annotated[int | None, typer.Option(help="Its optimiser steps; 600 by default.")] = None,
    seed: Annotated[int, typer.Option(help="One seed for everything.")] = 0,
    allow_duplicates: Annotated[
        bool, typer.Option("--allow-duplicates", help="Let one slide be on both sides of a fold.")
    ] = False,
) -> None:
    """Learn from whole sections, predict others, and judge slide by slide."""
    from c2lst.benchmark import BenchmarkSettings, leave_one_out, read_task, run_benchmark

    if (hest_bench is None) == (not sections):
        raise InputError(
            "benchmark",
            "what is to be run?",
            expected="folders of sections, or --hest-bench with the folder of a task",
        )
    if hest_bench is not None:
        if patient:
            raise InputError("--patient", "is of sections: a task of HEST-Bench has its own folds")
        if by != "patient":
            raise InputError("--by", "is of sections: a task of HEST-Bench has its own folds")
        task = read_task(hest_bench)
    else:
        found = [section for folder in sections or [] for section in _sections_of(folder)]
        task = leave_one_out(found, by, _patients(patient or []))
    settings = BenchmarkSettings(genes, encoder, normalise, network, _steps(steps, network), seed)
    table = run_benchmark(
        task,
        output,
        settings,
        central=central,
        allow_duplicates=allow_duplicates,
        command=shlex.join(["c2lst", *sys.argv[1:]]),
    )
    _show(table, task)
    tell(f"benchmark → {output}")


def _steps(given: int | None, network: str) -> int:
    from c2lst.benchmark import BenchmarkSettings
    from c2lst.prediction.options import NETWORKLESS

    if given is not None and network == NETWORKLESS:
        raise InputError("--steps", "is of the network, and none is trained", found=given)
    return BenchmarkSettings.steps if given is None else given


def _sections_of(folder: Path) -> list[Section]:
    from c2lst.data.section import Section, available_sections

    names = available_sections(folder)
    # A folder without any is refused by the reading.
    return [Section.load(folder, name) for name in names] if names else [Section.load(folder)]


def _patients(given: list[str]) -> dict[str, str]:
    patients = {}
    for pair in given:
        section, sign, patient = pair.partition("=")
        if not (section and sign and patient):
            raise InputError(
                "--patient", "names no patient", found=pair, expected="SECTION=PATIENT"
            )
        patients[section] = patient
    return patients


def _show(table: DataFrame, task: Task) -> None:
    """Print the means over folds, the least error first."""
    from rich.console import Console
    from rich.table import Table

    from c2lst.benchmark import summarise
    from c2lst.benchmark.methods import TITLES
    from c2lst.report.wording import method_name, number, percent, span

    shown = Table(
        title=f"{len(task.folds)} folds, {len(set(table['section']))} test sections "
        "(log1p of counts per 10,000)",
        box=None,
    )
    shown.add_column("method", overflow="fold")
    for name in ("MAE", "95 %", "Pearson", "95 %", "skill"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in summarise(table).sort_values("mae", kind="stable").to_dict("records"):
        shown.add_row(
            TITLES.get(row["method"]) or method_name(str(row["method"])).label,
            number(row["mae"]),
            span(row["mae_low"], row["mae_high"]),
            number(row["pearson"]),
            span(row["pearson_low"], row["pearson_high"]),
            percent(row["skill"], 1),
        )
    console = Console()
    console.print(shown)
    if task.caution:
        console.print(task.caution, markup=False, highlight=False)
