"""The command line as a whole: which commands there are, in the order of the work."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from c2lst import __version__
from c2lst.cli import (
    adaptation,
    benchmark,
    central,
    collections,
    explore,
    export,
    fetch,
    generator,
    plan,
    prediction,
    run,
    section,
    study,
    superres,
    sweep,
    synthesis,
)
from c2lst.progress import console, logger

app = typer.Typer(
    name="c2lst",
    help="A whole-slide expression map from a few sequenced spots.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

# Each command is a few lines in the module of its subject; heavy imports wait until it needs them.
for command in (
    run.run,
    fetch.fetch,
    section.simulate,
    section.ingest,
    section.split,
    plan.plan,
    collections.collect,
    central.pretrain,
    central.sample,
    central.publish,
    adaptation.adapt,
    synthesis.synthesize,
    sweep.sweep,
    sweep.drop_genes,
    explore.explore,
    prediction.train,
    prediction.predict,
    prediction.evaluate,
    generator.evaluate_generator,
    study.study,
    benchmark.benchmark,
    export.export,
    run.report,
    run.doctor,
):
    spaced = command in (run.run, study.study)
    app.command(cls=study.SpacedLists if spaced else None)(command)


app.add_typer(superres.app)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"c2lst {__version__}")
        raise typer.Exit()


@app.callback()
def _set_up(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings only.")] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Say the version and exit.", callback=_say_version, is_eager=True
        ),
    ] = False,
) -> None:
    from rich.logging import RichHandler

    handler = RichHandler(
        console=console(), show_time=False, show_path=False, show_level=False, markup=False
    )
    logger.handlers = [handler]
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False
