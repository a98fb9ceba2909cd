"""Synthesis: image-gene pairs drawn from a local model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from c2lst import __version__
from c2lst.data.synthetic import SyntheticPairs
from c2lst.devices import best_device
from c2lst.diffusion.draws import mix_seed
from c2lst.diffusion.guidance import Guidance, guided_denoiser
from c2lst.diffusion.noise import to_uint8
from c2lst.diffusion.sampling import get_sampler, sample_batches
from c2lst.local.batches import ImageStore
from c2lst.local.profiles import Closeness, Policy, Profiles
from c2lst.rules import hold, one_of, whole

if TYPE_CHECKING:
    from c2lst.diffusion.processes import Processes
    from c2lst.local.model import LocalModel


@dataclass(frozen=True)
class SynthesisSettings:
    """How synthetic pairs are drawn.

    Parameters
    ----------
    per_spot
        Images per training spot, or per row of a file of profiles (paper: 1 to 10).
    guidance, guidance_interval
        Scale, and the noise levels σ/α at which it acts (:class:`~c2lst.diffusion.guidance.
        Guidance`; paper: 3, at all levels).
    sampler
        Sampler preset.
    policy, mixup_by
        Profiles to draw from (:func:`~c2lst.local.profiles.draw_profiles`; paper: ``real``).
    batch_size
        Images at a time; memory, not result (up to rounding). Where guidance doubles them, a
        processor is slower with more than the default.
    seed
        Image *i* depends on (seed, i) and its profile alone.
    """

    per_spot: int = 5
    guidance: float = 3.0
    guidance_interval: tuple[float, float] | None = None
    sampler: str = "fast"
    policy: Policy = "real"
    mixup_by: Closeness = "expression"
    batch_size: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        numbers = {"per_spot": whole(1), "batch_size": whole(1), "seed": whole()}
        names = {"policy": one_of(Policy), "mixup_by": one_of(Closeness)}
        hold(self, "synthesis settings", **numbers, **names)
        if self.guidance_interval is not None:  # a list, where it comes from a file
            object.__setattr__(self, "guidance_interval", tuple(self.guidance_interval))
        get_sampler(self.sampler)
        self.how_to_guide()

    def how_to_guide(self) -> Guidance:
        """Scale and interval as one object."""
        return Guidance(self.guidance, self.guidance_interval)


def synthesize(
    model: LocalModel,
    profiles: Profiles,
    settings: SynthesisSettings,
    *,
    directory: Path | None = None,
    processes: Processes | None = None,
) -> SyntheticPairs:
    """Draw a patch for each profile; see :meth:`c2lst.local.LocalModel.synthesize_profiles`."""
    seeds = [mix_seed(settings.seed, index) for index in range(len(profiles))]
    images: np.ndarray | ImageStore
    if directory is None:
        images = draw(model, profiles.scaled, seeds, settings)
    else:
        images = ImageStore(directory, len(profiles), model.central.size)
        _fill(images, model, profiles, seeds, settings, processes)
    lognorm = model.preprocessing.scaler.unscale(profiles.scaled)
    return SyntheticPairs(
        images=images,
        scaled=profiles.scaled,
        lognorm=lognorm,
        genes=model.preprocessing.panel.genes,
        source_barcodes=profiles.sources,
        seeds=np.array(seeds, dtype=np.int64),
        guidance_scale=settings.guidance,
        sampler=settings.sampler,
        patch_um=model.central.patch_um,
        counts=model.preprocessing.scaler.to_counts(lognorm, profiles.library_size),
        provenance={
            "c2lst": __version__,
            "adapter_hash": model.hash,
            "base_hash": model.provenance["base_hash"],
            "section": model.provenance["section"],
            "section_hash": model.provenance["section_hash"],
            "train_hash": model.provenance["train_hash"],
            "profiles": profiles.origin,
            "settings": asdict(settings),
        },
    )


def draw(
    model: LocalModel, profiles: np.ndarray, seeds: list[int], settings: SynthesisSettings
) -> np.ndarray:
    """Draw one patch per scaled profile; see :meth:`c2lst.local.LocalModel.draw`."""
    size = model.central.size
    images = np.empty((len(seeds), size, size, 3), dtype=np.uint8)
    for chosen, batch in _batches(model, profiles, seeds, settings, best_device()):
        images[chosen] = batch
    return images


def _fill(
    store: ImageStore,
    model: LocalModel,
    profiles: Profiles,
    seeds: list[int],
    settings: SynthesisSettings,
    processes: Processes | None,
) -> None:
    """Draw what the store misses of a request, this process its share of the batches."""
    request = _request(model, profiles, settings)
    if processes is None:
        store.open(request)
        rows, device = store.missing(), best_device()
    else:
        processes.main_first(lambda: store.open(request))
        missing = store.missing()
        processes.total([1])  # all have seen what is missing before one draws of it
        share = np.arange(len(missing)) // settings.batch_size % processes.count
        rows, device = missing[share == processes.index], processes.device
    own = [seeds[row] for row in rows.tolist()]
    for chosen, batch in _batches(model, profiles.scaled[rows], own, settings, device):
        store.keep(rows[chosen], batch)
    if processes is not None:
        processes.total([1])


def _request(model: LocalModel, profiles: Profiles, settings: SynthesisSettings) -> dict[str, Any]:
    """All that the images depend on; batches are told apart from it, as memory from result."""
    interval = settings.guidance_interval
    return {
        "c2lst": __version__,
        "adapter": model.hash,
        "central model": model.provenance["base_hash"],
        "profiles": profiles.hash,
        "images": len(profiles),
        "seed": settings.seed,
        "sampler": settings.sampler,
        "guidance": settings.guidance,
        "guidance interval": None if interval is None else list(interval),
    }


def _batches(
    model: LocalModel,
    profiles: np.ndarray,
    seeds: list[int],
    settings: SynthesisSettings,
    device: torch.device,
) -> Iterator[tuple[slice, np.ndarray]]:
    """Draw one patch per scaled profile, uint8 ``(B, S, S, 3)`` a batch."""
    network = model.network.to(device).eval()
    genes = torch.from_numpy(np.asarray(profiles, dtype=np.float32)).to(device)

    def branches(noisy: Tensor, timesteps: Tensor, rows: Tensor, given: Tensor) -> Tensor:
        output: Tensor = network(noisy, timesteps, genes[rows], given)
        return output

    size, process = model.central.size, model.central.process
    for chosen, images in sample_batches(
        guided_denoiser(branches, settings.how_to_guide(), process),
        seeds,
        (3, size, size),
        process,
        get_sampler(settings.sampler),
        batch_size=settings.batch_size,
        device=device,
        label="synthesize",
    ):
        yield chosen, to_uint8(images).numpy()
