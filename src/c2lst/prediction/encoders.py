"""The encoder of a frozen network: one of the registry, or the central model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from c2lst.errors import InputError
from c2lst.evaluation.encoders import CachedEncoder, ImageEncoder, get_encoder
from c2lst.prediction.networks import ARCHITECTURES
from c2lst.prediction.options import FROZEN, NETWORKLESS, CotrainingSettings

if TYPE_CHECKING:
    from c2lst.central import CentralModel
    from c2lst.evaluation.encoders.protocol import IdentifiedEncoder

CENTRAL = "central"
"""The name by which settings ask for the central model as encoder."""

UPRIGHT = (0,)
"""No quarter turn: a patch as it lies."""


class CentralEncoder:
    """The central model as an encoder.

    :meth:`CentralModel.encode <c2lst.central.CentralModel.encode>` averages over the quarter turns
    of a patch. A frozen network meets these turns one by one, so that by default each is read
    alone.

    Parameters
    ----------
    model
        What encodes. Patches have to be of its size, and of its stain.
    turns
        Quarter turns to average over.
    """

    name = CENTRAL

    def __init__(self, model: CentralModel, turns: Sequence[int] = UPRIGHT) -> None:
        self._model, self._turns = model, tuple(turns)
        how = "upright" if self._turns == UPRIGHT else f"mean of {len(self._turns)} turns"
        self.label = f"central model {model.hash[:12]}, {how}"
        self.identity = f"central model {model.hash}, {how}"

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Return float32 features ``(n, d)`` of uint8 RGB patches ``(n, S, S, 3)``."""
        from c2lst.devices import best_device
        from c2lst.diffusion.features import denoiser_features, joined

        unet = self._model.unet.to(best_device())
        return joined(denoiser_features(unet, self._model.process, images, turns=self._turns))


def check_network(settings: CotrainingSettings) -> None:
    """Refuse settings that name no network or no encoder, before any work is done.

    Raises
    ------
    InputError
        If the network or the encoder is unknown, or an encoder is named and no network is frozen.
    """
    known = (*ARCHITECTURES, FROZEN, NETWORKLESS)
    if settings.network not in known:
        raise InputError("settings", "network", found=settings.network, expected=", ".join(known))
    if settings.network == FROZEN:
        encoder_identity(settings.encoder)
    elif settings.encoder != CotrainingSettings.encoder:
        refuse_unused(settings.encoder, settings.network)


def refuse_unused(encoder: str, networks: str) -> None:
    """Refuse an encoder that no network would read."""
    raise InputError(
        "settings",
        f"encoder {encoder!r} is of a frozen network",
        found=f"network {networks}",
        expected=f"network {FROZEN}",
    )


def encoder_identity(name: str) -> str:
    """Say what changes with whatever changes a feature, for the encoder of that name.

    Of the central model, whose weights have a hash of their own, it is the name alone.

    Raises
    ------
    InputError
        If there is no such encoder, or its weights are not to be had.
    """
    if name == CENTRAL:
        return CENTRAL
    encoder = registered(name)
    return str(getattr(encoder, "identity", encoder.label))


def encoder_of(
    settings: CotrainingSettings, central: str | Path, *, kept: Path | None = None
) -> ImageEncoder | None:
    """Make the encoder that settings ask for; None for a network that reads pixels.

    Parameters
    ----------
    settings
        Network and encoder.
    central
        The central model, as :meth:`~c2lst.central.CentralModel.load` takes it; read only where it
        encodes.
    kept
        Where features are kept by the content of images and the identity of the encoder, if it
        keeps none itself.

    Raises
    ------
    InputError
        If there is no such encoder.
    """
    from c2lst.central import CentralModel

    if settings.network != FROZEN:
        return None
    if settings.encoder == CENTRAL:
        encoder: ImageEncoder = CentralEncoder(CentralModel.load(central))
    else:
        encoder = registered(settings.encoder)
    return encoder if kept is None else keeping(encoder, kept)


def keeping(encoder: ImageEncoder, folder: Path) -> ImageEncoder:
    """Return the encoder, with a memory where it has none and can have one."""
    if isinstance(encoder, CachedEncoder) or not hasattr(encoder, "identity"):
        return encoder
    return CachedEncoder(cast("IdentifiedEncoder", encoder), folder)


def registered(name: str) -> ImageEncoder:
    """Make an encoder of the registry.

    Raises
    ------
    InputError
        If there is none of that name; it says that settings may ask for the central model, too.
    """
    try:
        return get_encoder(name)
    except InputError as error:
        if error.problem != "unknown name":
            raise
        # The registry does not know of the central model.
        raise InputError(
            "encoder", error.problem, found=name, expected=f"{CENTRAL}, {error.expected}"
        ) from None
