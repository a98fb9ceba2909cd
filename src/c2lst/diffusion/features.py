"""A denoising U-Net as an image encoder: what its blocks see at a few noise levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from c2lst.diffusion.draws import mix_seed, seeded_normal
from c2lst.diffusion.noise import DenoisingLoss, NoiseProcess, to_unit_range
from c2lst.progress import progress_bar

if TYPE_CHECKING:
    from diffusers import UNet2DModel

TIMESTEPS = (50, 200, 400)


@torch.no_grad()
def denoiser_features(
    unet: UNet2DModel,
    process: NoiseProcess,
    images: np.ndarray,
    *,
    timesteps: Sequence[int] = TIMESTEPS,
    turns: Sequence[int] = (0, 2),
    batch_size: int = 128,
    label: str = "encode",
) -> np.ndarray:
    """Read global means of the blocks' activations, averaged over noise and quarter turns.

    Parameters
    ----------
    images
        uint8 RGB ``(n, size, size, 3)``.
    timesteps
        Noise levels t, of which the features are concatenated.
    turns
        Quarter turns to average over, each with noise of its own.

    Returns
    -------
    numpy.ndarray
        ``(n, features)`` float32. The same image gives the same features wherever it stands.
    """
    unet.eval()
    device = next(unet.parameters()).device
    loss = DenoisingLoss(process)
    rows = []
    with progress_bar(label, len(images)) as bar:
        for start in range(0, len(images), batch_size):
            clean = to_unit_range(torch.from_numpy(np.asarray(images[start : start + batch_size])))
            levels = []
            for timestep in timesteps:
                total = torch.zeros(())
                for turn in turns:
                    # One noise pattern for all images: features differ by image, not by draw.
                    noise = seeded_normal([mix_seed(timestep, turn)], tuple(clean.shape[1:]))
                    times = torch.full((len(clean),), timestep)
                    turned = torch.rot90(clean, turn, dims=(2, 3))
                    noisy = loss.add_noise(turned, noise.expand_as(clean), times)
                    total = total + _block_means(unet, noisy.to(device), timestep)
                levels.append(total / len(turns))
            rows.append(torch.cat(levels, dim=1).numpy())
            bar.advance(len(clean))
    return np.concatenate(rows).astype(np.float32)


def _block_means(unet: UNet2DModel, noisy: Tensor, timestep: int) -> Tensor:
    means: list[Tensor] = []

    def keep(_module: object, _inputs: object, output: Tensor | tuple[Tensor, ...]) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        means.append(hidden.float().mean(dim=(2, 3)).cpu())

    blocks = [*unet.down_blocks, unet.mid_block, *unet.up_blocks]
    hooks = [block.register_forward_hook(keep) for block in blocks]
    try:
        unet(noisy, timestep)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(means, dim=1)
