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

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from c2lst.diffusion.checkpoint import TrainHistory
from c2lst.diffusion.weights import read_tensors
from c2lst.errors import InputError
from c2lst.prediction.encoders import CENTRAL, CentralEncoder
from c2lst.prediction.fitting import fit_network, inputs_for
from c2lst.prediction.folds import (
    check_pairs,
    draw_folds,
    draw_validation,
    first_pairs,
    visible_pairs,
)
from c2lst.prediction.inputs import Inputs
from c2lst.prediction.options import CotrainingSettings
from c2lst.prediction.pairs import Pairs
from c2lst.storage import read_json, whole_directory, write_json

if TYPE_CHECKING:
    from c2lst.central import CentralModel
    from c2lst.data.stain import StainReference
    from c2lst.data.synthetic import SyntheticPairs
    from c2lst.evaluation.encoders import ImageEncoder

__all__ = ["CotrainingSettings", "CrossFittedNetwork"]

_META = "network.json"


@dataclass(frozen=True, eq=False)
class CrossFittedNetwork:
    """One network per fold, and what each predicts for the training spots it never saw.

    Parameters
    ----------
    settings
        How they were trained.
    inputs
        What they read of a patch.
    size
        Width of the patches in px.
    networks
        In evaluation mode, one per fold.
    barcodes, folds
        Training spots and the fold of each: (n,).
    out_of_fold
        Standardised predictions of the training spots, float32 (n, G).
    synthetic_pairs
        How many synthetic pairs were learnt from; 0 for the twin of real spots alone.
    histories
        Losses, one per fold; empty after loading.
    """

    settings: CotrainingSettings
    inputs: Inputs
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
        encoder: ImageEncoder | None = None,
        stain: StainReference | None = None,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
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
        encoder
            The encoder of a ``frozen`` network.
        stain
            The stain that the patches have; needed by ``stain_jitter``.
        validation
            Images and targets of sequenced spots that end every training early, such as the
            validation spots of a split; else the settings say which share is held out.
        directory
            Where checkpoints and features go; an interrupted training continues there.
        label
            What the progress bar says.

        Raises
        ------
        InputError
            If there are fewer than four spots, the pairs are of other spots, genes or sizes, or
            the encoder or the stain is missing.
        """
        images, barcodes = np.asarray(images), np.asarray(barcodes, dtype=str)
        targets = np.asarray(targets, dtype=np.float32)
        check_pairs(images, targets, barcodes, synthetic)
        if settings.stain_jitter and stain is None:
            raise InputError(
                "network", "stain_jitter needs the stain that the patches have", expected="`stain`"
            )
        if synthetic is not None and settings.synthetic_ratio is not None:
            synthetic = first_pairs(synthetic, barcodes, settings.synthetic_ratio)
        kept = directory / "features" if directory else None
        inputs = inputs_for(settings, encoder=encoder, stain=stain, directory=kept)
        real, drawn = Pairs.all_of(inputs.read(images), targets), None
        if synthetic is not None:
            drawn = Pairs.all_of(inputs.read(synthetic.images), synthetic.scaled)
        watched, share = None, settings.validation_share
        if validation is not None:
            watched, share = Pairs.all_of(inputs.read(validation[0]), validation[1]), 0.0
        folds = draw_folds(len(images), settings.folds, settings.seed)
        out_of_fold = np.empty_like(targets)
        networks, histories = [], []
        for fold in range(folds.max() + 1):
            held_out = draw_validation(folds, fold, share, settings.seed)
            hidden = held_out | (folds == fold)
            network, history = fit_network(
                inputs,
                visible_pairs(real, barcodes, hidden, settings, synthetic, drawn),
                settings,
                fold=fold,
                held_out=watched or real.where(held_out),
                directory=directory / f"fold-{fold}" if directory else None,
                label=f"{label} {fold + 1}/{folds.max() + 1}",
            )
            out_of_fold[folds == fold] = inputs.predict(network, real.inputs[folds == fold])
            networks.append(network)
            histories.append(history)
        return cls(
            settings=settings,
            inputs=inputs,
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

        Raises
        ------
        InputError
            If patches have another size, or the encoder of frozen networks is not to be had.
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
        read = self.inputs.read(images)
        return np.mean([self.inputs.predict(network, read) for network in self.networks], axis=0)

    def save(self, directory: str | Path) -> None:
        """Write the networks and their out-of-fold predictions (safetensors and JSON).

        Of a frozen encoder, name and label are written.
        """
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
                    "settings": self.settings.plain(),
                    "encoder": self.inputs.identity,
                    "size": self.size,
                    "barcodes": self.barcodes.tolist(),
                    "synthetic_pairs": self.synthetic_pairs,
                },
            )

    @classmethod
    def load(
        cls,
        directory: str | Path,
        *,
        encoder: ImageEncoder | None = None,
        central: CentralModel | None = None,
    ) -> CrossFittedNetwork:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        directory
            Where it lies.
        encoder
            The encoder of frozen networks; without, the registry's of that name, when it is needed.
        central
            The central model, which is the encoder of networks that were trained on its features.

        Raises
        ------
        InputError
            If the encoder is another one than the networks were trained on.
        """
        directory = Path(directory)
        meta: dict[str, Any] = read_json(
            directory / _META, required=("settings", "size", "barcodes", "synthetic_pairs")
        )
        settings, size = CotrainingSettings(**meta["settings"]), int(meta["size"])
        arrays = read_tensors(directory / "out_of_fold.safetensors")
        folds, out_of_fold = arrays["folds"].numpy(), arrays["out_of_fold"].numpy()
        known = meta.get("encoder")
        if encoder is None and central is not None and known and known["name"] == CENTRAL:
            encoder = CentralEncoder(central)
        inputs = inputs_for(settings, encoder=encoder, known=known)
        states = [
            read_tensors(directory / f"fold-{fold}.safetensors") for fold in range(folds.max() + 1)
        ]
        return cls(
            settings=settings,
            inputs=inputs,
            size=size,
            networks=tuple(inputs.rebuild(s, out_of_fold.shape[1], size) for s in states),
            barcodes=np.array(meta["barcodes"], dtype=str),
            folds=folds,
            out_of_fold=out_of_fold,
            synthetic_pairs=int(meta["synthetic_pairs"]),
        )
