"""The stages of a run: each reads artefacts of the ones before it and writes its own.

Every stage takes its input from files, also in an uninterrupted run, so that a run that was killed
and started again works on exactly the values that it would have had.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from c2lst import __version__
from c2lst.central import CentralModel
from c2lst.data.collections import PatchCollection, open_collection
from c2lst.data.layout import HestPlace, section_names
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.readers import read
from c2lst.data.section import Section
from c2lst.data.split import SpotSplit
from c2lst.data.stain import StainNormaliser
from c2lst.data.synthetic import SyntheticPairs
from c2lst.evaluation.encoders import get_encoder
from c2lst.evaluation.expression import DEFAULT_METHOD, write_evaluation
from c2lst.evaluation.expression.names import COTRAINED, NETWORK, NETWORK_TWIN, TWIN
from c2lst.local import LocalModel
from c2lst.local.sources import Sources
from c2lst.prediction.advised import fit_advised
from c2lst.prediction.encoders import encoder_of
from c2lst.prediction.grid import predict_grid
from c2lst.prediction.layers import baseline_layers
from c2lst.prediction.predictor import ExpressionPredictor
from c2lst.progress import logger
from c2lst.report import write_report
from c2lst.settings import RunSettings
from c2lst.storage import whole_file
from c2lst.workflow.baselines import train_baselines, trained_baselines
from c2lst.workflow.rundir import RunDirectory


@dataclass(frozen=True)
class RunInputs:
    """What a run works on.

    Parameters
    ----------
    source
        The slide, in a layout that :func:`c2lst.data.readers.read` knows.
    section
        Which section, where the source holds several.
    central
        A central model to use.
    collection
        H&E patches to pretrain one on, where none is given.
    genes
        Genes of the panel, instead of those of highest mean.
    mpp
        µm per px of the slide image, instead of what the spot pitch says.
    format
        Format of the slide; recognised by default.
    image
        The full-resolution image, where it is not part of the slide.
    """

    source: Path
    section: str | None = None
    central: Path | None = None
    collection: Path | str | None = None
    genes: tuple[str, ...] | None = None
    mpp: float | None = None
    format: str = "auto"
    image: Path | None = None


_TWIN, _COTRAINED = "predictor_real_only", "predictor_cotrained"

Summary = dict[str, Any]
Stage = Callable[[RunDirectory, RunInputs, RunSettings], Summary]


def read_stage(run: RunDirectory, inputs: RunInputs, settings: RunSettings) -> Summary:
    """Read the slide and cut the patches of its spots."""
    size, patch_um = settings.central.shape.size, settings.patch_um
    if inputs.central is not None:
        model = CentralModel.load(inputs.central)
        size, patch_um = model.size, model.patch_um
    section = read(
        inputs.source,
        format=inputs.format,
        section=inputs.section,
        image=inputs.image,
        mpp=inputs.mpp,
        patch_um=patch_um,
        size=size,
        overlay=run.path("overlay.png"),
    )
    section.save(run.path("section"))
    _forget_others(run.path("section"), section.name)
    run.path("overlay.png").unlink(missing_ok=True)  # of an attempt that failed
    return {
        "section": section.name,
        "spots": len(section),
        "genes": len(section.genes),
        "mpp": section.mpp,
        "patch_px": size,
    }


def _forget_others(folder: Path, name: str) -> None:
    """Remove a section that a killed attempt left, of another slide.

    Saving refuses a folder with files that c2lst did not write, so that what is removed after it is
    c2lst's own; slides and contours stay, which a user may have put there.
    """
    for other in set(section_names(folder)) - {name}:
        place = HestPlace(folder, other)
        for path in (place.counts, place.patches, place.plot):
            path.unlink(missing_ok=True)


def split_stage(run: RunDirectory, inputs: RunInputs, settings: RunSettings) -> Summary:
    """Choose the spots that count as sequenced."""
    split = SpotSplit.draw(
        _section(run), fraction=settings.fraction, scheme=settings.scheme, seed=settings.seed
    )
    split.save(run.path("split.json"))
    return {name: len(getattr(split, name)) for name in ("train", "val", "test", "buffer")}


def fit_stage(run: RunDirectory, inputs: RunInputs, settings: RunSettings) -> Summary:
    """Fit gene panel, expression scale and stain to the training spots."""
    section, split = _section(run), _split(run)
    stain = None if inputs.central is None else CentralModel.load(inputs.central).stain
    preprocessing = Preprocessing.fit(
        section, split, n_genes=settings.genes, genes=inputs.genes, stain=stain
    )
    preprocessing.save(run.path("preprocessing.json"))
    return {"genes": len(preprocessing.panel.genes), "stain": "central model" if stain else "slide"}


def central_stage(run: RunDirectory, inputs: RunInputs, settings: RunSettings) -> Summary:
    """Load the central model, or pretrain one."""
    if inputs.central is not None:
        model, origin = _given(run, inputs.central, settings)
    else:
        model, origin = _pretrain(run, inputs, settings)
        run.note(f"Central model: {origin}.")
    model.save(run.path("central"))
    return {"origin": origin, "hash": model.hash, "size": model.size}


def _given(run: RunDirectory, where: Path, settings: RunSettings) -> tuple[CentralModel, str]:
    """Load a central model; let it go on with the slide's own tissue where that is asked for."""
    model, origin = CentralModel.load(where), f"loaded from {where.name}"
    model.warn_if_seen(_section(run))
    if not settings.slide_steps:
        return model, origin
    tissue = _slide_tissue(run, settings)
    training = dataclasses.replace(settings.central.training, steps=settings.slide_steps)
    model = CentralModel.pretrain(
        tissue,
        dataclasses.replace(settings.central, training=training),
        patch_um=model.patch_um,
        stain=model.stain,
        directory=run.scratch("central"),
        start=model,
    )
    return model, (
        f"{origin}, then {settings.slide_steps} updates on {len(tissue)} patches of this slide's "
        "own tissue outside the test spots, without their genes"
    )


def _pretrain(
    run: RunDirectory, inputs: RunInputs, settings: RunSettings
) -> tuple[CentralModel, str]:
    preprocessing = _preprocessing(run)
    sources, told = [], []
    if inputs.collection is not None:
        sources.append(_collection(run, inputs.collection, settings))
        told.append(f"{len(sources[-1])} patches of {Path(inputs.collection).name}")
    if inputs.collection is None or settings.slide_tissue:
        sources.append(_slide_tissue(run, settings))
        told.append(
            f"{len(sources[-1])} patches of this slide's own tissue outside the test spots, "
            "without their genes"
        )
    model = CentralModel.pretrain(
        PatchCollection.join(sources),
        settings.central,
        patch_um=settings.patch_um,
        stain=preprocessing.stain,
        directory=run.scratch("central"),
    )
    origin = "pretrained on " + " and ".join(told)
    if inputs.collection is None:
        origin += ": no central model or collection was given"
    return model, origin


def _collection(run: RunDirectory, where: Path | str, settings: RunSettings) -> PatchCollection:
    """Open a collection in the colour of the slide's training spots."""
    size, patch_um = settings.central.shape.size, settings.patch_um
    patches = open_collection(where, size=size, patch_um=patch_um)
    # Where a collection's µm/px are not known, its patches are taken to be as wide as the spots'.
    scaled = dataclasses.replace(patches, patch_um=patch_um)
    return scaled.recoloured(_preprocessing(run).stain)


def _slide_tissue(run: RunDirectory, settings: RunSettings) -> PatchCollection:
    """Cut the slide's unlabelled tissue; little is left between test spots, so cuts overlap."""
    preprocessing = _preprocessing(run)
    patches = PatchCollection.from_section_tissue(
        _section(run),
        _split(run),
        size=preprocessing.size,
        patch_um=preprocessing.patch_um,
        stride_um=preprocessing.patch_um / 4,
    )
    return patches.normalised(StainNormaliser(preprocessing.source_stain, preprocessing.stain))


def adapt_stage(run: RunDirectory, inputs: RunInputs, settings: RunSettings) -> Summary:
    """Teach the central model to listen to the genes of the training spots."""
    local = LocalModel.adapt(
        CentralModel.load(run.path("central")),
        _section(run),
        _split(run),
        _preprocessing(run),
        settings.adapter,
        directory=run.scratch("adapt"),
    )
    local.save(
        run.path("adapter"),
        sources=Sources(run.path("section"), run.path("split.json"), run.path("central")),
    )
    return {
        "parameters": local.provenance["parameters"],
        "final_loss": local.provenance["final_loss"],
    }


def synthesize_stage(run: RunDirectory, inputs: RunInputs, settings: RunSettings) -> Summary:
    """Draw synthetic pairs from the profiles of the training spots."""
    section = _section(run)
    local = LocalModel.load(run.path("adapter"), CentralModel.load(run.path("central")))
    pairs = local.synthesize(
        section, _split(run), settings.synthesis, directory=run.scratch("synthesize")
    )
    pairs.save(run.path("synthetic"), section.name)
    return {"pairs": len(pairs), "guidance_scale": pairs.guidance_scale, "sampler": pairs.sampler}


def train_stage(run: RunDirectory, inputs: RunInputs, settings: RunSettings) -> Summary:
    """Train predictors with and without synthetic pairs, and choose inside the training spots."""
    section, preprocessing = _section(run), _preprocessing(run)
    images, scratch = preprocessing.images(section), run.scratch("train")
    central = CentralModel.load(run.path("central"))
    found = fit_advised(
        section,
        _split(run),
        preprocessing,
        synthetic=SyntheticPairs.load(run.path("synthetic")),
        features=central.encode_views(images),
        features_by=central.hash,
        frozen=get_encoder().encode(images),
        encoder=encoder_of(settings.prediction, run.path("central"), kept=scratch / "features"),
        settings=settings.prediction,
        directory=scratch,
        full=settings.advise == "full",
    )
    found.chosen.save(run.path("predictor"))
    summary: Summary = {"predictor": found.chosen.summary}
    for name, candidate in ((_TWIN, TWIN), (_COTRAINED, COTRAINED)):
        if candidate in found.candidates and (name == _TWIN or candidate != found.advice.chosen):
            found.candidates[candidate].save(run.path(name))
            summary[name] = found.candidates[candidate].summary
    found.advice.save(run.path("advice.json"))
    return {"chosen": found.advice.chosen, "advice": found.advice.sentence, **summary}


def baselines_stage(run: RunDirectory, inputs: RunInputs, settings: RunSettings) -> Summary:
    """Train the networks of the field that are baselines, on real pairs alone."""
    return train_baselines(run, settings, _section(run), _split(run), _preprocessing(run))


def predict_stage(run: RunDirectory, inputs: RunInputs, settings: RunSettings) -> Summary:
    """Predict every spot of the slide, and the tissue between them where that is asked for."""
    section, split, preprocessing = _section(run), _split(run), _preprocessing(run)
    encoder = encoder_of(settings.prediction, run.path("central"), kept=run.scratch("predict"))
    predictor = ExpressionPredictor.load(run.path("predictor"), encoder=encoder)
    frozen = get_encoder().encode(preprocessing.images(section))
    methods = baseline_layers(section, split, preprocessing, frozen)
    methods |= trained_baselines(run, settings)
    for folder, full, alone in ((_TWIN, TWIN, NETWORK_TWIN), (_COTRAINED, COTRAINED, NETWORK)):
        if run.path(folder).is_dir():
            other = ExpressionPredictor.load(run.path(folder), encoder=encoder).predict(section)
            methods[full] = other.mean
            if other.network is not None:
                methods[alone] = other.network
    facts = {
        "version": __version__,
        "section": section.name,
        "section_hash": section.content_hash,
        "train_hash": split.train_hash,
        "seed": settings.seed,
    }
    predictions = predictor.predict(section).to_anndata(
        section, preprocessing, split, methods=methods, provenance=facts
    )
    with whole_file(run.path("predictions.h5ad")) as partial:
        predictions.write_h5ad(partial)
    summary = {"spots": predictions.n_obs, "genes": predictions.n_vars}
    pitch_um = settings.pitch_um or (0.0 if split.test else section.pitch_um / 2)
    return summary | (_map(run, predictor, section, pitch_um) if pitch_um else {})


def _map(
    run: RunDirectory, predictor: ExpressionPredictor, section: Section, pitch_um: float
) -> Summary:
    """Predict the whole tissue, every ``pitch_um``."""
    central = CentralModel.load(run.path("central"))
    found = predict_grid(predictor, section, pitch_um, central.encode_views)
    with whole_file(run.path("map.h5ad")) as partial:
        found.write_h5ad(partial)
    return {"map_places": found.n_obs, "map_pitch_um": pitch_um}


def evaluate_stage(run: RunDirectory, inputs: RunInputs, settings: RunSettings) -> Summary:
    """Compare the predictions with the spots that were held out, or left out in turn."""
    metrics = write_evaluation(run.path("predictions.h5ad"), run.root, seed=settings.seed)
    default = metrics.loc[metrics["method"] == DEFAULT_METHOD].iloc[0]
    return {"methods": len(metrics), "mae": default["mae"], "pearson": default["pearson"]}


def report_stage(run: RunDirectory, inputs: RunInputs, settings: RunSettings) -> Summary:
    """Draw the report from the artefacts."""
    path = write_report(run.root)
    return {"report": path.name, "megabytes": round(path.stat().st_size / 1e6, 2)}


def _section(run: RunDirectory) -> Section:
    return Section.load(run.path("section"))


def _split(run: RunDirectory) -> SpotSplit:
    return SpotSplit.load(run.path("split.json"))


def _preprocessing(run: RunDirectory) -> Preprocessing:
    return Preprocessing.load(run.path("preprocessing.json"))


STAGE_FUNCTIONS: dict[str, Stage] = {
    "read": read_stage,
    "split": split_stage,
    "fit": fit_stage,
    "central": central_stage,
    "adapt": adapt_stage,
    "synthesize": synthesize_stage,
    "train": train_stage,
    "baselines": baselines_stage,
    "predict": predict_stage,
    "evaluate": evaluate_stage,
    "report": report_stage,
}


def run_stages(run: RunDirectory, inputs: RunInputs, settings: RunSettings) -> None:
    """Do the stages that are not done yet, in order."""
    for name, work in STAGE_FUNCTIONS.items():
        if run.is_done(name):
            logger.info("%-10s done before", name)
            continue
        logger.info("%-10s %s", name, (work.__doc__ or "").splitlines()[0])
        with run.stage(name) as summary:
            summary.update(work(run, inputs, settings))
    run.finish()
