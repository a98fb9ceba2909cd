"""The predictor of a slide: cross-fitted networks and a Gaussian process over image and place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.prediction.baselines import baselines_for
from c2lst.prediction.cotraining import CotrainingSettings, CrossFittedNetwork
from c2lst.prediction.kernels import Reduction
from c2lst.prediction.place import AdditiveGaussianProcess
from c2lst.prediction.result import LEVEL, Prediction
from c2lst.progress import logger
from c2lst.storage import read_json, whole_directory, write_json

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.synthetic import SyntheticPairs

FORMAT = 1
PLACE, NETWORK = "place", "network"
NO_NETWORK = "none"
_META, _ARRAYS = "predictor.json", "predictor.safetensors"
_PREPROCESSING, _PROCESS, _NETWORKS = "preprocessing.json", "gaussian_process", "networks"


@dataclass(frozen=True)
class PredictorSettings(CotrainingSettings):
    """Settings of a predictor: those of its networks, and of its Gaussian process.

    Parameters
    ----------
    network
        Architecture, or ``none`` for a Gaussian process over given features and place alone.
    components
        Most singular vectors of expression that are modelled.
    feature_components
        Principal components that image features are reduced to.
    network_components
        Principal components that the network's predictions are reduced to.
    """

    components: int = 24
    feature_components: int = 48
    network_components: int = 8


def baseline_layers(
    section: Section,
    split: SpotSplit,
    preprocessing: Preprocessing,
    features: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Predict all spots by every baseline: ``baseline_<name>`` to (n, G), float32.

    Unlike a :class:`Prediction`, a training spot is predicted with its own value known.

    Parameters
    ----------
    features
        Gene-free image features (n, d) of all spots from a frozen encoder; without them, the
        baselines that look at images are left out.
    """
    train = section.indices_of(split.train)
    observed, xy = preprocessing.lognorm(section), section.centres_um
    seen = None if features is None else features[train]
    return {
        f"baseline_{name}": baseline(xy[train], observed[train], xy, seen, features).astype(
            np.float32
        )
        for name, baseline in baselines_for(features=features is not None).items()
    }


@dataclass(frozen=True, eq=False)
class _Home:
    """The section of the fit: reduced features and places of all its spots, never their genes."""

    section: str
    barcodes: np.ndarray
    centres_um: np.ndarray
    train: np.ndarray
    features: Mapping[str, np.ndarray]

    def rows(self, section: Section) -> np.ndarray | None:
        """Rows of the spots of ``section``; None if it is another one.

        Barcodes alone prove nothing: legacy arrays use the same ones on every section.
        """
        position = {barcode: row for row, barcode in enumerate(self.barcodes.tolist())}
        rows = [position.get(barcode, -1) for barcode in section.barcodes.tolist()]
        if section.name != self.section or min(rows) < 0:
            return None
        found = np.asarray(rows)
        near = np.abs(section.centres_um - self.centres_um[found]).max() < 1.0
        return found if near else None


@dataclass(frozen=True, eq=False)
class ExpressionPredictor:
    """A fitted predictor: make one with :meth:`fit` or :meth:`load`.

    Parameters
    ----------
    settings
        How it was fitted.
    preprocessing
        Genes, scales and stain.
    network
        Cross-fitted networks, or None.
    process
        The Gaussian process over image features, place and the networks' predictions.
    reductions
        View name to how its raw values are reduced, for every view but place.
    widths
        Shape (G,): half-widths of the intervals in predicted standard deviations.
    home
        What is known of the section of the fit.
    """

    settings: PredictorSettings
    preprocessing: Preprocessing
    network: CrossFittedNetwork | None
    process: AdditiveGaussianProcess
    reductions: Mapping[str, Reduction]
    widths: np.ndarray
    home: _Home

    @classmethod
    def fit(
        cls,
        section: Section,
        split: SpotSplit,
        preprocessing: Preprocessing,
        *,
        synthetic: SyntheticPairs | None = None,
        features: Mapping[str, np.ndarray] | None = None,
        settings: PredictorSettings | None = None,
        directory: Path | None = None,
    ) -> ExpressionPredictor:
        """Fit to the training spots; other spots give their images and places, never their genes.

        Parameters
        ----------
        section, split, preprocessing
            The slide, its split, and what was fitted to the split's training spots.
        synthetic
            Pairs made from these training spots. None fits the twin of real spots alone, with
            the same number of optimiser steps.
        features
            Name to gene-free image features (n spots, d) of *all* spots of the section.
        settings
            How to fit.
        directory
            Where checkpoints of the networks go.

        Raises
        ------
        InputError
            If the parts do not belong together, or the pairs are of other genes or spots.
        """
        settings = settings or PredictorSettings()
        train = _training_rows(section, split, preprocessing)
        _check_synthetic(synthetic, preprocessing)
        observed = preprocessing.lognorm(section.subset(section.barcodes[train]))
        raw = _checked_features(features, len(section))
        network = None
        if settings.network != NO_NETWORK:
            images = preprocessing.images(section)
            network = CrossFittedNetwork.fit(
                images[train],
                preprocessing.scaler.scale(observed),
                section.barcodes[train],
                settings,
                synthetic=synthetic,
                directory=directory,
                label="real + synthetic" if synthetic is not None else "real only",
            )
            raw[NETWORK] = _network_everywhere(network, images, train)
        reductions = {
            name: Reduction.fit(
                x,
                settings.network_components if name == NETWORK else settings.feature_components,
                standardise=name != NETWORK,
            )
            for name, x in raw.items()
        }
        reduced = {name: reductions[name](x) for name, x in raw.items()}
        process = AdditiveGaussianProcess.fit(
            observed,
            {name: x[train] for name, x in reduced.items()} | {PLACE: section.centres_um[train]},
            components=settings.components,
            seed=settings.seed,
        )
        logger.info("variance shares: %s", _shares(process))
        return cls(
            settings,
            preprocessing,
            network,
            process,
            reductions,
            conformal_widths(observed, process.left_out, process.left_out_sd, LEVEL),
            _Home(section.name, section.barcodes, section.centres_um, train, reduced),
        )

    def knows(self, section: Section) -> bool:
        """Whether a section is the one of the fit, or some of its spots."""
        return self.home.rows(section) is not None

    def predict(
        self, section: Section, *, features: Mapping[str, np.ndarray] | None = None
    ) -> Prediction:
        """Predict every spot of a section.

        Parameters
        ----------
        section
            The section of the fit, some spots of it, or another section. Of another one only
            images are used: places on it have nothing to do with places on the first.
        features
            Name to image features (n, d) of another section, made as those of the fit. A view
            that is missing there is averaged out.

        Raises
        ------
        InputError
            If patches or genes do not fit, or nothing is known of another section's images.
        """
        rows = self.home.rows(section)
        if rows is None:
            return self._predict_elsewhere(section, features)
        views = {name: x[rows] for name, x in self.home.features.items()}
        mean, sd = self.process.predict(views | {PLACE: self.home.centres_um[rows]})
        position = {row: i for i, row in enumerate(self.home.train.tolist())}
        own = np.array([position.get(row, -1) for row in rows.tolist()])
        seen = own >= 0
        mean[seen] = self.process.left_out[own[seen]]
        sd[seen] = self.process.left_out_sd[own[seen]]
        network = None
        if self.network is not None:
            network = self.network.predict(self.preprocessing.images(section))
            network[seen] = self.network.out_of_fold[own[seen]]
        return self._prediction(section.barcodes, mean, sd, network)

    def predict_between(
        self,
        names: np.ndarray,
        centres_um: np.ndarray,
        patches: np.ndarray,
        *,
        features: Mapping[str, np.ndarray] | None = None,
    ) -> Prediction:
        """Predict places on the slide of the fit that have an image and no counts.

        Parameters
        ----------
        names
            str (q,): what the places are called.
        centres_um
            (q, 2), in the coordinates of the section of the fit.
        patches
            uint8 (q, S, S, 3) around them, as cut from the slide.
        features
            Name to image features (q, d) of them, made as those of the fit.

        Raises
        ------
        InputError
            If the features are not those of the fit.
        """
        raw = _checked_features(features, len(names))
        network = None
        if self.network is not None:
            network = self.network.predict(self.preprocessing.images(patches))
            raw[NETWORK] = network.astype(np.float64)
        if set(raw) != set(self.reductions):
            raise InputError(
                "grid",
                "image features do not fit the predictor",
                found=", ".join(sorted(raw)) or "none",
                expected=", ".join(sorted(self.reductions)) or "none",
            )
        views = {name: self.reductions[name](x) for name, x in raw.items()}
        mean, sd = self.process.predict(views | {PLACE: np.asarray(centres_um, dtype=np.float64)})
        return self._prediction(np.asarray(names, dtype=str), mean, sd, network)

    def _predict_elsewhere(
        self, section: Section, features: Mapping[str, np.ndarray] | None
    ) -> Prediction:
        local = self.preprocessing.for_section(section)
        raw = _checked_features(features, len(section))
        network = None
        if self.network is not None:
            network = self.network.predict(local.images(section))
            raw[NETWORK] = network.astype(np.float64)
        unknown = sorted(set(raw) - set(self.reductions))
        missing = sorted(set(self.reductions) - set(raw))
        if unknown or not raw:
            raise InputError(
                f"section {section.name!r}",
                "image features do not fit the predictor",
                found=", ".join(unknown) or "none",
                expected=", ".join(sorted(self.reductions)) or "a predictor that reads images",
            )
        if missing:
            logger.warning("%s: predicted without %s", section.name, ", ".join(missing))
        mean, sd = self.process.predict({n: self.reductions[n](x) for n, x in raw.items()})
        return self._prediction(section.barcodes, mean, sd, network)

    def _prediction(
        self, barcodes: np.ndarray, mean: np.ndarray, sd: np.ndarray, network: np.ndarray | None
    ) -> Prediction:
        def expression(values: np.ndarray) -> np.ndarray:
            return np.maximum(values, 0.0).astype(np.float32)

        alone = None
        if network is not None:
            alone = expression(self.preprocessing.scaler.unscale(network))
        half = self.widths * sd
        return Prediction(
            barcodes=barcodes,
            genes=np.array(self.preprocessing.panel.genes, dtype=str),
            mean=expression(mean),
            lower=expression(mean - half),
            upper=expression(mean + half),
            network=alone,
            cotrained=self.network is not None and self.network.synthetic_pairs > 0,
        )

    @property
    def summary(self) -> dict[str, Any]:
        """What was fitted, as plain values for a manifest."""
        return {
            "training_spots": len(self.home.train),
            "genes": len(self.preprocessing.panel),
            "synthetic_pairs": 0 if self.network is None else self.network.synthetic_pairs,
            "steps_per_network": 0 if self.network is None else self.settings.steps,
            "variance_shares": self.process.view_weights,
        }

    def save(self, directory: str | Path) -> None:
        """Write the predictor to a folder (safetensors and JSON)."""
        from safetensors.numpy import save_file

        arrays = {
            "widths": self.widths,
            "home.centres_um": self.home.centres_um,
            "home.train": self.home.train,
        }
        for name, x in self.home.features.items():
            arrays[f"features.{name}"] = x
        for name, reduction in self.reductions.items():
            for part in ("mean", "scale", "axes"):
                arrays[f"reduction.{part}.{name}"] = getattr(reduction, part)
        with whole_directory(directory) as partial:
            save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, partial / _ARRAYS)
            self.preprocessing.save(partial / _PREPROCESSING)
            self.process.save(partial / _PROCESS)
            if self.network is not None:
                self.network.save(partial / _NETWORKS)
            write_json(
                partial / _META,
                {
                    "format": FORMAT,
                    "kind": "expression_predictor",
                    "settings": asdict(self.settings),
                    "section": self.home.section,
                    "barcodes": self.home.barcodes.tolist(),
                    "summary": self.summary,
                },
            )

    @classmethod
    def load(cls, directory: str | Path) -> ExpressionPredictor:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            If a file is missing or of another format.
        """
        from safetensors.numpy import load_file

        from c2lst.data.preprocessing import Preprocessing

        directory = Path(directory)
        meta = read_json(directory / _META, required=("format", "settings", "section", "barcodes"))
        if meta["format"] != FORMAT:
            raise InputError(
                directory / _META, "unknown format", found=meta["format"], expected=FORMAT
            )
        if not (directory / _ARRAYS).is_file():
            raise InputError(directory / _ARRAYS, "no such file", remedy="train again")
        arrays = load_file(directory / _ARRAYS)
        names = _named(arrays, "features.")
        return cls(
            settings=PredictorSettings(**meta["settings"]),
            preprocessing=Preprocessing.load(directory / _PREPROCESSING),
            network=CrossFittedNetwork.load(directory / _NETWORKS)
            if (directory / _NETWORKS).is_dir()
            else None,
            process=AdditiveGaussianProcess.load(directory / _PROCESS),
            reductions={
                name: Reduction(
                    *(arrays[f"reduction.{part}.{name}"] for part in ("mean", "scale", "axes"))
                )
                for name in names
            },
            widths=arrays["widths"],
            home=_Home(
                str(meta["section"]),
                np.array(meta["barcodes"], dtype=str),
                arrays["home.centres_um"],
                arrays["home.train"],
                names,
            ),
        )


def conformal_widths(
    observed: np.ndarray, left_out: np.ndarray, left_out_sd: np.ndarray, level: float
) -> np.ndarray:
    """Half-widths of intervals, in standard deviations, from left-out residuals.

    Conformal quantiles of |residual| / sd, gene by gene. For exchangeable spots a new value is
    covered at about ``level``, whatever its distribution; the sd only decides where intervals are
    wide. With too few spots for that (below nine at 90 %), the largest ratio of all genes is taken,
    which is cautious.

    Parameters
    ----------
    observed, left_out, left_out_sd
        Training spots (n, G), each predicted from the others.
    level
        Nominal coverage in (0, 1).

    Returns
    -------
    numpy.ndarray
        Shape (G,).
    """
    residual = np.abs(observed - left_out)
    # A gene that never varied in training has no scale: its interval is the point itself.
    ratio = np.where(left_out_sd > 0, residual / np.where(left_out_sd > 0, left_out_sd, 1.0), 0.0)
    n, genes = ratio.shape
    # Between two order statistics: with few spots the next whole one covers far more than asked.
    rank = level * (n + 1)
    if rank > n:
        return np.full(genes, ratio.max())
    ordered = np.sort(ratio, axis=0)
    below = int(rank)
    above = min(below, n - 1)
    return ordered[below - 1] + (rank - below) * (ordered[above] - ordered[below - 1])


def _training_rows(section: Section, split: SpotSplit, preprocessing: Preprocessing) -> np.ndarray:
    split.check(section)
    preprocessing.check(section)
    if preprocessing.train_hash != split.train_hash:
        raise InputError(
            "preprocessing",
            "was fitted to other training spots than the split's",
            found=preprocessing.train_hash[:12],
            expected=split.train_hash[:12],
            remedy="fit genes, scales and stain to this split",
        )
    return section.indices_of(split.train)


def _check_synthetic(synthetic: SyntheticPairs | None, preprocessing: Preprocessing) -> None:
    if synthetic is not None and tuple(synthetic.genes) != tuple(preprocessing.panel.genes):
        raise InputError(
            "synthetic pairs",
            "are of other genes, or of another order of them",
            found=f"{len(synthetic.genes)} genes",
            expected=f"the {len(preprocessing.panel)} of the panel",
        )


def _checked_features(
    features: Mapping[str, np.ndarray] | None, spots: int
) -> dict[str, np.ndarray]:
    checked = {}
    for name, x in (features or {}).items():
        if name in (PLACE, NETWORK) or not name:
            raise InputError("features", "name is taken", found=repr(name))
        checked[name] = np.asarray(x, dtype=np.float64)
        if checked[name].ndim != 2 or len(checked[name]) != spots:
            raise InputError(
                "features",
                f"{name!r} has the wrong shape",
                found=checked[name].shape,
                expected=f"({spots}, d): all spots of the section",
            )
    return checked


def _network_everywhere(
    network: CrossFittedNetwork, images: np.ndarray, train: np.ndarray
) -> np.ndarray:
    """Out-of-sample predictions of all spots, (n, G): out of fold at training spots."""
    predicted = network.predict(images).astype(np.float64)
    predicted[train] = network.out_of_fold
    return predicted


def _named(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _shares(process: AdditiveGaussianProcess) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in process.view_weights.items())
