"""Command of synthesis: image-gene pairs from an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell
from c2lst.errors import InputError
from c2lst.progress import logger


def synthesize(
    adapter: opt.Adapter,
    output: opt.Output,
    per_spot: Annotated[
        int | None, typer.Option(help="Images per training spot, or per row of --profiles.")
    ] = None,
    profiles: Annotated[
        Path | None, typer.Option(help="Counts to draw for instead: .h5ad, .csv, .tsv.")
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Even with few genes of the panel.")
    ] = False,
    policy: Annotated[
        Literal["real", "jitter", "mixup"] | None,
        typer.Option(help="Profiles of the spots, resequenced ones, or ones between spots."),
    ] = None,
    mixup_by: Annotated[
        Literal["expression", "space"] | None,
        typer.Option(help="Which spots mixup takes as close."),
    ] = None,
    sampler: opt.Sampler = None,
    guidance: opt.Guidance = None,
    guidance_interval: Annotated[
        tuple[float, float] | None,
        typer.Option(metavar="LO HI", help="Noise levels σ/α to guide at; all by default."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images at a time.")] = None,
    section: opt.NotedSection = None,
    split_file: opt.NotedSplit = None,
    central: opt.NotedCentral = None,
    preset: opt.Preset = "small",
    config: opt.Config = None,
    seed: opt.Seed = None,
) -> None:
    """Draw synthetic image-gene pairs from the training spots' profiles, or from those of a file.

    On several GPUs: accelerate launch -m c2lst synthesize … with the same options.
    """
    from c2lst.diffusion.processes import Processes
    from c2lst.local.profile_file import ProfileFile
    from c2lst.local.sources import Sources, open_adapter, open_spots
    from c2lst.settings import load_settings

    given: dict[str, Any] = {
        "per_spot": per_spot,
        "policy": policy,
        "mixup_by": mixup_by,
        "sampler": sampler,
        "guidance": guidance,
        "guidance_interval": guidance_interval,
        "batch_size": batch_size,
    }
    changes = {"seed": seed, "synthesis": {k: v for k, v in given.items() if v is not None}}
    # Presets say how many images a training spot gets; a row of profiles gets one.
    defaults = {"synthesis": {"per_spot": 1}} if profiles else {}
    settings = load_settings(preset, config, changes, defaults).synthesis
    if profiles is not None and (policy or mixup_by):
        raise InputError(
            "command line", "--policy is of training spots", remedy="leave it out with --profiles"
        )
    if mixup_by and settings.policy != "mixup":
        raise InputError(
            "--mixup-by", "is of the policy mixup", found=f"policy {settings.policy}",
            remedy="give --policy mixup, too, or leave it out",
        )  # fmt: skip
    if allow_missing and profiles is None:
        raise InputError("--allow-missing", "is of --profiles", remedy="leave it out")
    local = open_adapter(adapter, central)
    name = local.provenance["section"]
    _refuse_complete(output, name)
    how: dict[str, Any] = {"directory": opt.scratch(output), "processes": Processes()}
    if profiles is None:
        pairs = local.synthesize(*open_spots(adapter, local, section, split_file), settings, **how)
    else:
        counts = ProfileFile.read(profiles)
        if section or split_file or Sources.load(adapter) != Sources():
            counts.check(*open_spots(adapter, local, section, split_file), local.preprocessing)
        else:
            logger.warning("without --section and --split, no spot outside training is refused")
        own = counts.profiles(
            local.preprocessing, per_row=settings.per_spot, allow_missing=allow_missing
        )
        pairs = local.synthesize_profiles(own, settings, **how)
    if how["processes"].is_main:
        pairs.save(output, name)
        opt.clear_scratch(output)
        tell(f"{len(pairs)} synthetic pairs → {output}")


def _refuse_complete(output: Path, name: str) -> None:
    """Find out before hours of work, rather than after, that its result cannot be written."""
    made = output / "metadata" / f"{name}_synthetic.json"
    if made.is_file():
        raise InputError(
            output, f"holds synthetic pairs of {name} already", remedy="choose another --output"
        )
    ours = made.parent.is_dir() or (output.is_dir() and not any(output.iterdir()))
    if output.exists() and not ours:
        raise InputError(
            output,
            "holds something else",
            expected="a new or empty folder",
            remedy="choose another --output",
        )
