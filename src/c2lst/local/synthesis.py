"""Synthesis: image-gene pairs drawn from a local model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np
import torch
from torch import Tensor

from c2lst import __version__
from c2lst.data.synthetic import SyntheticPairs
from c2lst.diffusion.draws import mix_seed
from c2lst.diffusion.noise import to_uint8
from c2lst.diffusion.sampling import get_sampler, guided, sample
from c2lst.diffusion.weights import best_device
from c2lst.errors import InputError
from c2lst.local.profiles import Policy, draw_profiles

if TYPE_CHECKING:
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.local.model import LocalModel


@dataclass(frozen=True)
class SynthesisSettings:
    """How synthetic pairs are drawn.

    Parameters
    ----------
    per_spot
        Images per training spot (paper: 1 to 10).
    guidance
        Conditioning scale s in null + s·(conditional - null) (paper: 3).
    sampler
        Sampler preset.
    policy
        Profiles to draw from: ``real``, the spots' own (paper), or ``mixup``, on the line between
        two training spots of like expression, which fills the gaps between sampled profiles.
    batch_size
        Images at a time; memory, not result.
    seed
        Image *i* depends on (seed, i) alone.
    """

    per_spot: int = 5
    guidance: float = 3.0
    sampler: str = "fast"
    policy: Policy = "real"
    batch_size: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        if self.per_spot < 1:
            raise InputError(
                "synthesis settings", "per_spot", found=self.per_spot, expected="at least 1"
            )
        if self.policy not in get_args(Policy):
            raise InputError(
                "synthesis settings",
                "policy",
                found=self.policy,
                expected=" or ".join(get_args(Policy)),
            )
        get_sampler(self.sampler)


def synthesize(
    model: LocalModel,
    section: Section,
    split: SpotSplit,
    settings: SynthesisSettings,
    *,
    directory: Path | None = None,
) -> SyntheticPairs:
    """Draw synthetic pairs; see :meth:`c2lst.local.LocalModel.synthesize`."""
    training = split.training(section)
    if split.train_hash != model.provenance["train_hash"]:
        raise InputError(
            "split",
            "training spots are not those that the adapter was trained on",
            remedy="use the split that was given to `c2lst adapt`",
        )
    scaled = model.preprocessing.expression(training)
    profiles, sources = draw_profiles(
        scaled, training.barcodes, settings.policy, per_spot=settings.per_spot, seed=settings.seed
    )
    seeds = [mix_seed(settings.seed, index) for index in range(len(profiles))]
    images = draw(model, profiles, seeds, settings, directory=directory)
    return SyntheticPairs(
        images=images,
        scaled=profiles,
        lognorm=model.preprocessing.scaler.unscale(profiles),
        genes=model.preprocessing.panel.genes,
        source_barcodes=sources,
        seeds=np.array(seeds, dtype=np.int64),
        guidance_scale=settings.guidance,
        sampler=settings.sampler,
        patch_um=model.central.patch_um,
        provenance={
            "c2lst": __version__,
            "base_hash": model.provenance["base_hash"],
            "train_hash": split.train_hash,
            "section": section.name,
            "settings": asdict(settings),
        },
    )


def draw(
    model: LocalModel,
    profiles: np.ndarray,
    seeds: list[int],
    settings: SynthesisSettings,
    *,
    directory: Path | None = None,
) -> np.ndarray:
    """Draw one patch per scaled profile; see :meth:`c2lst.local.LocalModel.draw`."""
    device = best_device()
    network = model.network.to(device).eval()
    genes = torch.from_numpy(np.asarray(profiles, dtype=np.float32))

    def denoise(noisy: Tensor, timestep: int, chosen: slice) -> Tensor:
        expression = genes[chosen].to(device)
        if settings.guidance == 1:
            output: Tensor = network(noisy, timestep, expression)
            return output
        given = torch.arange(2 * len(noisy), device=device) < len(noisy)
        both = network(noisy.repeat(2, 1, 1, 1), timestep, expression.repeat(2, 1), given)
        conditional, null = both.float().chunk(2)
        return guided(conditional, null, settings.guidance)

    size = model.central.size
    images = sample(
        denoise,
        seeds,
        (3, size, size),
        model.central.process,
        get_sampler(settings.sampler),
        batch_size=settings.batch_size,
        device=device,
        directory=directory,
        label="synthesize",
    )
    return to_uint8(images).numpy()
