"""The command that compares ratios, controls and baselines over sections, fractions and seeds."""

from __future__ import annotations

import shlex
import sys
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from c2lst.cli import options as opt
from c2lst.cli.network_options import Baselines, Encoder, chosen, network_settings
from c2lst.cli.terminal import tell
from c2lst.errors import InputError
from c2lst.progress import logger

if TYPE_CHECKING:
    from c2lst.settings import RunSettings

_OF_A_RUN = {
    "seed": "--seeds",
    "fraction": "--fractions",
    "scheme": "--schemes",
    "baselines": "--baselines",
    "advise": "--advised",
    "pitch_um": "",
    "synthesis.per_spot": "--ratios",
    "prediction.synthetic_ratio": "--ratios",
}
"""Settings of a run to the option of a study that stands for them."""


class SpacedLists(TyperCommand):
    """A command whose list options take several values at once: ``--ratios 0 1 10``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Give every further value of a list option its name: ``--ratios 0 --ratios 1 …``."""
        lists = {name for p in self.params if getattr(p, "multiple", False) for name in p.opts}
        spread: list[str] = []
        current = ""
        for word in args:
            if word.startswith("-"):
                current = word if word in lists else ""
            elif current and spread[-1] != current:
                spread.append(current)
            spread.append(word)
        return super().parse_args(ctx, spread)


def study(
    sections: Annotated[
        list[str],
        typer.Argument(metavar="SECTION", help="Slides, or FOLDER/SECTION; before the options."),
    ],
    output: opt.Output,
    fractions: Annotated[
        list[float] | None, typer.Option(help="Shares of spots that are sequenced.")
    ] = None,
    ratios: Annotated[
        list[int] | None, typer.Option(help="Synthetic pairs per real one; 0 is always there.")
    ] = None,
    schemes: Annotated[
        list[str] | None, typer.Option(help="How spots are chosen: random, buffered, blocks.")
    ] = None,
    controls: Annotated[
        list[str] | None,
        typer.Option(
            help="all, none, or of: same-epochs, duplicated, augmented, mixup, shuffled, "
            "unconditional, synthetic-only."
        ),
    ] = None,
    networks: Annotated[
        list[str] | None,
        typer.Option(
            help="none, or networks to train in every arm: resnet-tiny, resnet-10, resnet-18, "
            "resnet-50, densenet-121, frozen; that of the preset by default."
        ),
    ] = None,
    encoder: Encoder = None,
    baselines: Baselines = None,
    advised: Annotated[
        bool, typer.Option("--advised", help="Also what c2lst run uses, advised on each split.")
    ] = False,
    generator: Annotated[
        bool, typer.Option("--generator", help="Also judge the generator of each split.")
    ] = False,
    seeds: Annotated[int | None, typer.Option(help="Number of splits of each kind.")] = None,
    union: Annotated[
        bool | None,
        typer.Option(
            "--union/--share", help="Batches mixed by the ratio, as in the paper, or by the preset."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes, of one thread each.")] = 1,
    central: opt.GivenCentral = None,
    preset: opt.Preset = "tiny",
    config: opt.Config = None,
) -> None:
    """Find out whether synthetic pairs help: ratios, controls and baselines, at equal steps.

    By default 48 cells a section are run. An interrupted study goes on where it stopped; a study
    grows when more sections, fractions, ratios, controls, networks or seeds are asked for in its
    folder, and c2lst report STUDY draws what is done so far.
    """
    from c2lst.settings import load_settings
    from c2lst.study import StudySettings, run_study

    settings = load_settings(preset, config, {"prediction": network_settings(None, encoder)})
    _tell_unread(settings, load_settings(preset))
    grid = StudySettings.of_preset(
        preset,
        fractions=_given(fractions),
        ratios=_given(ratios),
        schemes=_given(schemes),
        controls=_controls(controls),
        networks=chosen(networks, "--networks"),
        baselines=chosen(baselines, "--baselines"),
        advised=advised,
        generator=generator,
        seeds=seeds,
        union=union,
    )
    outcome = run_study(
        sections,
        output,
        settings,
        grid,
        central=central,
        jobs=jobs,
        command=shlex.join(["c2lst", *sys.argv[1:]]),
    )
    done = outcome.cells - len(outcome.failed)
    if done:
        tell(f"study: {output / 'study.html'}")
    if outcome.failed:
        cell, message = next(iter(outcome.failed.items()))
        tell(f"{len(outcome.failed)} of {outcome.cells} cells failed, such as {cell}: {message}")
        tell("the same command tries them again")
        raise typer.Exit(1)


def _tell_unread(settings: RunSettings, plain: RunSettings) -> None:
    """Warn of settings that a run reads and a study does not, where they are not the preset's.

    One file may well serve both.
    """
    for name, instead in _OF_A_RUN.items():
        asked, usual = (attrgetter(name)(one) for one in (settings, plain))
        if asked != usual:
            hint = f"; it has {instead}" if instead else ""
            logger.warning("a study does not read the setting %s%s", name, hint)


def _given(values: list[Any] | None) -> tuple[Any, ...] | None:
    return tuple(values) if values else None


def _controls(names: list[str] | None) -> tuple[str, ...] | None:
    """Read names of controls, of which ``all`` and ``none`` stand alone."""
    from c2lst.study.grid import CONTROLS

    if not names:
        return None
    if names in (["all"], ["none"]):
        return tuple(CONTROLS) if names == ["all"] else ()
    for name in names:
        if name in ("all", "none"):
            raise InputError("study", f"--controls {name} stands alone", found=" ".join(names))
    return tuple(names)
