"""Command of the adapter: teach a central model to listen to genes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell
from c2lst.errors import InputError


def adapt(
    section: opt.SectionFolder,
    central: opt.Central,
    split_file: opt.SplitFile,
    output: opt.Output,
    steps: Annotated[int | None, typer.Option(help="Most optimiser updates.")] = None,
    method: Annotated[
        Literal["film", "lora"] | None,
        typer.Option(help="Gene modulation alone, or low-rank updates of the weights, too."),
    ] = None,
    blocks: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help="Blocks that are modulated: 'all', 'up_blocks.*', …"),
    ] = None,
    embed: Annotated[int | None, typer.Option(min=1, help="Width of the gene embedding.")] = None,
    null: Annotated[
        Literal["learned", "base"] | None,
        typer.Option(help="What stands for no genes: a trained condition, or the central model."),
    ] = None,
    gene_dropout: Annotated[
        float | None, typer.Option(help="Mean share of genes hidden in training, in [0, 1).")
    ] = None,
    early_stop: Annotated[
        bool | None,
        typer.Option(
            "--early-stop/--no-early-stop", help="Stop when it harms held-out spots (default)."
        ),
    ] = None,
    epsilon: Annotated[
        float | None,
        typer.Option("--dp", metavar="EPSILON", help="Train with differential privacy of this ε."),
    ] = None,
    preset: opt.Preset = "small",
    config: opt.Config = None,
    seed: opt.Seed = None,
    genes: opt.GeneList = None,
) -> None:
    """Teach a central model to listen to the genes of the training spots.

    An adaptation that was interrupted continues when the same command is given again.
    """
    import time

    from c2lst.central import CentralModel
    from c2lst.cli.tables import show_adapter
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.diffusion.processes import Processes
    from c2lst.local import LocalModel
    from c2lst.local.artefact import ADAPTER_FILES
    from c2lst.local.sources import Sources
    from c2lst.settings import load_settings
    from c2lst.storage import refuse_foreign

    if early_stop and epsilon is not None:
        raise InputError(
            "--early-stop", "looks at spots beside the private gradient, which --dp leaves out",
            remedy="leave one of them out",
        )  # fmt: skip
    given: dict[str, Any] = {
        "method": method,
        "blocks": "*" if blocks == "all" else blocks,
        "width": embed,
        "null": null,
        "gene_dropout": gene_dropout,
        "early_stop": early_stop,
        "private": None if epsilon is None else {"epsilon": epsilon},
        "training": None if steps is None else {"steps": steps},
    }
    adapter = {name: value for name, value in given.items() if value is not None}
    settings = load_settings(preset, config, {"seed": seed, "adapter": adapter})
    if Processes().is_main:
        refuse_foreign(output, ADAPTER_FILES)
    base, slide, spots = (
        CentralModel.load(central),
        Section.load(section),
        SpotSplit.load(split_file),
    )
    base.warn_if_seen(slide)
    preprocessing = Preprocessing.fit(
        slide, spots, n_genes=settings.genes, genes=opt.read_genes(genes), stain=base.stain
    )
    started = time.perf_counter()
    local = LocalModel.adapt(
        base, slide, spots, preprocessing, settings.adapter, directory=opt.scratch(output)
    )
    seconds = time.perf_counter() - started
    if not Processes().is_main:
        return
    local.save(output, sources=Sources(section, split_file, central))
    opt.clear_scratch(output)
    show_adapter(local.provenance, len(preprocessing.panel.genes), seconds)
    tell(f"adapter ({local.provenance['parameters']:,} weights) → {output}")
