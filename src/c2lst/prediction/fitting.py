"""One network of any kind, trained on one source of pairs in the one training loop."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from c2lst.data.stain import StainJitter, StainReference
from c2lst.devices import best_device
from c2lst.diffusion.numerics import own_randomness
from c2lst.diffusion.processes import Processes
from c2lst.diffusion.trainer import EarlyStopping, TrainHistory, train
from c2lst.prediction.frozen import FrozenInputs
from c2lst.prediction.inputs import AbsoluteError, Inputs, PatchInputs
from c2lst.prediction.options import FROZEN, CotrainingSettings
from c2lst.prediction.pairs import Pairs, PairSource

if TYPE_CHECKING:
    from c2lst.evaluation.encoders import ImageEncoder


def inputs_for(
    settings: CotrainingSettings,
    *,
    encoder: ImageEncoder | None = None,
    known: Mapping[str, str] | None = None,
    stain: StainReference | None = None,
    directory: Path | None = None,
) -> Inputs:
    """Return what a kind of network reads of patches.

    Parameters
    ----------
    settings
        The network, and how patches are varied.
    encoder, known, directory
        Of :class:`~c2lst.prediction.frozen.FrozenInputs`.
    stain
        The stain that the patches have; without, it is not varied, as it is not in prediction.
    """
    if settings.network == FROZEN:
        return FrozenInputs(settings, encoder, known=known, directory=directory)
    if stain is None or not settings.stain_jitter:
        return PatchInputs(settings)
    return PatchInputs(settings, StainJitter(stain, settings.stain_jitter))


def fit_network(
    inputs: Inputs,
    source: PairSource,
    settings: CotrainingSettings,
    *,
    fold: int = 0,
    held_out: Pairs | None = None,
    directory: Path | None = None,
    label: str = "network",
) -> tuple[nn.Module, TrainHistory]:
    """Train a network, and leave it ready to predict.

    Parameters
    ----------
    inputs
        What kind of network it is.
    source
        The pairs.
    settings
        How to train.
    fold
        Number by which its weights, data order and augmentation differ from those of others.
    held_out
        Real pairs that end the training early; none to take all steps.
    directory
        Where checkpoints go; an interrupted training continues there.
    label
        What the progress bar says.
    """
    training = settings.training(fold)
    settled = source.real if len(source.real) else source.synthetic
    with own_randomness(best_device()):
        torch.manual_seed(training.seed)
        network = inputs.build(settled)
    history = train(
        network,
        AbsoluteError(inputs.varied),
        source,
        training,
        directory=directory,
        label=label,
        stopping=_Stopping(inputs, settled, held_out, settings.patience) if held_out else None,
        about={
            "cotraining": settings.plain(),
            "pairs": source.digest,
            "held_out": held_out.digest if held_out else "",
        },
    )
    inputs.settle(network, settled)
    return network, history


class _Stopping(EarlyStopping):
    """Holds networks against real spots as they will be used: settled, on plain inputs."""

    def __init__(self, inputs: Inputs, settled: Pairs, held_out: Pairs, patience: int) -> None:
        super().__init__(
            AbsoluteError(inputs.plain), PairSource.of_real(held_out), patience=patience
        )
        self._inputs, self._settled = inputs, settled

    def check(
        self,
        model: nn.Module,
        weights: Mapping[str, Tensor],
        step: int,
        history: TrainHistory,
        processes: Processes,
    ) -> float:
        # Training never reads the statistics that this sets, and they are part of a checkpoint.
        self._inputs.settle(model, self._settled)
        return super().check(model, weights, step, history, processes)
