"""What looks at the patches of a benchmark: an encoder of the registry, or a central model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.stain import StainReference
from c2lst.errors import InputError
from c2lst.prediction.encoders import CENTRAL, CentralEncoder, registered

if TYPE_CHECKING:
    from c2lst.benchmark.settings import BenchmarkSettings
    from c2lst.central import CentralModel
    from c2lst.data.section import Section
    from c2lst.evaluation.encoders import ImageEncoder

_SAME = 0.01


@dataclass(frozen=True, eq=False)
class Looking:
    """Encoders of a benchmark, and the stain in which they see its patches.

    Parameters
    ----------
    encoder
        Of the features that all methods but networks read.
    upright
        Of a frozen network, which meets the turns of a patch one by one.
    stain
        What patches are brought to, if they are.
    """

    encoder: ImageEncoder
    upright: ImageEncoder
    stain: StainReference

    @classmethod
    def of(
        cls, settings: BenchmarkSettings, central: str | Path | None, sections: Sequence[Section]
    ) -> Looking:
        """Make what settings ask for.

        Parameters
        ----------
        settings
            Its encoder is one of the registry, or ``central``.
        central
            The central model, as :meth:`~c2lst.central.CentralModel.load` takes it.
        sections
            Of patches of one width. The model warns where it was trained on them.

        Raises
        ------
        InputError
            If there is no such encoder, or patches show less than the central model sees.
        """
        if (settings.encoder == CENTRAL) != (central is not None):
            raise InputError(
                "benchmark", "a central model and the encoder central belong together",
                found=f"encoder {settings.encoder}, central model {central or 'none'}",
                remedy="give both --encoder central and --central MODEL, or neither",
            )  # fmt: skip
        if central is None:
            # The standard stain is no section's: what a section looks like depends on no fold.
            encoder = registered(settings.encoder)
            return cls(encoder, encoder, StainReference.standard())
        from c2lst.central import CentralModel
        from c2lst.diffusion.features import TURNS

        model = CentralModel.load(central)
        crop = _crop(model, sections[0].patches.patch_um, sections[0].patches.size)
        for section in sections:
            model.warn_if_seen(section)
        averaged = Resampling(CentralEncoder(model, TURNS), crop, model.size)
        upright = Resampling(CentralEncoder(model), crop, model.size)
        return cls(averaged, upright, model.stain)


class Resampling:
    """An encoder of patches that are wider or finer than it takes them.

    Parameters
    ----------
    encoder
        What encodes.
    crop
        Central share of a patch's width that it sees, in (0, 1].
    size
        Width in px that it takes.
    """

    def __init__(self, encoder: CentralEncoder, crop: float, size: int) -> None:
        self._encoder, self._crop, self._size = encoder, crop, size
        self.name, self.label = encoder.name, encoder.label
        self.identity = f"{encoder.identity}, {crop:.4g} of the width"

    def encode(self, images: np.ndarray) -> np.ndarray:
        """Return float32 features ``(n, d)`` of uint8 RGB patches ``(n, S, S, 3)``."""
        from PIL import Image

        from c2lst.data.collections.pixels import square

        side = self._crop * images.shape[1]
        return self._encoder.encode(
            np.stack([square(Image.fromarray(image), side, self._size) for image in images])
        )


def _crop(model: CentralModel, patch_um: float, size: int) -> float:
    """Return the share of a patch's width that the model sees."""
    share = model.patch_um / patch_um
    share = 1.0 if abs(share - 1) <= _SAME else share
    if share > 1 or round(size * share) < model.size:
        raise InputError(
            "benchmark", "patches show less than the central model sees",
            found=f"{patch_um:g} µm in {size} px",
            expected=f"{model.patch_um:g} µm in {model.size} px, or more of both",
            remedy=f"read the sections with --patch-um {model.patch_um:g} --size {model.size}",
        )  # fmt: skip
    return share
