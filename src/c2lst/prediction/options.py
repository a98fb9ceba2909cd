"""How a predictor is fitted: the settings of co-training, and of the Gaussian process."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from c2lst.diffusion.draws import mix_seed
from c2lst.diffusion.options import TrainSettings
from c2lst.rules import Rule, at_least, hold, one_of, share, whole

Curriculum = Literal["constant", "linear", "cosine"]

NETWORKLESS = "none"
"""Instead of a network: place and given features alone."""

FROZEN = "frozen"
"""The kind of network that is a frozen encoder with a small head that is trained."""


@dataclass(frozen=True)
class CotrainingSettings:
    """How a network is trained on real and synthetic pairs.

    Two numbers say how much is synthetic. ``synthetic_ratio`` is how many synthetic pairs there are
    to learn from, for each real one: the ratio of C2L-ST. ``synthetic_share`` is how often one is
    met. C2L-ST trains on the union, where a ratio of k has the share k / (1 + k).

    Parameters
    ----------
    network
        Name of an architecture (:data:`~c2lst.prediction.networks.ARCHITECTURES`), or ``frozen``
        for a head on the features of a frozen encoder.
    encoder
        That encoder: ``central`` for the central model, or what
        :func:`~c2lst.evaluation.encoders.get_encoder` knows by a name.
    head_width
        Width of the hidden layer of that head; 0 for a linear head.
    folds
        Parts that the training spots are cut into.
    steps
        Optimiser steps of each fold's network, *whatever the data*: the twin trained on real
        spots alone has the same number (step-matched control).
    batch_size, learning_rate, weight_decay, precision
        Of the training loop. Cosine schedule with 5 % warm-up (paper); the rest is ours.
    synthetic_ratio
        Synthetic pairs that are used for each real one, the first of those given; ``None`` for all.
    synthetic_share
        Share of synthetic pairs in every mini-batch; 1 for synthetic only. With a curriculum, the
        share in the first.
    curriculum
        How that share goes on: it stays ``constant``, or it goes to ``final_share`` in a straight
        line (``linear``) or along half a period of a cosine, slow at both ends (``cosine``).
    final_share
        With a curriculum, share of synthetic pairs in the last mini-batch.
    synthetic_weight
        Factor on the loss of a synthetic pair.
    augment
        Whether patches are turned, mirrored and mildly recoloured.
    stain_jitter
        How much the amounts of stain vary from patch to patch
        (:class:`~c2lst.data.stain.StainJitter`), beyond that; 0 for not at all.
    average_turns
        Whether a prediction is the average over the eight turns and mirrors of a patch.
    validation_share
        Share of the spots of each fold's training that are held out, with all that was made from
        them, to end it early and to keep the best weights; 0 for no early stopping. There are 20
        checks in a training of full length.
    patience
        Checks in a row without a new best after which a training ends; 20 or more for never, so
        that a curriculum comes to its end.
    seed
        Of folds, initial weights, data order and augmentation.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    network: str = "resnet-tiny"
    encoder: str = "auto"
    head_width: int = 0
    folds: int = 5
    steps: int = 200
    batch_size: int = 32
    learning_rate: float = 3e-4
    weight_decay: float = 1e-2
    precision: Literal["fp32", "bf16"] = "fp32"
    synthetic_ratio: int | None = None
    synthetic_share: float = 0.5
    curriculum: Curriculum = "constant"
    final_share: float = 0.0
    synthetic_weight: float = 1.0
    augment: bool = True
    stain_jitter: float = 0.0
    average_turns: bool = True
    validation_share: float = 0.0
    patience: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        where = "co-training settings"
        hold(
            self,
            where,
            head_width=whole(),
            folds=whole(2),
            steps=whole(1),
            batch_size=whole(2),
            learning_rate=at_least(0),
            weight_decay=at_least(0),
            synthetic_ratio=whole(1).or_none(),
            synthetic_share=share(),
            curriculum=one_of(Curriculum),
            final_share=share(),
            synthetic_weight=at_least(0),
            stain_jitter=share(),
            validation_share=share(all_=False),
            patience=whole(1),
            seed=whole(),
        )
        if self.network == FROZEN:  # Features are computed once; jitter changes each step's image.
            hold(
                self,
                where,
                stain_jitter=Rule(lambda jitter: not jitter, "0, as the encoder is frozen"),
            )

    @property
    def shares(self) -> tuple[float, float]:
        """Share of synthetic pairs in the first and in the last mini-batch."""
        final = self.synthetic_share if self.curriculum == "constant" else self.final_share
        return self.synthetic_share, final

    def share_at(self, step: int) -> float:
        """Share of synthetic pairs in the mini-batch of the update ``step`` (from 0)."""
        first, last = self.shares
        done = step / max(1, self.steps - 1)
        if self.curriculum == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        return first + (last - first) * done

    def training(self, fold: int) -> TrainSettings:
        """Return the settings of the training loop for one fold's network.

        There is no moving average of the weights: running statistics of batch normalisation
        belong to the raw weights and are not averaged with them.
        """
        return TrainSettings(
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup=0.05,
            schedule="cosine",
            ema_decay=None,
            precision=self.precision,
            seed=mix_seed(self.seed, fold),
        )

    def plain(self) -> dict[str, Any]:
        """Return the fields of this class, without those that a predictor's settings add."""
        values = asdict(self)
        return {f.name: values[f.name] for f in fields(CotrainingSettings)}


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

    def __post_init__(self) -> None:
        super().__post_init__()
        numbers = ("components", "feature_components", "network_components")
        hold(self, "predictor settings", **dict.fromkeys(numbers, whole(1)))
