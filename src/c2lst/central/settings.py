"""How a central model is built and trained."""

from __future__ import annotations

from dataclasses import dataclass, replace

from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.trainer import TrainSettings
from c2lst.diffusion.unet import UNetShape
from c2lst.rules import hold, share


@dataclass(frozen=True)
class CentralSettings:
    """How a central model is built and trained.

    Parameters
    ----------
    shape, process, training
        Network, noise process, training.
    dihedral
        Turn and mirror each patch at random, by one of eight ways: tissue has no upright.
    stain_jitter
        How much the amounts of stain vary from patch to patch
        (:class:`~c2lst.data.stain.StainJitter`); 0 for not at all.
    windows
        Share of the updates made on windows of half the side, cut at random, at a quarter of the
        cost: a network of convolutions learns the small from them, and how it hangs together from
        whole patches (Wang et al. 2023, Patch Diffusion, without their coordinates).
    """

    shape: UNetShape
    process: NoiseProcess
    training: TrainSettings
    dihedral: bool = True
    stain_jitter: float = 0.0
    windows: float = 0.0

    def __post_init__(self) -> None:
        hold(self, "model settings", stain_jitter=share(), windows=share(all_=False))
        if self.windows:
            replace(self.shape, size=self.shape.size // 2)  # Halved, the scales must still fit.
