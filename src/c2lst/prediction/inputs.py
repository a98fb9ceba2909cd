"""What a kind of network reads of patches, how that is varied in training, and the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from c2lst.data.stain import StainJitter
from c2lst.devices import best_device
from c2lst.diffusion.draws import Draws
from c2lst.diffusion.noise import dihedral
from c2lst.prediction.networks import build_network, predict_patches, recalibrate, to_unit
from c2lst.prediction.options import CotrainingSettings
from c2lst.prediction.pairs import Pairs

COLOUR_GAIN, COLOUR_SHIFT = 0.05, 0.03


class Inputs(Protocol):
    """Between patches and a kind of network.

    Attributes
    ----------
    identity
        Name and label of an encoder that is not saved with the network; none without such.
    """

    @property
    def identity(self) -> Mapping[str, str] | None:
        """Return it."""

    def read(self, images: Any) -> np.ndarray:
        """Return what a network is trained on and predicts from, of uint8 patches (n, S, S, 3)."""

    def plain(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Return a batch of that as the network takes it."""

    def varied(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Return the same with the augmentation of a training step."""

    def build(self, pairs: Pairs) -> nn.Module:
        """Build an untrained network for these pairs."""

    def rebuild(self, state: Mapping[str, Tensor], n_genes: int, size: int) -> nn.Module:
        """Build the network of a state that was saved."""

    def settle(self, network: nn.Module, pairs: Pairs) -> None:
        """Make a network ready to predict, knowing the inputs that it was trained on."""

    def predict(self, network: nn.Module, inputs: np.ndarray) -> np.ndarray:
        """Predict standardised expression, float32 (n, G), from what :meth:`read` returned."""


@dataclass(frozen=True)
class PatchInputs:
    """Pixels, for the networks of :data:`~c2lst.prediction.networks.ARCHITECTURES`.

    Parameters
    ----------
    settings
        Architecture and augmentation.
    jitter
        How stain varies from patch to patch; None for not at all.
    """

    settings: CotrainingSettings
    jitter: StainJitter | None = None

    @property
    def identity(self) -> None:
        """Return None: a network on pixels is saved whole."""

    def read(self, images: Any) -> np.ndarray:
        """Return the patches themselves."""
        return np.asarray(images)

    def plain(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Return pixels in [0, 1]."""
        return to_unit(inputs)

    def varied(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Return pixels in [0, 1], turned, mirrored and re-stained as the settings say."""
        augment = self.settings.augment
        images = to_unit(inputs)
        if augment:
            images = dihedral(images, draws.integers(8))
        if self.jitter is not None:
            uniform = draws.uniform((self.jitter.numbers,))
            images = (self.jitter.apply(2 * images - 1, uniform) + 1) / 2
        return _recolour(images, draws) if augment else images

    def build(self, pairs: Pairs) -> nn.Module:
        """Build an untrained network; its weights follow torch's global seed."""
        return build_network(self.settings.network, pairs.targets.shape[1], pairs.inputs.shape[1])

    def rebuild(self, state: Mapping[str, Tensor], n_genes: int, size: int) -> nn.Module:
        """Build the network of a state that was saved."""
        network = build_network(self.settings.network, n_genes, size)
        network.load_state_dict(state)
        return network.to(best_device()).eval()

    def settle(self, network: nn.Module, pairs: Pairs) -> None:
        """Set the statistics of batch normalisation to those of the pairs' patches."""
        recalibrate(network, pairs.inputs[pairs.rows])

    def predict(self, network: nn.Module, inputs: np.ndarray) -> np.ndarray:
        """Predict standardised expression, float32 (n, G)."""
        return predict_patches(network, inputs, average_turns=self.settings.average_turns)


def _recolour(images: Tensor, draws: Draws) -> Tensor:
    """Scale and shift each channel a little: what is left of stain after normalisation."""
    gain = 1 + COLOUR_GAIN * draws.normal((3, 1, 1))
    shift = COLOUR_SHIFT * draws.normal((3, 1, 1))
    return (images * gain + shift).clamp(0, 1)


@dataclass(frozen=True)
class AbsoluteError:
    """Loss per sample: the mean over genes of the absolute error (C2L-ST), times its weight.

    Genes that were not measured do not count.

    Parameters
    ----------
    view
        How a network sees a batch of inputs: :meth:`Inputs.varied` or :meth:`Inputs.plain`.
    """

    view: Callable[[Tensor, Draws], Tensor]

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], draws: Draws) -> Tensor:
        """Return the loss (B,) of a batch of :class:`~c2lst.prediction.pairs.PairSource`."""
        targets = batch["targets"]
        measured = targets.isfinite()
        error = model(self.view(batch["inputs"], draws)).float() - targets.nan_to_num()
        mean = (error.abs() * measured).sum(dim=1) / measured.sum(dim=1)
        return mean * batch["weights"]
