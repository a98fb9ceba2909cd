"""The whole job, its report, and what the machine can do."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from c2lst.cli import options as opt
from c2lst.cli.network_options import Baselines, Encoder, Network, chosen, network_settings
from c2lst.cli.terminal import tell


def run(
    slide: Annotated[Path, typer.Argument(help="Folder of the slide, or FOLDER/SECTION.")],
    output: opt.Output,
    section: opt.SectionName = None,
    format: opt.Format = "auto",
    image: opt.Image = None,
    central: opt.GivenCentral = None,
    collection: Annotated[
        str | None, typer.Option(help="Collection of H&E patches to pretrain a central model on.")
    ] = None,
    fraction: opt.Fraction = None,
    scheme: opt.Scheme | None = None,
    pitch: Annotated[
        str | None,
        typer.Option(
            help="Also predict the tissue between the spots, on a lattice such as 50um; with "
            "--scheme all that is done at half the pitch of the array."
        ),
    ] = None,
    advise: Annotated[
        Literal["quick", "full"] | None,
        typer.Option(help="How the predictor is chosen; full: also tries ratios of synthetic."),
    ] = None,
    network: Network = None,
    encoder: Encoder = None,
    baselines: Baselines = None,
    preset: opt.Preset = "tiny",
    config: opt.Config = None,
    genes: opt.GeneList = None,
    seed: opt.Seed = None,
    mpp: opt.Mpp = None,
) -> None:
    """Carry one slide all the way: from its files to a map and a report.

    To judge the prediction, some of the spots are held out. Where every spot is needed,
    --scheme all learns from all of them, and predicts each without itself to judge by.
    """
    from c2lst import workflow
    from c2lst.cli.scores import show_advice, show_scores
    from c2lst.cli.tables import show_stages
    from c2lst.data.grid import parse_um
    from c2lst.settings import load_settings

    options: dict[str, Any] = {
        "fraction": fraction,
        "scheme": scheme,
        "seed": seed,
        "advise": advise,
        "baselines": chosen(baselines, "--baselines"),
        "prediction": network_settings(network, encoder),
    }
    options["pitch_um"] = None if pitch is None else parse_um(pitch)
    settings = load_settings(preset, config, options)
    opt.refuse_share_of_all(fraction, settings.scheme)
    path = workflow.run(
        slide,
        output,
        settings,
        section=section,
        format=format,
        image=image,
        central=central,
        collection=collection,
        genes=opt.read_genes(genes),
        mpp=mpp,
        command=shlex.join(["c2lst", *sys.argv[1:]]),
    )
    show_stages(path / "manifest.json")
    show_scores(path)
    show_advice(path)
    tell(f"report: {path / 'report.html'}")


def report(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, or of a study.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="report.html or study.html in the folder by default."),
    ] = None,
) -> None:
    """Draw the report of a run, or of a study, finished or not."""
    from c2lst.report import write_report
    from c2lst.study.page import is_study, write_study_page

    write = write_study_page if is_study(folder) else write_report
    tell(f"report: {write(folder, output)}")


def doctor() -> None:
    """Say what is installed, which device will be used, what is missing for what."""
    from c2lst.cli.doctor import show

    show()
