"""The commands. Each is a few lines: heavy imports wait until a command needs them."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from c2lst.cli import options as opt
from c2lst.progress import console, logger

app = typer.Typer(
    name="c2lst",
    help="A whole-slide expression map from a few sequenced spots.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def _set_up(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Warnings only.")] = False,
) -> None:
    from rich.logging import RichHandler

    handler = RichHandler(
        console=console(), show_time=False, show_path=False, show_level=False, markup=False
    )
    logger.handlers = [handler]
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logger.propagate = False


@app.command()
def run(
    slide: Annotated[Path, typer.Argument(help="Folder of the slide, or FOLDER/SECTION.")],
    output: opt.Output,
    section: opt.SectionName = None,
    central: Annotated[Path | None, typer.Option(help="Central model to use.")] = None,
    collection: Annotated[
        Path | None, typer.Option(help="Folder of H&E patches to pretrain a central model on.")
    ] = None,
    fraction: opt.Fraction = None,
    scheme: opt.Scheme | None = None,
    preset: opt.Preset = "tiny",
    config: opt.Config = None,
    genes: opt.GeneList = None,
    seed: opt.Seed = None,
    mpp: opt.Mpp = None,
) -> None:
    """Carry one slide all the way: from its files to a map and a report."""
    from c2lst import workflow
    from c2lst.cli.tables import show_metrics, show_stages
    from c2lst.settings import load_settings

    options = {"fraction": fraction, "scheme": scheme, "seed": seed}
    path = workflow.run(
        slide,
        output,
        load_settings(preset, config, options),
        section=section,
        central=central,
        collection=collection,
        genes=opt.read_genes(genes),
        mpp=mpp,
        command=shlex.join(["c2lst", *sys.argv[1:]]),
    )
    show_stages(path / "manifest.json")
    show_metrics(path / "metrics.csv")
    _tell(f"report: {path / 'report.html'}")


@app.command()
def simulate(
    output: opt.Output,
    name: Annotated[str, typer.Option(help="Name of the section.")] = "SIM",
    spots: Annotated[tuple[int, int], typer.Option(help="Columns and rows of the spot array.")] = (
        20,
        20,
    ),
    seed: Annotated[int, typer.Option(help="Another seed, another tissue.")] = 0,
    uninformative_image: Annotated[
        bool, typer.Option(help="Draw the image of another tissue: a control.")
    ] = False,
) -> None:
    """Make a section of simulated tissue whose truth is known."""
    from c2lst.data.simulate import simulate_tissue

    simulate_tissue(
        output, name=name, spots=spots, seed=seed, uninformative_image=uninformative_image
    )
    _tell(f"section: {output}")


@app.command()
def ingest(
    source: Annotated[Path, typer.Argument(help="Folder of the slide, or FOLDER/SECTION.")],
    output: opt.Output,
    section: opt.SectionName = None,
    size: Annotated[int, typer.Option(help="Side of the patches in px.")] = 64,
    patch_um: Annotated[float, typer.Option(help="Side of the patches in µm.")] = 112.0,
    mpp: opt.Mpp = None,
) -> None:
    """Read a slide and write it as a section (HEST layout)."""
    from c2lst.data.readers import read

    found = read(source, section=section, patch_um=patch_um, size=size, mpp=mpp)
    found.save(output)
    _tell(
        f"section {found.name}: {len(found)} spots, {len(found.genes)} genes, "
        f"{found.mpp:.3f} µm/px → {output}"
    )


@app.command()
def split(
    section: opt.SectionFolder,
    output: opt.Output,
    fraction: opt.Fraction = 0.25,
    scheme: opt.Scheme = "random",
    seed: Annotated[int, typer.Option(help="Another seed, another choice.")] = 0,
    val_fraction: Annotated[
        float, typer.Option(help="Share of the sampled spots kept for validation.")
    ] = 0.0,
) -> None:
    """Choose which spots count as sequenced."""
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit

    drawn = SpotSplit.draw(
        Section.load(section),
        fraction=0.25 if fraction is None else fraction,
        scheme=scheme,
        seed=seed,
        val_fraction=val_fraction,
    )
    drawn.save(output)
    _tell(f"{drawn.summary()} → {output}")


@app.command()
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
    _tell(f"central model {model.hash[:12]} → {output}")


@app.command()
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
    _tell(f"adapter ({local.provenance['parameters']:,} weights) → {output}")


@app.command()
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
    _tell(f"{len(pairs)} synthetic pairs → {output}")


@app.command()
def train(
    section: opt.SectionFolder,
    central: opt.Central,
    split_file: opt.SplitFile,
    output: opt.Output,
    synthetic: Annotated[
        Path | None, typer.Option(help="Synthetic pairs; without them, real spots only.")
    ] = None,
    preset: opt.Preset = "small",
    config: opt.Config = None,
    seed: opt.Seed = None,
    genes: opt.GeneList = None,
) -> None:
    """Train the predictor on real and synthetic pairs."""
    from c2lst.central import CentralModel
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.synthetic import SyntheticPairs
    from c2lst.prediction.predictor import ExpressionPredictor
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
    predictor = ExpressionPredictor.fit(
        slide,
        spots,
        preprocessing,
        synthetic=None if synthetic is None else SyntheticPairs.load(synthetic),
        features={"central": base.encode(preprocessing.images(slide))},
        settings=settings.prediction,
        directory=opt.scratch(output),
    )
    predictor.save(output)
    opt.clear_scratch(output)
    _tell(f"predictor → {output}")


@app.command()
def predict(
    predictor: Annotated[Path, typer.Argument(help="Folder of the predictor.")],
    section: Annotated[Path, typer.Option(help="Folder of the section.")],
    central: opt.Central,
    split_file: opt.SplitFile,
    output: opt.Output,
) -> None:
    """Predict every spot of a section (AnnData)."""
    from c2lst.central import CentralModel
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.prediction.predictor import ExpressionPredictor, baseline_layers
    from c2lst.storage import whole_file

    model, slide, spots = (
        ExpressionPredictor.load(predictor),
        Section.load(section),
        SpotSplit.load(split_file),
    )
    preprocessing = model.preprocessing
    features = {"central": CentralModel.load(central).encode(preprocessing.images(slide))}
    predictions = model.predict(slide, features=features).to_anndata(
        slide, preprocessing, spots, methods=baseline_layers(slide, spots, preprocessing)
    )
    with whole_file(output) as partial:
        predictions.write_h5ad(partial)
    _tell(f"{predictions.n_obs} spots, {predictions.n_vars} genes → {output}")


@app.command()
def evaluate(
    predictions: Annotated[Path, typer.Argument(help="predictions.h5ad")],
    output: opt.Output,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
) -> None:
    """Compare predictions with the spots that were not sequenced, beside the baselines."""
    from c2lst.cli.tables import show_metrics
    from c2lst.workflow.stages import write_evaluation

    write_evaluation(predictions, output, seed=seed)
    show_metrics(output / "metrics.csv")


@app.command()
def report(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="report.html in the run by default.")
    ] = None,
) -> None:
    """Draw the report of a run."""
    from c2lst.report import write_report

    _tell(f"report: {write_report(run_folder, output)}")


@app.command()
def doctor() -> None:
    """Say what is installed, which device will be used, what is missing for what."""
    from c2lst.cli.doctor import show

    show()


def _tell(message: str) -> None:
    console().print(message, markup=False, highlight=False, soft_wrap=True)
