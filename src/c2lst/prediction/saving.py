"""A predictor as files: safetensors and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.diffusion.weights import read_tensors
from c2lst.errors import InputError
from c2lst.prediction.cotraining import CrossFittedNetwork
from c2lst.prediction.crossfit import LeftOut
from c2lst.prediction.home import Home
from c2lst.prediction.intervals import LEAST_SD, Widths
from c2lst.prediction.kernels import Reduction
from c2lst.prediction.options import PredictorSettings
from c2lst.prediction.place import AdditiveGaussianProcess
from c2lst.prediction.predictor import ExpressionPredictor
from c2lst.storage import read_json, whole_directory, write_json

if TYPE_CHECKING:
    from c2lst.central import CentralModel
    from c2lst.evaluation.encoders import ImageEncoder

FORMAT = 2
_META, _ARRAYS = "predictor.json", "predictor.safetensors"
_PREPROCESSING, _PROCESS, _NETWORKS = "preprocessing.json", "gaussian_process", "networks"
PREDICTOR_FILES = (_META, _ARRAYS, _PREPROCESSING, _PROCESS, _NETWORKS)
_REDUCTION = ("mean", "scale", "axes")
_LEFT_OUT = ("spots", "distance", "mean", "sd")


def save_predictor(predictor: ExpressionPredictor, directory: Path) -> None:
    """Write a predictor to a folder."""
    from safetensors.numpy import save_file

    home, widths = predictor.home, predictor.widths
    arrays = {
        "widths.distances": widths.distances,
        "widths.factors": widths.factors,
        "widths.least": widths.least,
        "home.centres_um": home.centres_um,
        "home.train": home.train,
    }
    arrays |= {f"left_out.{part}": getattr(predictor.left_out, part) for part in _LEFT_OUT}
    arrays |= {f"features.{name}": x for name, x in home.features.items()}
    for name, reduction in predictor.reductions.items():
        arrays |= {f"reduction.{part}.{name}": getattr(reduction, part) for part in _REDUCTION}
    with whole_directory(directory, PREDICTOR_FILES) as partial:
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, partial / _ARRAYS)
        predictor.preprocessing.save(partial / _PREPROCESSING)
        predictor.process.save(partial / _PROCESS)
        if predictor.network is not None:
            predictor.network.save(partial / _NETWORKS)
        write_json(
            partial / _META,
            {
                "format": FORMAT,
                "kind": "expression_predictor",
                "settings": asdict(predictor.settings),
                "section": home.section,
                "pitch_um": home.pitch_um,
                "features_by": predictor.features_by,
                "barcodes": home.barcodes.tolist(),
                "summary": predictor.summary,
            },
        )


def load_predictor(
    directory: Path, encoder: ImageEncoder | None = None, central: CentralModel | None = None
) -> ExpressionPredictor:
    """Read what :func:`save_predictor` wrote.

    Raises
    ------
    InputError
        If a file is missing, damaged or of another format.
    """
    meta = read_json(directory / _META, required=("format",))
    if meta["format"] != FORMAT:
        raise InputError(
            directory / _META,
            "unknown format",
            found=meta["format"],
            expected=FORMAT,
            remedy="train again",
        )
    arrays = {name: x.numpy() for name, x in read_tensors(directory / _ARRAYS).items()}
    try:
        return _predictor(directory, meta, arrays, encoder, central)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            directory,
            f"holds no whole predictor ({error!r})",
            remedy="copy it again, or train again",
        ) from error


def _predictor(
    directory: Path,
    meta: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    encoder: ImageEncoder | None,
    central: CentralModel | None,
) -> ExpressionPredictor:
    from c2lst.data.preprocessing import Preprocessing

    features = _named(arrays, "features.")
    networks, network = directory / _NETWORKS, None
    if networks.is_dir():
        network = CrossFittedNetwork.load(networks, encoder=encoder, central=central)
    process = AdditiveGaussianProcess.load(directory / _PROCESS)
    # Older files lack it; the process knows the spread but for the weights of the spots.
    least = arrays.get("widths.least", process.spread * LEAST_SD)
    return ExpressionPredictor(
        settings=PredictorSettings(**meta["settings"]),
        preprocessing=Preprocessing.load(directory / _PREPROCESSING),
        network=network,
        process=process,
        reductions={
            name: Reduction(*(arrays[f"reduction.{part}.{name}"] for part in _REDUCTION))
            for name in features
        },
        left_out=LeftOut(*(arrays[f"left_out.{part}"] for part in _LEFT_OUT)),
        widths=Widths(arrays["widths.distances"], arrays["widths.factors"], least),
        home=Home(
            str(meta["section"]),
            np.array(meta["barcodes"], dtype=str),
            arrays["home.centres_um"],
            float(meta["pitch_um"]),
            arrays["home.train"],
            features,
        ),
        features_by=meta.get("features_by"),
    )


def _named(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
