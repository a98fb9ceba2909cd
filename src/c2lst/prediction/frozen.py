"""Networks whose encoder is frozen: features are computed once, and only a small head trains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from c2lst.devices import best_device
from c2lst.diffusion.draws import Draws
from c2lst.errors import InputError
from c2lst.evaluation.encoders import ImageEncoder, get_encoder
from c2lst.prediction.encoders import CENTRAL, keeping
from c2lst.prediction.networks import small_head
from c2lst.prediction.options import CotrainingSettings
from c2lst.prediction.pairs import Pairs
from c2lst.progress import progress_bar, quietly

WAYS = 8
"""Turns and mirrors of a square patch."""

FARTHEST = 4.0
"""Standard deviations to which a feature is clipped."""

AT_ONCE = 128


class FrozenHead(nn.Module):
    """Standardised features, mapped to standardised genes.

    Features are divided by the root of their number, so that a step of the optimiser changes a
    prediction by much the same whether an encoder has fifty of them or two thousand.

    Parameters
    ----------
    features, n_genes
        Numbers of them.
    width
        Of the hidden layer; 0 for none.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: int, n_genes: int, width: int = 0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.hidden: nn.Module = nn.Identity()
        if width:
            first = nn.Linear(features, width)
            nn.init.normal_(first.weight)
            self.hidden = nn.Sequential(first, nn.GELU())
        self.head = small_head(width or features, n_genes)

    def standardise(self, features: np.ndarray) -> None:
        """Take mean and spread from features (n, d); one that does not vary counts as it is."""
        values = torch.from_numpy(np.asarray(features, dtype=np.float64))
        spread = values.std(dim=0, correction=0)
        self.mean.copy_(values.mean(dim=0))
        self.scale.copy_(torch.where(spread > 1e-6 * values.abs().amax(dim=0), spread, 1.0))

    def forward(self, features: Tensor) -> Tensor:
        """Standardised expression (B, G) of features (B, d)."""
        # What hardly varied over a few training spots may be far out elsewhere.
        scaled = ((features - self.mean) / self.scale).clamp(-FARTHEST, FARTHEST)
        expression: Tensor = self.head(self.hidden(scaled / features.shape[1] ** 0.5))
        return expression


class FrozenInputs:
    """Features of a frozen encoder, upright and, where that is asked for, of all turns.

    Parameters
    ----------
    settings
        The head, augmentation and averaging.
    encoder
        What encodes; None takes the one of that name from the registry when it is needed.
    known
        ``name`` and ``label`` of the encoder that heads were trained on, where there are heads.
    directory
        Where features are kept, by the content of images: folds, ratios and a training that goes
        on find them there. An encoder that keeps them itself keeps them where it does.

    Raises
    ------
    InputError
        If there is no encoder, or another one than the heads were trained on.
    """

    def __init__(
        self,
        settings: CotrainingSettings,
        encoder: ImageEncoder | None,
        *,
        known: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        if encoder is None and known is None:
            raise InputError(
                "network", "a frozen network needs an encoder", remedy="say which, by `encoder`"
            )
        self.settings, self._known = settings, known
        self._encoder = None if encoder is None else _checked(encoder, known)
        self._directory = directory

    @property
    def encoder(self) -> ImageEncoder:
        """The encoder; of the registry, if none was given."""
        if self._encoder is None:
            assert self._known is not None
            if self._known["name"] == CENTRAL:
                raise InputError(
                    "network",
                    "was trained on features of a central model",
                    expected=self._known["label"],
                    remedy="give that model as its `encoder`",
                )
            chosen = self.settings.encoder
            name = self._known["name"] if chosen == CotrainingSettings.encoder else chosen
            self._encoder = _checked(get_encoder(name), self._known)
        return self._encoder

    @property
    def identity(self) -> dict[str, str]:
        """Name and label of the encoder."""
        if self._known is not None:
            return dict(self._known)
        return {"name": self.encoder.name, "label": self.encoder.label}

    def read(self, images: Any) -> np.ndarray:
        """Return features float32 (n, V, d) of patches: of all V turns, or of the upright alone."""
        turned = self.settings.augment or self.settings.average_turns
        ways, encoder, parts = WAYS if turned else 1, self.encoder, []
        if self._directory is not None:
            encoder = keeping(encoder, self._directory)
        with progress_bar(f"{encoder.name} features", len(images)) as bar, quietly():
            for start in range(0, len(images), AT_ONCE):
                some = np.asarray(images[start : start + AT_ONCE])
                views = np.concatenate([_turned(some, way) for way in range(ways)])
                features = encoder.encode(views).reshape(ways, len(some), -1)
                parts.append(np.ascontiguousarray(features.transpose(1, 0, 2), dtype=np.float32))
                bar.advance(len(some))
        return np.concatenate(parts)

    def plain(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Return the features of upright patches."""
        return inputs[:, 0]

    def varied(self, inputs: Tensor, draws: Draws) -> Tensor:
        """Return the features of one of the turns of each patch."""
        if not self.settings.augment:
            return inputs[:, 0]
        return inputs[torch.arange(len(inputs), device=inputs.device), draws.integers(WAYS)]

    def build(self, pairs: Pairs) -> nn.Module:
        """Build an untrained head; its weights follow torch's global seed."""
        features = pairs.inputs[pairs.rows, 0]
        head = FrozenHead(features.shape[1], pairs.targets.shape[1], self.settings.head_width)
        head.standardise(features)
        return head

    def rebuild(self, state: Mapping[str, Tensor], n_genes: int, size: int) -> nn.Module:
        """Build the head of a state that was saved."""
        head = FrozenHead(len(state["mean"]), n_genes, self.settings.head_width)
        head.load_state_dict(state)
        return head.to(best_device()).eval()

    def settle(self, network: nn.Module, pairs: Pairs) -> None:
        """Make a head ready to predict."""
        network.eval()

    @torch.no_grad()
    def predict(self, network: nn.Module, inputs: np.ndarray) -> np.ndarray:
        """Predict standardised expression, float32 (n, G), from features (n, V, d)."""
        network.eval()
        device = next(network.parameters()).device
        views = inputs if self.settings.average_turns else inputs[:, :1]
        rows = []
        for start in range(0, len(views), AT_ONCE):
            some = torch.from_numpy(views[start : start + AT_ONCE]).to(device)
            predicted = network(some.flatten(0, 1)).unflatten(0, some.shape[:2])
            rows.append(predicted.mean(dim=1).float().cpu().numpy())
        return np.concatenate(rows)


def _turned(images: np.ndarray, way: int) -> np.ndarray:
    """Turn and mirror all images (n, S, S, 3) by one of eight ways."""
    turned = np.rot90(images, way % 4, axes=(1, 2))
    return turned[:, :, ::-1] if way >= 4 else turned


def _checked(encoder: ImageEncoder, known: Mapping[str, str] | None) -> ImageEncoder:
    found = {"name": encoder.name, "label": encoder.label}
    if known is not None and found != dict(known):
        raise InputError(
            "network",
            "was trained on features of another encoder",
            found=found["label"],
            expected=known["label"],
        )
    return encoder
