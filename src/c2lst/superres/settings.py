"""Settings of super-resolution: network, data, training; what can be left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.options import TrainSettings
from c2lst.errors import InputError
from c2lst.rules import at_least, hold, one_of, whole

Normalisation = Literal["log1p", "paper"]
Graph = Literal["correlation", "intensity_ratio"]
Distance = Literal["charbonnier", "squared"]

DIVISOR = 8
"""What the side of a window in bins is a multiple of: halved twice, then in windows of two."""

ABLATIONS = {
    "no-disentangle": {"disentangle": False},
    "no-modulation": {"modulation": False},
    "no-cell-attention": {"cell_attention": False},
    "no-curriculum": {"curriculum": False},
    "no-graph": {"graph_layer": False},
    "lr-only": {"use_image": False},
    "image-only": {"use_spots": False},
}
"""Components that can be left out, and the fields of the settings that do so."""


@dataclass(frozen=True)
class Components:
    """Which of the published components a network has; all by default.

    Parameters
    ----------
    disentangle
        Split features of image and spots into common and distinct parts, with its loss.
    modulation
        Cross-modal adaptive modulation of the distinct parts.
    cell_attention
        Cross-attention from tissue to cell crops.
    curriculum
        Crops of low entropy first.
    graph_layer
        Gene co-expression graph on the spots.
    use_image, use_spots
        The two conditions.
    """

    disentangle: bool = True
    modulation: bool = True
    cell_attention: bool = True
    curriculum: bool = True
    graph_layer: bool = True
    use_image: bool = True
    use_spots: bool = True

    def __post_init__(self) -> None:
        if not (self.use_image or self.use_spots):
            raise InputError(
                "ablations", "neither spots nor image are left", expected="one of them"
            )

    @classmethod
    def without(cls, ablations: Iterable[str]) -> Components:
        """Return all components but those left out, by names of ``ABLATIONS``.

        Raises
        ------
        InputError
            If a name is unknown, or nothing is left to go by.
        """
        changes: dict[str, bool] = {}
        for name in ablations:
            if name not in ABLATIONS:
                raise InputError(
                    "--ablate", "unknown name", found=name, expected=" or ".join(ABLATIONS)
                )
            changes |= ABLATIONS[name]
        return cls(**changes)


@dataclass(frozen=True)
class SuperresSettings:
    """How a model is built and trained.

    Parameters
    ----------
    training, regression
        Of the diffusion model, and of the plain U-Net regression beside it (a baseline; ``None``
        for none).
    process
        Noise levels and what the network predicts. The paper: 1000 levels, linear β, noise.
    scale
        Bins along the side of a spot: 10 or 5 in the paper.
    lr_size
        Spots along a window.
    width
        Channels of every level (128 in the paper).
    groups
        Of the group normalisation.
    window
        Side of the windows of the modulation, in px of the coarsest level.
    image_px
        Image px along a bin, given to the network as channels (1 in the paper).
    crop_px
        Side of a cell crop in image px (16 in the paper).
    components
        The published components.
    normalisation
        ``log1p`` with the scale of the training set, or ``paper``: min-max of each window and
        gene, which leaves no unit.
    residual
        Ask the network for what the bins differ by from interpolated spots (ours; not in the
        paper), where counts are shown as ``log1p``.
    graph
        Of co-expression: ``correlation``, or the paper's ``intensity_ratio``.
    distance
        Between target and prediction: ``charbonnier`` (the paper) or ``squared``.
    disentangling
        Weight of the disentangling loss.
    checkpointing
        Compute activations again in the backward pass, for less memory.
    """

    training: TrainSettings
    regression: TrainSettings | None = None
    process: NoiseProcess = field(
        default_factory=lambda: NoiseProcess(steps=1000, schedule="linear", prediction="epsilon")
    )
    scale: int = 10
    lr_size: int = 26
    width: int = 128
    groups: int = 32
    window: int = 2
    image_px: int = 1
    crop_px: int = 16
    components: Components = Components()
    normalisation: Normalisation = "log1p"
    residual: bool = False
    graph: Graph = "correlation"
    distance: Distance = "charbonnier"
    disentangling: float = 0.01
    checkpointing: bool = False

    def __post_init__(self) -> None:
        sizes = ("scale", "lr_size", "width", "groups", "window", "image_px", "crop_px")
        hold(
            self,
            "superres settings",
            normalisation=one_of(Normalisation),
            graph=one_of(Graph),
            distance=one_of(Distance),
            disentangling=at_least(0),
            **dict.fromkeys(sizes, whole(1)),
        )
        if self.width % (2 * self.groups) or self.scale < 2 or self.hr_size < DIVISOR:
            raise InputError(
                "superres settings", "width, groups, scale or lr_size",
                found=(self.width, self.groups, self.scale, self.lr_size),
                expected=f"whole groups in half a width, a scale of 2, windows of {DIVISOR} bins",
            )  # fmt: skip
        if (self.hr_size // 4) % self.window or (self.hr_size * self.image_px) % self.crop_px:
            raise InputError(
                "superres settings", "windows or cell crops do not fill a training window",
                found=(self.window, self.crop_px),
                expected=f"divisors of {self.hr_size // 4} and {self.hr_size * self.image_px}",
            )  # fmt: skip

    @property
    def hr_size(self) -> int:
        """Bins along a window: as many of its spots' as make a multiple of ``DIVISOR``.

        26 spots at 10× give the 256 bins of the paper, at 5× its 128.
        """
        return self.lr_size * self.scale // DIVISOR * DIVISOR

    @property
    def interpolates(self) -> bool:
        """Whether the network is asked for the rest alone: not where it may not know the spots."""
        return self.residual and self.normalisation == "log1p" and self.components.use_spots

    @property
    def crops(self) -> int:
        """Cell crops in a window (256 in the paper)."""
        return (self.hr_size * self.image_px // self.crop_px) ** 2

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON has them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SuperresSettings:
        """Read what :meth:`to_dict` gave.

        Raises
        ------
        InputError
            If a setting is unknown or missing.
        """
        try:
            known = dict(values)
            known["training"] = _training(known["training"])
            if known.get("regression") is not None:
                known["regression"] = _training(known["regression"])
            known["process"] = NoiseProcess(**known["process"])
            known["components"] = Components(**known["components"])
            return cls(**known)
        except (TypeError, KeyError, ValueError) as error:
            raise InputError(
                "superres settings",
                f"cannot be read ({error})",
                remedy="use the c2lst that wrote it",
            ) from error


def _training(values: dict[str, Any]) -> TrainSettings:
    return TrainSettings(**values | {"ema_lengths": tuple(values["ema_lengths"])})
