"""One cell: fit the predictor of an arm, predict the section, judge it on the held-out spots."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from c2lst.progress import logger
from c2lst.storage import whole_directory, write_json
from c2lst.study.arms import Material, pairs_for, settings_for
from c2lst.study.grid import BASELINE, NO_NETWORK, Cell
from c2lst.study.shared import FEATURES, Study

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from pandas import DataFrame

    from c2lst.data.synthetic import SyntheticPairs
    from c2lst.prediction.predictor import ExpressionPredictor

CELL_JSON, METRICS, GENES = "cell.json", "metrics.parquet", "genes.parquet"
NETWORK = "network"
_NETWORK_LAYERS = ("network_cotrained", "network_real_only")
_REFERENCE = "baseline_train_median"


def carry_out(study: Study, cell: Cell) -> None:
    """Fill the folder of a cell: scores of its methods, in all and gene by gene.

    The arm without a network also carries the baselines: they are the same for all arms.
    """
    started = time.perf_counter()
    warnings = _Warnings()
    logger.addHandler(warnings)
    try:
        metrics, genes, facts = _judged(study, cell)
    finally:
        logger.removeHandler(warnings)
    facts |= {"seconds": round(time.perf_counter() - started, 2), "warnings": warnings.messages}
    with whole_directory(study.cell_folder(cell)) as partial:
        metrics.to_parquet(partial / METRICS, index=False)
        genes.to_parquet(partial / GENES, index=False)
        write_json(partial / CELL_JSON, facts)


def _judged(study: Study, cell: Cell) -> tuple[DataFrame, DataFrame, dict[str, Any]]:
    from c2lst.evaluation.expression import evaluate

    material = _material(study, cell)
    settings = study.settings_of(cell.split).prediction
    pairs = pairs_for(cell.arm, material)
    predictor = _fitted(cell, material, study, pairs)
    predictions = _predictions(cell, material, predictor)
    facts = {
        "pairs": 0 if pairs is None else len(pairs),
        "steps": predictor.summary["steps_per_network"],
        "networks": 0 if predictor.network is None else len(predictor.network.networks),
        "train_spots": len(material.split.train),
        **material.directory.summary("features"),
    }
    metrics, genes = (
        _labelled(table, cell, facts) for table in evaluate(predictions, seed=settings.seed)
    )
    return metrics, genes, facts


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


def _fitted(
    cell: Cell, material: Material, study: Study, pairs: SyntheticPairs | None
) -> ExpressionPredictor:
    from safetensors.numpy import load_file

    from c2lst.prediction.predictor import ExpressionPredictor

    scratch = material.directory.scratch("cells") / cell.arm.name
    predictor = ExpressionPredictor.fit(
        material.section,
        material.split,
        material.preprocessing,
        synthetic=pairs,
        features=load_file(material.directory.path(FEATURES)),
        settings=settings_for(cell.arm, study.grid, study.settings_of(cell.split).prediction),
        directory=scratch,
    )
    shutil.rmtree(scratch, ignore_errors=True)
    return predictor


def _predictions(cell: Cell, material: Material, predictor: ExpressionPredictor) -> AnnData:
    section, split, preprocessing = material.section, material.split, material.preprocessing
    layers = _baselines(material) if cell.arm.name == NO_NETWORK else _median(material)
    return predictor.predict(section).to_anndata(section, preprocessing, split, methods=layers)


def _baselines(material: Material) -> dict[str, np.ndarray]:
    from c2lst.evaluation.encoders import get_encoder
    from c2lst.prediction.predictor import baseline_layers

    frozen = get_encoder().encode(material.preprocessing.images(material.section))
    return baseline_layers(material.section, material.split, material.preprocessing, frozen)


def _median(material: Material) -> dict[str, np.ndarray]:
    """Return the one baseline that every arm needs: skill is counted from it."""
    from c2lst.prediction.baselines import REGISTRY

    section, train = material.section, material.split.training(material.section)
    expression = material.preprocessing.lognorm(train)
    median = REGISTRY["train_median"](train.centres_um, expression, section.centres_um)
    return {_REFERENCE: median}


def _labelled(table: DataFrame, cell: Cell, facts: dict[str, Any]) -> DataFrame:
    """Say in every row which cell it is of; keep baselines only where they belong."""
    import numpy as np

    from c2lst.prediction.baselines import REGISTRY

    baseline = table["method"].isin(list(REGISTRY)).to_numpy()
    labels: dict[str, Any] = {
        **asdict(cell.split),
        "arm": np.where(baseline, BASELINE, cell.arm.name),
        "ratio": cell.arm.ratio,
        **facts,
    }
    table = table.assign(method=table["method"].replace(dict.fromkeys(_NETWORK_LAYERS, NETWORK)))
    for place, (name, value) in enumerate(labels.items()):
        table.insert(place, name, value)
    return table if cell.arm.name == NO_NETWORK else table[~baseline]


class _Warnings(logging.Handler):
    """Keeps the warnings of a cell beside its result."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() not in self.messages:
            self.messages.append(record.getMessage())
