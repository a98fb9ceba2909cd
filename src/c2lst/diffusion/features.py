"""A denoising U-Net as an image encoder: what its blocks see at a few noise levels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from c2lst.diffusion.draws import mix_seed, seeded_normal
from c2lst.diffusion.noise import DenoisingLoss, NoiseProcess, to_unit_range
from c2lst.diffusion.numerics import inference
from c2lst.memory import FittingBatches
from c2lst.progress import progress_bar

if TYPE_CHECKING:
    from diffusers import UNet2DModel

TIMESTEPS = (50, 200)
"""Noise levels of a process of 1,000; of another, those at the same share of all its levels."""
OF_LEVELS = 1000
TURNS = (0, 1, 2, 3)
"""All quarter turns: against two of them, errors of expression on real sections fall by 0.2 to
0.4 %. More noise levels, or one of these two alone, changed nothing."""

BlockFeatures = Mapping[tuple[int, str], np.ndarray]
"""Noise level and part of the U-Net (``down``, ``middle``, ``up``) to features (n, width)."""


@torch.no_grad()
def denoiser_features(
    unet: UNet2DModel,
    process: NoiseProcess,
    images: np.ndarray,
    *,
    timesteps: Sequence[int] | None = None,
    turns: Sequence[int] = TURNS,
    batch_size: int = 32,
    label: str = "encode",
) -> BlockFeatures:
    """Read global means of the blocks' activations, averaged over noise and quarter turns.

    Parameters
    ----------
    images
        uint8 RGB ``(n, size, size, 3)``.
    timesteps
        Noise levels t; by default those of :data:`TIMESTEPS`.
    turns
        Quarter turns to average over, each with noise of its own.
    batch_size
        Images at a time, or fewer where they do not fit in memory; more than the default leave
        the caches of a processor.

    Returns
    -------
    BlockFeatures
        Float32. The same image gives the same features wherever it stands.
    """
    unet.eval()
    device = next(unet.parameters()).device
    loss = DenoisingLoss(process)
    if timesteps is None:
        # In a process of few levels two of them may be one.
        timesteps = list(dict.fromkeys(t * process.steps // OF_LEVELS for t in TIMESTEPS))

    def read(chosen: slice) -> dict[tuple[int, str], np.ndarray]:
        clean, found = to_unit_range(torch.from_numpy(np.asarray(images[chosen]))), {}
        for timestep in timesteps:
            total: dict[str, Tensor] = {}
            for turn in turns:
                # One noise pattern for all images: features differ by image, not by draw.
                noise = seeded_normal([mix_seed(timestep, turn)], tuple(clean.shape[1:]))
                times = torch.full((len(clean),), timestep)
                turned = torch.rot90(clean, turn, dims=(2, 3))
                noisy = loss.add_noise(turned, noise.expand_as(clean), times)
                with inference(device):
                    seen = _block_means(unet, noisy.to(device), timestep)
                for part, means in seen.items():
                    total[part] = total.get(part, torch.zeros(())) + means
            for part, summed in total.items():
                found[timestep, part] = (summed / len(turns)).numpy()
        return found

    rows: dict[tuple[int, str], list[np.ndarray]] = {}
    with progress_bar(label, len(images)) as bar:
        for chosen, found in FittingBatches(batch_size).over(len(images), read):
            for key, features in found.items():
                rows.setdefault(key, []).append(features)
            bar.advance(chosen.stop - chosen.start)
    return {key: np.concatenate(batches).astype(np.float32) for key, batches in rows.items()}


def joined(features: BlockFeatures) -> np.ndarray:
    """Concatenate all noise levels and parts: (n, d)."""
    return np.hstack(list(features.values()))


def candidate_views(features: BlockFeatures, name: str) -> dict[str, np.ndarray]:
    """Return what a choice inside the training spots may choose from, the default first.

    Returns
    -------
    dict
        ``name``: everything; ``name.down``, ``name.middle``, ``name.up``: one part of the U-Net at
        all noise levels; ``name.t50`` and so on: all parts at one noise level.
    """
    timesteps = dict.fromkeys(timestep for timestep, _ in features)
    parts = dict.fromkeys(part for _, part in features)
    by_part = {
        f"{name}.{part}": np.hstack([x for (_, p), x in features.items() if p == part])
        for part in parts
    }
    by_level = {
        f"{name}.t{timestep}": np.hstack([x for (t, _), x in features.items() if t == timestep])
        for timestep in timesteps
    }
    return {name: joined(features), **by_part, **(by_level if len(timesteps) > 1 else {})}


def _block_means(unet: UNet2DModel, noisy: Tensor, timestep: int) -> dict[str, Tensor]:
    means: dict[str, list[Tensor]] = {}

    def keep(part: str, output: Tensor | tuple[Tensor, ...]) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        means.setdefault(part, []).append(hidden.float().mean(dim=(2, 3)))

    blocks = [
        *(("down", block) for block in unet.down_blocks),
        ("middle", unet.mid_block),
        *(("up", block) for block in unet.up_blocks),
    ]
    hooks = [
        block.register_forward_hook(lambda _block, _inputs, output, part=part: keep(part, output))
        for part, block in blocks
    ]
    try:
        unet(noisy, timestep)
    finally:
        for hook in hooks:
            hook.remove()
    # Only now to the CPU, which waits for the device: one block is launched while others compute.
    return {part: torch.cat(found, dim=1).cpu() for part, found in means.items()}
