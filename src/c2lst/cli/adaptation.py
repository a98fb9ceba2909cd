"""Command of the adapter: teach a central model to listen to genes."""

from __future__ import annotations

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell


def adapt(
    section: opt.SectionFolder,
    central: opt.Central,
    split_file: opt.SplitFile,
    output: opt.Output,
    preset: opt.Preset = "small",
    config: opt.Config = None,
    seed: opt.Seed = None,
    genes: opt.GeneList = None,
) -> None:
    """Teach a central model to listen to the genes of the training spots."""
    from c2lst.central import CentralModel
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.local import LocalModel
    from c2lst.settings import load_settings

    settings = load_settings(preset, config, {"seed": seed})
    base, slide, spots = (
        CentralModel.load(central),
        Section.load(section),
        SpotSplit.load(split_file),
    )
    preprocessing = Preprocessing.fit(
        slide, spots, n_genes=settings.genes, genes=opt.read_genes(genes), stain=base.stain
    )
    local = LocalModel.adapt(
        base, slide, spots, preprocessing, settings.adapter, directory=opt.scratch(output)
    )
    local.save(output)
    opt.clear_scratch(output)
    tell(f"adapter ({local.provenance['parameters']:,} weights) → {output}")
