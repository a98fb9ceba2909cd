"""Command of synthesis: image-gene pairs from an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell


def synthesize(
    adapter: Annotated[Path, typer.Argument(help="Folder of the adapter.")],
    section: Annotated[Path, typer.Option(help="Folder of the section.")],
    central: opt.Central,
    split_file: opt.SplitFile,
    output: opt.Output,
    per_spot: Annotated[int | None, typer.Option(help="Images per training spot.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance scale.")] = None,
    sampler: Annotated[
        Literal["paper", "faithful", "fast"] | None, typer.Option(help="Solver and its steps.")
    ] = None,
    policy: Annotated[
        Literal["real", "mixup"] | None, typer.Option(help="Profiles to draw from.")
    ] = None,
    preset: opt.Preset = "small",
    config: opt.Config = None,
    seed: opt.Seed = None,
) -> None:
    """Draw synthetic image-gene pairs from the training spots' profiles."""
    from c2lst.central import CentralModel
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.local import LocalModel
    from c2lst.settings import load_settings

    given = {"per_spot": per_spot, "guidance": guidance, "sampler": sampler, "policy": policy}
    changes = {"seed": seed, "synthesis": {k: v for k, v in given.items() if v is not None}}
    settings = load_settings(preset, config, changes).synthesis
    slide = Section.load(section)
    local = LocalModel.load(adapter, CentralModel.load(central))
    pairs = local.synthesize(
        slide, SpotSplit.load(split_file), settings, directory=opt.scratch(output)
    )
    pairs.save(output, slide.name)
    opt.clear_scratch(output)
    tell(f"{len(pairs)} synthetic pairs → {output}")
