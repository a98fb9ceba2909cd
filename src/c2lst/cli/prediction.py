"""Commands of prediction: train, predict, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from c2lst.cli import options as opt
from c2lst.cli.terminal import tell


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
    tell(f"predictor → {output}")


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
    from c2lst.evaluation.encoders import get_encoder
    from c2lst.prediction.predictor import ExpressionPredictor, baseline_layers
    from c2lst.storage import whole_file

    model, slide, spots = (
        ExpressionPredictor.load(predictor),
        Section.load(section),
        SpotSplit.load(split_file),
    )
    preprocessing = model.preprocessing
    images = preprocessing.images(slide)
    features = {"central": CentralModel.load(central).encode(images)}
    baselines = baseline_layers(slide, spots, preprocessing, get_encoder().encode(images))
    predictions = model.predict(slide, features=features).to_anndata(
        slide, preprocessing, spots, methods=baselines
    )
    with whole_file(output) as partial:
        predictions.write_h5ad(partial)
    tell(f"{predictions.n_obs} spots, {predictions.n_vars} genes → {output}")


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="predictions.h5ad")],
    output: opt.Output,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
) -> None:
    """Compare predictions with the spots that were not sequenced, beside the baselines."""
    from c2lst.cli.scores import show_scores
    from c2lst.evaluation.expression import write_evaluation

    write_evaluation(predictions, output, seed=seed)
    show_scores(output)
