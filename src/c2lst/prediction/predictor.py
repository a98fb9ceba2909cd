"""The predictor of a slide: cross-fitted networks and a Gaussian process over image and place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.prediction.calibration import Measured, fit_process
from c2lst.prediction.checks import (
    NETWORK,
    PLACE,
    check_synthetic,
    checked_features,
    training_rows,
)
from c2lst.prediction.cotraining import CrossFittedNetwork
from c2lst.prediction.crossfit import LeftOut
from c2lst.prediction.home import Home
from c2lst.prediction.intervals import Widths
from c2lst.prediction.kernels import Reduction
from c2lst.prediction.options import NETWORKLESS, PredictorSettings
from c2lst.prediction.place import AdditiveGaussianProcess
from c2lst.prediction.result import Prediction
from c2lst.prediction.views import choose_view
from c2lst.progress import logger

if TYPE_CHECKING:
    from c2lst.central import CentralModel
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.synthetic import SyntheticPairs
    from c2lst.evaluation.encoders import ImageEncoder


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
        The Gaussian process over place and some or all of the other views: image features and the
        networks' predictions.
    reductions
        View name to how its raw values are reduced, for every view but place.
    left_out
        The training spots as predicted by refits of the process without their fold, in order.
    widths
        Half-widths of the intervals.
    home
        What is known of the section of the fit.
    features_by
        Hash of the central model that made the image features, where it is known.
    """

    settings: PredictorSettings
    preprocessing: Preprocessing
    network: CrossFittedNetwork | None
    process: AdditiveGaussianProcess
    reductions: Mapping[str, Reduction]
    left_out: LeftOut
    widths: Widths
    home: Home
    features_by: str | None = None

    @classmethod
    def fit(
        cls,
        section: Section,
        split: SpotSplit,
        preprocessing: Preprocessing,
        *,
        synthetic: SyntheticPairs | None = None,
        features: Mapping[str, np.ndarray] | None = None,
        features_by: str | None = None,
        encoder: ImageEncoder | None = None,
        settings: PredictorSettings | None = None,
        directory: Path | None = None,
    ) -> ExpressionPredictor:
        """Fit to the training spots; other spots give their images and places, never their genes.

        Parameters
        ----------
        section, split, preprocessing
            The slide, its split, and what was fitted to the split's training spots. Validation
            spots of the split end the training of the networks early.
        synthetic
            Pairs made from these training spots. None fits the twin of real spots alone, with
            the same number of optimiser steps.
        features
            Name to gene-free image features (n spots, d) of *all* spots of the section. Of
            several, the best is chosen inside the training spots; the first is the default.
        features_by
            Hash of the central model that made them, by which :meth:`check_features_by` knows it.
        encoder
            The encoder of networks of kind ``frozen``.
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
        train = training_rows(section, split, preprocessing)
        check_synthetic(synthetic, preprocessing)
        measured = Measured.of(split.training(section), preprocessing)
        raw = checked_features(features, len(section))
        network = None
        if settings.network != NETWORKLESS:
            images = preprocessing.images(section)
            network = CrossFittedNetwork.fit(
                images[train],
                preprocessing.scaler.scale(measured.expression),
                section.barcodes[train],
                settings,
                synthetic=synthetic,
                encoder=encoder,
                stain=preprocessing.stain,
                validation=_validation(section, split, preprocessing),
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
        home = Home(
            section.name,
            section.barcodes,
            section.centres_um,
            section.pitch_um,
            train,
            {name: reductions[name](x) for name, x in raw.items()},
        )
        fitted = fit_process(home, measured, _views(home, measured, settings), settings)
        return cls(settings, preprocessing, network, fitted.process, reductions,
                   fitted.left_out, fitted.widths, home, features_by)  # fmt: skip

    def without_network(self, measured: Measured) -> ExpressionPredictor:
        """Fit the process again without the networks, which stay beside it.

        Parameters
        ----------
        measured
            Of the training spots, as in the fit.
        """
        views = tuple(name for name in self.views if name != NETWORK)
        fitted = fit_process(self.home, measured, views, self.settings)
        return replace(self, process=fitted.process, left_out=fitted.left_out, widths=fitted.widths)

    @property
    def views(self) -> tuple[str, ...]:
        """What the process knows of a spot besides its place."""
        return tuple(view for view in self.process.views if view != PLACE)

    @property
    def uses_network(self) -> bool:
        """Whether networks have a say; those that advice left out stay beside the process."""
        return self.network is not None and NETWORK in self.views

    def knows(self, section: Section) -> bool:
        """Whether a section is the one of the fit, or some of its spots."""
        return self.home.rows(section) is not None

    def check_features_by(self, central_hash: str) -> None:
        """Refuse a central model whose features are not those of the fit.

        Raises
        ------
        InputError
            If it is another one. Its features would fit in number, and mean something else.
        """
        if self.features_by not in (None, central_hash):
            raise InputError(
                "central model", "is not the one whose features the predictor learnt from",
                found=central_hash[:12], expected=str(self.features_by)[:12],
                remedy="give the one of the training",
            )  # fmt: skip

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
        centres = self.home.centres_um[rows]
        views = {name: self.home.features[name][rows] for name in self.views}
        mean, sd = self.process.predict(views | {PLACE: centres})
        distance = self.home.distance_um(centres)
        own = self.home.training_rows(rows)
        seen = own >= 0
        mean[seen] = self.left_out.mean[own[seen]]
        sd[seen] = self.left_out.sd[own[seen]]
        distance[seen] = self.left_out.distance[own[seen]]
        network = None
        if self.network is not None:
            network = self.network.predict(self.preprocessing.images(section))
            network[seen] = self.network.out_of_fold[own[seen]]
        return self._prediction(section.barcodes, mean, sd, distance, network)

    def predict_between(
        self,
        names: np.ndarray,
        centres_um: np.ndarray,
        patches: np.ndarray,
        *,
        features: Mapping[str, np.ndarray] | None = None,
    ) -> Prediction:
        """Predict places on the slide of the fit that have an image and no counts.

        There may be very many: networks that have no say are not asked, either.

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
        raw, network = checked_features(features, len(names)), None
        encoded = set(self.reductions) - {NETWORK}
        if set(raw) != encoded:
            raise InputError(
                "grid",
                "image features do not fit the predictor",
                found=", ".join(sorted(raw)) or "none",
                expected=", ".join(sorted(encoded)) or "none",
            )
        if self.uses_network:
            raw, network = self._looked_at(self.preprocessing, patches, len(names), features)
        views = {name: self.reductions[name](raw[name]) for name in self.views}
        centres_um = np.asarray(centres_um, dtype=np.float64)
        mean, sd = self.process.predict(views | {PLACE: centres_um})
        distance = self.home.distance_um(centres_um)
        return self._prediction(np.asarray(names, dtype=str), mean, sd, distance, network)

    def _predict_elsewhere(
        self, section: Section, features: Mapping[str, np.ndarray] | None
    ) -> Prediction:
        local = self.preprocessing.for_section(section)
        raw, network = self._looked_at(local, section, len(section), features)
        unknown = sorted(set(raw) - set(self.reductions))
        missing = sorted(set(self.views) - set(raw))
        known = {name: x for name, x in raw.items() if name in self.views}
        if unknown or not known:
            raise InputError(
                f"section {section.name!r}",
                "image features do not fit the predictor",
                found=", ".join(unknown) or "none",
                expected=", ".join(sorted(self.reductions)) or "a predictor that reads images",
            )
        if missing:
            logger.warning("%s: predicted without %s", section.name, ", ".join(missing))
        mean, sd = self.process.predict({n: self.reductions[n](x) for n, x in known.items()})
        # Nothing was sequenced on it: every spot is as far away as can be.
        distance = np.full(len(section), np.inf)
        return self._prediction(section.barcodes, mean, sd, distance, network)

    def _looked_at(
        self,
        preprocessing: Preprocessing,
        patches: Section | np.ndarray,
        count: int,
        features: Mapping[str, np.ndarray] | None,
    ) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
        """Raw views of patches, by name, and what the networks predict from them."""
        raw = checked_features(features, count)
        if self.network is None:
            return raw, None
        network = self.network.predict(preprocessing.images(patches))
        return raw | {NETWORK: network.astype(np.float64)}, network

    def _prediction(
        self,
        barcodes: np.ndarray,
        mean: np.ndarray,
        sd: np.ndarray,
        distance: np.ndarray,
        network: np.ndarray | None,
    ) -> Prediction:
        def expression(values: np.ndarray) -> np.ndarray:
            return np.maximum(values, 0.0).astype(np.float32)

        alone = None
        if network is not None:
            alone = expression(self.preprocessing.scaler.unscale(network))
        half = self.widths.half(distance, sd)
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
        network = self.network if self.uses_network else None
        return {
            "training_spots": len(self.home.train),
            "genes": len(self.preprocessing.panel),
            "synthetic_pairs": 0 if network is None else network.synthetic_pairs,
            "steps_per_network": 0 if network is None else self.settings.steps,
            "variance_shares": self.process.view_weights,
        }

    def save(self, directory: str | Path) -> None:
        """Write the predictor to a folder (safetensors and JSON)."""
        from c2lst.prediction.saving import save_predictor

        save_predictor(self, Path(directory))

    @classmethod
    def load(
        cls,
        directory: str | Path,
        *,
        encoder: ImageEncoder | None = None,
        central: CentralModel | None = None,
    ) -> ExpressionPredictor:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        directory
            Where it lies.
        encoder
            The encoder of networks of kind ``frozen``; without, the registry's of that name.
        central
            The central model, which is the encoder of networks that were trained on its features.

        Raises
        ------
        InputError
            If a file is missing or of another format.
        """
        from c2lst.prediction.saving import load_predictor

        return load_predictor(Path(directory), encoder, central)


def _views(home: Home, measured: Measured, settings: PredictorSettings) -> tuple[str, ...]:
    """Choose the views of the process besides the place: of several encoders, the one that serves.

    The process has the networks' predictions as well, where there are networks.
    """
    encoded = {n: x[home.train] for n, x in home.features.items() if n != NETWORK}
    if not encoded:
        return tuple(home.features)
    chosen = choose_view(
        measured.expression,
        encoded,
        home.centres_um[home.train],
        library_size=measured.library_size,
        components=settings.components,
        seed=settings.seed,
    ).name
    return tuple(name for name in home.features if name in (NETWORK, chosen))


def _validation(
    section: Section, split: SpotSplit, preprocessing: Preprocessing
) -> tuple[np.ndarray, np.ndarray] | None:
    """Images and standardised expression of the validation spots, if there are any."""
    if not split.val:
        return None
    spots = split.part(section, "val")
    return preprocessing.images(spots), preprocessing.expression(spots)


def _network_everywhere(
    network: CrossFittedNetwork, images: np.ndarray, train: np.ndarray
) -> np.ndarray:
    """Out-of-sample predictions of all spots, (n, G): out of fold at training spots."""
    predicted = network.predict(images).astype(np.float64)
    predicted[train] = network.out_of_fold
    return predicted
