"""Commands of the central model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell


def pretrain(
    collection: Annotated[Path, typer.Argument(help="Folder of H&E patches.")],
    output: opt.Output,
    preset: opt.Preset = "small",
    config: opt.Config = None,
    seed: opt.Seed = None,
    patch_um: Annotated[float, typer.Option(help="Side of the patches in µm.")] = 112.0,
    mpp: Annotated[
        float | None,
        typer.Option(help="µm per px of the images; without it each is taken whole as a patch."),
    ] = None,
) -> None:
    """Train a central model on unlabelled H&E patches."""
    from c2lst.central import CentralModel
    from c2lst.data.collections import PatchCollection
    from c2lst.data.colour import TissueColour
    from c2lst.data.stain import StainReference
    from c2lst.settings import load_settings

    settings = load_settings(preset, config, {"seed": seed}).central
    patches = PatchCollection.from_folder(
        collection, size=settings.shape.size, patch_um=patch_um, mpp=mpp
    )
    patches = patches.recoloured(TissueColour.typical(patches.some()))
    model = CentralModel.pretrain(
        patches,
        settings,
        patch_um=patch_um,
        stain=StainReference.fit(patches.some()),
        directory=opt.scratch(output),
    )
    model.save(output)
    opt.clear_scratch(output)
    tell(f"central model {model.hash[:12]} → {output}")
