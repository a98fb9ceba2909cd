"""Commands of prediction: train, predict, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from c2lst.cli import options as opt
from c2lst.cli.network_options import Encoder, Network, network_settings
from c2lst.cli.terminal import tell
from c2lst.errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

    from c2lst.central import CentralModel
    from c2lst.data.section import Section
    from c2lst.prediction.predictor import ExpressionPredictor


def train(
    section: opt.SectionFolder,
    central: opt.Central,
    split_file: opt.SplitFile,
    output: opt.Output,
    synthetic: Annotated[
        Path | None, typer.Option(help="Synthetic pairs; without them, real spots only.")
    ] = None,
    network: Network = None,
    encoder: Encoder = None,
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
    from c2lst.prediction.encoders import check_network, encoder_of
    from c2lst.prediction.options import NETWORKLESS
    from c2lst.prediction.predictor import ExpressionPredictor
    from c2lst.prediction.saving import PREDICTOR_FILES
    from c2lst.settings import load_settings
    from c2lst.storage import refuse_foreign

    options = {"seed": seed, "prediction": network_settings(network, encoder)}
    settings = load_settings(preset, config, options)
    check_network(settings.prediction)
    if synthetic is not None and settings.prediction.network == NETWORKLESS:
        raise InputError(
            "--synthetic", "is what networks learn from, and none is trained",
            found=f"network {NETWORKLESS}", remedy="leave it out, or choose a --network",
        )  # fmt: skip
    refuse_foreign(output, PREDICTOR_FILES)
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
        features=base.encode_views(preprocessing.images(slide)),
        features_by=base.hash,
        encoder=encoder_of(settings.prediction, central),
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
    output: opt.Output,
    split_file: Annotated[
        Path | None,
        typer.Option(
            "--split",
            help="Split, as JSON: of the slide of the training, the one it was trained with. "
            "Without it no spot counts as sequenced.",
        ),
    ] = None,
    pitch: Annotated[
        str | None,
        typer.Option(help="Predict the whole tissue instead, on a lattice such as 50um."),
    ] = None,
) -> None:
    """Predict every spot of a section, or its whole tissue at any pitch (AnnData)."""
    from c2lst.central import CentralModel
    from c2lst.data.section import Section
    from c2lst.prediction.predictor import ExpressionPredictor
    from c2lst.storage import refuse_folder, whole_file

    if pitch is not None and split_file is not None:
        raise InputError(
            "--split", "is of the spots, and --pitch predicts the tissue between them",
            remedy="leave one of them out",
        )  # fmt: skip
    refuse_folder(output)
    base, slide = CentralModel.load(central), Section.load(section)
    model = ExpressionPredictor.load(predictor, central=base)
    model.check_features_by(base.hash)
    if pitch is None:
        predictions = _at_spots(model, slide, base, split_file)
    else:
        predictions = _between_spots(model, slide, base, pitch)
    with whole_file(output) as partial:
        predictions.write_h5ad(partial)
    what = "spots" if pitch is None else "places"
    tell(f"{predictions.n_obs:,} {what}, {predictions.n_vars:,} genes → {output}")


def _at_spots(
    model: ExpressionPredictor, slide: Section, base: CentralModel, split_file: Path | None
) -> AnnData:
    """Predict the spots of a section; beside the baselines, where some of them are sequenced."""
    from c2lst.data.split import SpotSplit
    from c2lst.evaluation.encoders import get_encoder
    from c2lst.prediction.layers import baseline_layers

    home = model.knows(slide)
    if home and split_file is None:
        # Without it every spot would pass for one that nothing was learnt from.
        raise InputError(
            "--split", "is missing, and the predictor was fitted to spots of this section",
            expected="the split that it was trained with", remedy="give it",
        )  # fmt: skip
    spots = None if split_file is None else SpotSplit.load(split_file)
    if home and spots is not None:
        model.preprocessing.check_fitted_to(slide, spots)
    own = model.preprocessing if home else model.preprocessing.for_section(slide)
    images = own.images(slide)
    prediction = model.predict(slide, features=base.encode_views(images))
    if spots is None:
        return prediction.to_anndata(slide, model.preprocessing)
    frozen = get_encoder().encode(images)
    baselines = baseline_layers(slide, spots, model.preprocessing, frozen)
    return prediction.to_anndata(slide, model.preprocessing, spots, methods=baselines)


def _between_spots(
    model: ExpressionPredictor, slide: Section, base: CentralModel, pitch: str
) -> AnnData:
    """Predict the whole tissue of the slide of the fit."""
    from c2lst.data.grid import parse_um
    from c2lst.prediction.grid import predict_grid

    return predict_grid(model, slide, parse_um(pitch), base.encode_views)


def evaluate(
    predictions: Annotated[Path, typer.Argument(help="predictions.h5ad")],
    output: opt.Output,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the bootstrap.")] = 0,
) -> None:
    """Compare predictions with the spots that were not sequenced, beside the baselines."""
    from c2lst.cli.scores import show_scores
    from c2lst.evaluation.expression import write_evaluation

    write_evaluation(predictions, output, seed=seed)
    show_scores(output)
