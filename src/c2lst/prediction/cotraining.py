"""Train networks on real and synthetic pairs, and predict every spot out of sample.

C2L-ST trains one network on real ∪ synthetic pairs. Here it is cross-fitted: the training spots
are cut into folds, and the network of a fold sees neither its real spots nor anything that was
synthesised from their profiles. Training spots then have predictions as honest as those of unseen
spots, which is what the Gaussian process has to learn from.

What cross-fitting does not undo: the local model that drew the synthetic images was adapted to all
training spots, so an image synthesised from another spot's profile may still carry a trace of a
spot of the fold. No held-out *test* spot is touched by either.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from c2lst.data.synthetic import PARENT_SEPARATOR
from c2lst.diffusion.checkpoint import TrainHistory
from c2lst.diffusion.draws import Draws, mix_seed
from c2lst.diffusion.noise import dihedral
from c2lst.diffusion.trainer import TrainSettings, train
from c2lst.errors import InputError
from c2lst.prediction.networks import build_network, predict_patches, recalibrate, to_unit
from c2lst.storage import read_json, whole_directory, write_json

if TYPE_CHECKING:
    from c2lst.data.synthetic import SyntheticPairs

COLOUR_GAIN, COLOUR_SHIFT = 0.05, 0.03

_META = "network.json"


@dataclass(frozen=True)
class CotrainingSettings:
    """How a network is trained on real and synthetic pairs.

    Parameters
    ----------
    network
        Name of an architecture (:data:`~c2lst.prediction.networks.ARCHITECTURES`).
    folds
        Parts that the training spots are cut into.
    steps
        Optimiser steps of each fold's network, *whatever the data*: the twin trained on real
        spots alone has the same number (step-matched control).
    batch_size, learning_rate, weight_decay, precision
        Of the training loop. Cosine schedule with 5 % warm-up (paper); the rest is ours.
    synthetic_share
        Share of synthetic pairs in every mini-batch; 1 for synthetic only.
    synthetic_weight
        Factor on the loss of a synthetic pair.
    augment
        Whether patches are turned, mirrored and mildly recoloured.
    seed
        Of folds, initial weights, data order and augmentation.
    """

    network: str = "resnet-tiny"
    folds: int = 5
    steps: int = 200
    batch_size: int = 32
    learning_rate: float = 3e-4
    weight_decay: float = 1e-2
    precision: Literal["fp32", "bf16"] = "fp32"
    synthetic_share: float = 0.5
    synthetic_weight: float = 1.0
    augment: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 2 or self.steps < 1 or self.batch_size < 2:
            raise InputError(
                "co-training settings",
                "folds, steps, batch_size",
                found=(self.folds, self.steps, self.batch_size),
                expected="at least 2, 1 and 2",
            )
        if not 0 <= self.synthetic_share <= 1 or not self.synthetic_weight >= 0:
            raise InputError(
                "co-training settings",
                "synthetic_share, synthetic_weight",
                found=(self.synthetic_share, self.synthetic_weight),
                expected="a share in [0, 1] and a weight that is not negative",
            )

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


@dataclass(frozen=True, eq=False)
class PairSource:
    """Real and synthetic pairs, of which every batch has the stated mix.

    Parameters
    ----------
    images, targets
        Real pairs: uint8 (n, S, S, 3), standardised expression (n, G).
    synthetic_images, synthetic_targets
        Synthetic pairs (m, …); m may be 0.
    share
        Share of a batch that is synthetic, where both kinds are there.
    weight
        Factor on the loss of a synthetic pair.
    """

    images: np.ndarray
    targets: np.ndarray
    synthetic_images: np.ndarray
    synthetic_targets: np.ndarray
    share: float = 0.5
    weight: float = 1.0

    def __len__(self) -> int:
        real, synthetic = len(self.images), len(self.synthetic_images)
        if not synthetic or self.share == 0:
            return real
        if not real or self.share == 1:
            return synthetic
        # One pass meets every synthetic pair, and every real one equally often.
        return real * max(1, -(-synthetic // real))

    def synthetic_count(self, batch: int) -> int:
        """How many of ``batch`` samples are synthetic."""
        if not len(self.synthetic_images):
            return 0
        return batch if not len(self.images) else round(self.share * batch)

    def fetch(self, indices: np.ndarray) -> dict[str, Tensor]:
        """Return ``images`` uint8 (B, S, S, 3), ``targets`` (B, G) and ``weights`` (B,)."""
        count = self.synthetic_count(len(indices))
        drawn = indices[:count] % max(1, len(self.synthetic_images))
        real = indices[count:] % max(1, len(self.images))
        weights = np.ones(len(indices), dtype=np.float32)
        weights[:count] = self.weight
        return {
            "images": _joined(self.synthetic_images[drawn], self.images[real]),
            "targets": _joined(self.synthetic_targets[drawn], self.targets[real]),
            "weights": torch.from_numpy(weights),
        }


def _joined(first: np.ndarray, second: np.ndarray) -> Tensor:
    return torch.from_numpy(np.concatenate([first, second]))


@dataclass(frozen=True)
class AbsoluteError:
    """Loss per sample: the mean over genes of the absolute error (C2L-ST), times its weight."""

    augment: bool = True

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], draws: Draws) -> Tensor:
        """Return the loss (B,) of a batch of :class:`PairSource`."""
        images = to_unit(batch["images"])
        if self.augment:
            images = _recolour(dihedral(images, draws.integers(8)), draws)
        error = (model(images).float() - batch["targets"]).abs().mean(dim=1)
        return error * batch["weights"]


def _recolour(images: Tensor, draws: Draws) -> Tensor:
    """Scale and shift each channel a little: what is left of stain after normalisation."""
    gain = 1 + COLOUR_GAIN * draws.normal((3, 1, 1))
    shift = COLOUR_SHIFT * draws.normal((3, 1, 1))
    return (images * gain + shift).clamp(0, 1)


def draw_folds(n: int, folds: int, seed: int) -> np.ndarray:
    """Fold of each of ``n`` training spots, at random over the section: int (n,).

    There are at most n folds, and their sizes differ by one at most.
    """
    fold = np.empty(n, dtype=np.int64)
    fold[np.random.default_rng(seed).permutation(n)] = np.arange(n) % min(folds, n)
    return fold


def synthetic_outside(
    pairs: SyntheticPairs, allowed: np.ndarray, refused: np.ndarray
) -> np.ndarray:
    """Which synthetic pairs a network may see that must not know the ``refused`` spots: bool (m,).

    A pair with several parents, ``A+B``, needs all of them outside.

    Raises
    ------
    InputError
        If a pair was made from a spot that is no training spot at all.
    """
    known, hidden = set(allowed.tolist()), set(refused.tolist())
    parents = [_parents(source, known) for source in pairs.source_barcodes.tolist()]
    strangers = sorted({p for group in parents for p in group} - known)
    if strangers:
        raise InputError(
            "synthetic pairs",
            f"{len(strangers)} source barcodes are not training spots",
            found=repr(strangers[0]),
            expected="pairs synthesised from the training spots of this split",
            remedy="synthesise again with this split",
        )
    return np.array([not hidden.intersection(group) for group in parents], dtype=bool)


def _parents(source: str, known: set[str]) -> tuple[str, ...]:
    return (source,) if source in known else tuple(source.split(PARENT_SEPARATOR))


@dataclass(frozen=True, eq=False)
class CrossFittedNetwork:
    """One network per fold, and what each predicts for the training spots it never saw.

    Parameters
    ----------
    settings
        How they were trained.
    size
        Width of the patches in px.
    networks
        In evaluation mode, one per fold.
    barcodes, folds
        Training spots and the fold of each: (n,).
    out_of_fold
        Standardised predictions of the training spots, float32 (n, G).
    synthetic_pairs
        How many synthetic pairs were given; 0 for the twin of real spots alone.
    histories
        Losses, one per fold; empty after loading.
    """

    settings: CotrainingSettings
    size: int
    networks: tuple[nn.Module, ...]
    barcodes: np.ndarray
    folds: np.ndarray
    out_of_fold: np.ndarray
    synthetic_pairs: int
    histories: tuple[TrainHistory, ...] = ()

    @classmethod
    def fit(
        cls,
        images: np.ndarray,
        targets: np.ndarray,
        barcodes: np.ndarray,
        settings: CotrainingSettings,
        *,
        synthetic: SyntheticPairs | None = None,
        directory: Path | None = None,
        label: str = "network",
    ) -> CrossFittedNetwork:
        """Train a network per fold.

        Parameters
        ----------
        images, targets, barcodes
            Training spots only: stain-normalised uint8 (n, S, S, 3), standardised expression
            (n, G), barcodes (n,).
        settings
            How to train.
        synthetic
            Pairs made from these spots; none for the step-matched twin.
        directory
            Where checkpoints go; an interrupted training continues there.
        label
            What the progress bar says.

        Raises
        ------
        InputError
            If there are fewer than four spots, or the pairs are of other spots, genes or sizes.
        """
        images, barcodes = np.asarray(images), np.asarray(barcodes, dtype=str)
        targets = np.asarray(targets, dtype=np.float32)
        _check_pairs(images, targets, barcodes, synthetic)
        folds = draw_folds(len(images), settings.folds, settings.seed)
        out_of_fold = np.empty_like(targets)
        networks, histories = [], []
        for fold in range(folds.max() + 1):
            source = fold_source(images, targets, barcodes, folds, fold, settings, synthetic)
            network, history = _fit_one(
                source,
                settings,
                fold,
                directory / f"fold-{fold}" if directory else None,
                f"{label} {fold + 1}/{folds.max() + 1}",
            )
            out_of_fold[folds == fold] = predict_patches(network, images[folds == fold])
            networks.append(network)
            histories.append(history)
        return cls(
            settings=settings,
            size=images.shape[1],
            networks=tuple(networks),
            barcodes=barcodes,
            folds=folds,
            out_of_fold=out_of_fold,
            synthetic_pairs=0 if synthetic is None else len(synthetic),
            histories=tuple(histories),
        )

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Average the networks' standardised predictions of spots that none of them saw.

        Parameters
        ----------
        images
            Stain-normalised uint8 (q, S, S, 3).

        Returns
        -------
        numpy.ndarray
            float32 (q, G).
        """
        if images.shape[1:] != (self.size, self.size, 3):
            raise InputError(
                "network",
                "patches have another size",
                found=images.shape[1:],
                expected=(self.size, self.size, 3),
            )
        if not len(images):
            return np.empty((0, self.out_of_fold.shape[1]), dtype=np.float32)
        return np.mean([predict_patches(network, images) for network in self.networks], axis=0)

    def save(self, directory: str | Path) -> None:
        """Write the networks and their out-of-fold predictions (safetensors and JSON)."""
        from safetensors.numpy import save_file
        from safetensors.torch import save_file as save_tensors

        with whole_directory(directory) as partial:
            for fold, network in enumerate(self.networks):
                state = {k: v.cpu().contiguous() for k, v in network.state_dict().items()}
                save_tensors(state, partial / f"fold-{fold}.safetensors")
            arrays = {"folds": self.folds, "out_of_fold": self.out_of_fold}
            save_file(arrays, partial / "out_of_fold.safetensors")
            write_json(
                partial / _META,
                {
                    # A predictor's settings have more fields than a network needs.
                    "settings": {
                        f.name: getattr(self.settings, f.name) for f in fields(CotrainingSettings)
                    },
                    "size": self.size,
                    "barcodes": self.barcodes.tolist(),
                    "synthetic_pairs": self.synthetic_pairs,
                },
            )

    @classmethod
    def load(cls, directory: str | Path) -> CrossFittedNetwork:
        """Read what :meth:`save` wrote."""
        from safetensors.numpy import load_file
        from safetensors.torch import load_file as load_tensors

        directory = Path(directory)
        meta: dict[str, Any] = read_json(
            directory / _META, required=("settings", "size", "barcodes", "synthetic_pairs")
        )
        settings = CotrainingSettings(**meta["settings"])
        arrays = load_file(directory / "out_of_fold.safetensors")
        networks = []
        for fold in range(arrays["folds"].max() + 1):
            network = build_network(settings.network, arrays["out_of_fold"].shape[1], meta["size"])
            network.load_state_dict(load_tensors(directory / f"fold-{fold}.safetensors"))
            networks.append(network.eval())
        return cls(
            settings=settings,
            size=int(meta["size"]),
            networks=tuple(networks),
            barcodes=np.array(meta["barcodes"], dtype=str),
            folds=arrays["folds"],
            out_of_fold=arrays["out_of_fold"],
            synthetic_pairs=int(meta["synthetic_pairs"]),
        )


def fold_source(
    images: np.ndarray,
    targets: np.ndarray,
    barcodes: np.ndarray,
    folds: np.ndarray,
    fold: int,
    settings: CotrainingSettings,
    synthetic: SyntheticPairs | None,
) -> PairSource:
    """Pairs that the network of ``fold`` may see: nothing of the fold's spots, real or drawn."""
    kept = folds != fold
    if synthetic is None or settings.synthetic_share == 0:
        return PairSource(images[kept], targets[kept], images[:0], targets[:0], share=0.0)
    seen = synthetic_outside(synthetic, barcodes, barcodes[~kept])
    if not seen.any():
        raise InputError(
            "synthetic pairs",
            f"all of them come from the spots of fold {fold}",
            remedy="synthesise pairs from every training spot",
        )
    real = kept if settings.synthetic_share < 1 else np.zeros_like(kept)
    return PairSource(
        images[real],
        targets[real],
        np.asarray(synthetic.images)[seen],
        np.asarray(synthetic.scaled, dtype=np.float32)[seen],
        share=settings.synthetic_share,
        weight=settings.synthetic_weight,
    )


def _fit_one(
    source: PairSource,
    settings: CotrainingSettings,
    fold: int,
    directory: Path | None,
    label: str,
) -> tuple[nn.Module, TrainHistory]:
    training = settings.training(fold)
    size = max(source.images.shape[1], source.synthetic_images.shape[1])
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        network = build_network(settings.network, source.targets.shape[1], size)
    history = train(
        network,
        AbsoluteError(settings.augment),
        source,
        training,
        directory=directory,
        label=label,
    )
    recalibrate(network, source.images if len(source.images) else source.synthetic_images)
    return network, history


def _check_pairs(
    images: np.ndarray,
    targets: np.ndarray,
    barcodes: np.ndarray,
    synthetic: SyntheticPairs | None,
) -> None:
    if len(images) < 4:
        raise InputError(
            "network", "too few training spots", found=len(images), expected="at least 4"
        )
    if len(targets) != len(images) or len(barcodes) != len(images):
        raise InputError(
            "network",
            "images, targets and barcodes differ in number",
            found=(len(images), len(targets), len(barcodes)),
        )
    if synthetic is None:
        return
    if synthetic.images.shape[1:] != images.shape[1:]:
        raise InputError(
            "synthetic pairs",
            "patches have another size than the real ones",
            found=synthetic.images.shape[1:],
            expected=images.shape[1:],
        )
    if synthetic.scaled.shape[1] != targets.shape[1]:
        raise InputError(
            "synthetic pairs",
            "profiles have another number of genes",
            found=synthetic.scaled.shape[1],
            expected=targets.shape[1],
        )
