"""One cell: fit what its arm is about, predict the section, judge it on the held-out spots."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst import __version__
from c2lst.progress import logger
from c2lst.storage import read_json, whole_directory, write_json
from c2lst.study.arms import Material, needs_pool, pairs_for
from c2lst.study.fits import clear, fit_folder
from c2lst.study.grid import ADVISED, BASELINE, NO_NETWORK, Cell
from c2lst.study.kept_maps import MAP_SEED
from c2lst.study.shared import FEATURES, Study

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from pandas import DataFrame

    from c2lst.prediction.predictor import ExpressionPredictor

CELL_JSON = "cell.json"
METRICS, GENES, BLOCKS, MAPS = "metrics.parquet", "genes.parquet", "blocks.parquet", "maps.parquet"
NETWORK = "network"
_NETWORK_LAYERS = ("network_cotrained", "network_real_only")
_REFERENCE = "baseline_train_median"


def carry_out(study: Study, cell: Cell) -> None:
    """Fill the folder of a cell: scores of its methods, in all, gene by gene and by block.

    The arm without a network also carries the baselines: they are the same for all arms.
    """
    started = time.perf_counter()
    warnings = _Warnings()
    logger.addHandler(warnings)
    try:
        predictions, facts = _predictions(study, cell)
        tables = _judged(study, cell, predictions, facts)
    finally:
        logger.removeHandler(warnings)
    facts |= {
        "c2lst": __version__,
        "seconds": round(time.perf_counter() - started, 2),
        "warnings": warnings.messages,
        "prediction": asdict(study.prediction_of(cell)),
    }
    with whole_directory(study.cell_folder(cell)) as partial:
        for name, table in tables.items():
            _narrow(table).to_parquet(partial / name, index=False)
        write_json(partial / CELL_JSON, facts)
    clear(study, cell)


def _judged(
    study: Study, cell: Cell, predictions: AnnData, facts: Mapping[str, Any]
) -> dict[str, DataFrame]:
    from c2lst.evaluation.expression import evaluate
    from c2lst.study.block_errors import block_errors, moran_of_genes
    from c2lst.study.kept_maps import kept_maps

    metrics, genes = evaluate(predictions, seed=study.prediction_of(cell).seed)
    moran = moran_of_genes(predictions)
    tables = {
        METRICS: _labelled(metrics, cell, facts),
        GENES: _labelled(genes, cell, {}),
        BLOCKS: _labelled(block_errors(predictions, moran), cell, {}),
    }
    if cell.split.seed == MAP_SEED and not cell.arm.is_baseline:
        tables[MAPS] = _labelled(kept_maps(predictions, moran), cell, {})
    return tables


def _predictions(study: Study, cell: Cell) -> tuple[AnnData, dict[str, Any]]:
    """Predict every spot of the section, and say what the cell is."""
    material = _material(study, cell)
    scratch = fit_folder(study, cell)
    facts = {
        **{"pairs": 0, "steps": 0, "networks": 0, "train_spots": len(material.split.train)},
        **material.directory.summary("features"),
        "adapter_hash": "",
    }
    if cell.arm.is_baseline:
        predictions = _network_baseline(cell, material, scratch)
    else:
        predictions, fitted = _default(study, cell, material, scratch)
        facts |= fitted
    return predictions, facts


def _material(study: Study, cell: Cell) -> Material:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit

    directory = study.directory(cell.split)
    return Material(
        Section.load(directory.path("section")),
        SpotSplit.load(directory.path("split.json")),
        Preprocessing.load(directory.path("preprocessing.json")),
        directory,
        cell.split.seed,
    )


def _default(
    study: Study, cell: Cell, material: Material, scratch: Path
) -> tuple[AnnData, dict[str, Any]]:
    """Predict by image and place, with the networks of the arm."""
    section, split, preprocessing = material.section, material.split, material.preprocessing
    predictor = _fitted(study, cell, material, scratch)
    layers = _baselines(material) if cell.arm.name == NO_NETWORK else _median(material)
    adapter = material.directory.path("adapter") / "adapter_config.json"
    network = predictor.network if predictor.uses_network else None
    facts = {
        "pairs": predictor.summary["synthetic_pairs"],
        "steps": predictor.summary["steps_per_network"],
        "networks": 0 if network is None else len(network.networks),
        "adapter_hash": read_json(adapter)["hash"] if needs_pool(cell.arm) else "",
    }
    predicted = predictor.predict(section)
    if cell.arm.name == ADVISED:
        # What a network would say alone is no advice: it may be of one that was left out.
        predicted = replace(predicted, network=None)
    return predicted.to_anndata(section, preprocessing, split, methods=layers), facts


def _fitted(study: Study, cell: Cell, material: Material, scratch: Path) -> ExpressionPredictor:
    from safetensors.numpy import load_file

    from c2lst.prediction.advised import fit_advised
    from c2lst.prediction.encoders import encoder_of
    from c2lst.prediction.predictor import ExpressionPredictor

    given = (material.section, material.split, material.preprocessing)
    settings, folder = study.prediction_of(cell), material.directory
    # All cells of the split find the features there that one of them made.
    encoder = encoder_of(settings, folder.path("central"), kept=folder.scratch("encoded"))
    options: dict[str, Any] = {
        "synthetic": pairs_for(cell.arm, material),
        "features": load_file(folder.path(FEATURES)),
        "encoder": encoder,
        "settings": settings,
        "directory": scratch,
    }
    if cell.arm.name == ADVISED:
        return fit_advised(*given, frozen=_frozen(material), **options).chosen
    return ExpressionPredictor.fit(*given, **options)


def _network_baseline(cell: Cell, material: Material, scratch: Path) -> AnnData:
    """Predict by a network of the field, alone, trained on real pairs as its authors say."""
    import numpy as np

    from c2lst.prediction.network_baselines import network_baselines
    from c2lst.prediction.result import Prediction

    section, split, preprocessing = material.section, material.split, material.preprocessing
    name = cell.arm.name.removeprefix(f"{BASELINE}-")
    (mean,) = network_baselines(
        section, split, preprocessing, [name], seed=material.seed, directory=scratch
    ).values()
    prediction = Prediction(
        section.barcodes,
        np.array(preprocessing.panel.genes),
        mean,
        mean,
        mean,
        None,
        cotrained=False,
    )
    predictions = prediction.to_anndata(section, preprocessing, split, methods=_median(material))
    for bound in ("lower", "upper"):  # a baseline says nothing of its own error
        del predictions.layers[bound]
    return predictions


def _frozen(material: Material) -> np.ndarray:
    """Features of all spots for the baselines that look at images."""
    from c2lst.evaluation.encoders import get_encoder

    return get_encoder().encode(material.preprocessing.images(material.section))


def _baselines(material: Material) -> dict[str, np.ndarray]:
    from c2lst.prediction.layers import baseline_layers

    given = (material.section, material.split, material.preprocessing)
    return baseline_layers(*given, _frozen(material))


def _median(material: Material) -> dict[str, np.ndarray]:
    """Return the one baseline that every arm needs: skill is counted from it."""
    from c2lst.prediction.baselines import REGISTRY

    section, train = material.section, material.split.training(material.section)
    expression = material.preprocessing.lognorm(train)
    median = REGISTRY["train_median"](train.centres_um, expression, section.centres_um)
    return {_REFERENCE: median}


def _labelled(table: DataFrame, cell: Cell, facts: Mapping[str, Any]) -> DataFrame:
    """Say in every row which cell it is of; keep baselines only where they belong."""
    import numpy as np

    from c2lst.evaluation.expression import DEFAULT_METHOD
    from c2lst.prediction.baselines import REGISTRY

    arm, of_arm = cell.arm, np.ones(len(table), dtype=bool)
    labels = {**asdict(cell.split), "arm": arm.name, "network": arm.network, "ratio": arm.ratio}
    if "method" in table:
        of_arm = ~table["method"].isin(list(REGISTRY)).to_numpy()
        labels["arm"] = np.where(of_arm & (not arm.is_baseline), arm.name, BASELINE)
        names = dict.fromkeys(_NETWORK_LAYERS, NETWORK)
        if arm.is_baseline:
            names[DEFAULT_METHOD] = arm.name.removeprefix(f"{BASELINE}-")
        table = table.assign(method=table["method"].replace(names))
    for place, (name, value) in enumerate({**labels, **facts}.items()):
        table.insert(place, name, value)
    return table if arm.name == NO_NETWORK else table[of_arm]


def _narrow(table: DataFrame) -> DataFrame:
    """Keep measured numbers to seven digits; those that name the split stay as they are."""
    named = ("fraction",)
    wide = [name for name in table.select_dtypes("float64") if name not in named]
    return table.astype(dict.fromkeys(wide, "float32"))


class _Warnings(logging.Handler):
    """Keeps the warnings of a cell beside its result."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() not in self.messages:
            self.messages.append(record.getMessage())
