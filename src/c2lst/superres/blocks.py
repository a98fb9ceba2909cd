"""Blocks of the network: residual, attention, modulation, disentangling."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

KEPT = 0.9
"""Share of a feature map that attention and modulation leave as it was."""

DELTA = 1e-3
"""Keeps the disentangling loss finite where the distinct parts coincide."""


def zeroed(layer: nn.Conv2d) -> nn.Conv2d:
    """Start a convolution at zero."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResBlock(nn.Module):
    """GroupNorm, SiLU, convolution, twice, with FiLM by the noise level in between.

    Parameters
    ----------
    inside, out
        Channels.
    time
        Width of the noise level's embedding.
    groups
        Of the normalisation.
    resample
        ``down`` or ``up`` by two, or nothing.
    """

    def __init__(
        self, inside: int, out: int, time: int, groups: int, resample: str | None = None
    ) -> None:
        super().__init__()
        self.resample = resample
        self.norm1 = nn.GroupNorm(groups, inside)
        self.conv1 = nn.Conv2d(inside, out, 3, padding=1)
        self.film = nn.Linear(time, 2 * out)
        self.norm2 = nn.GroupNorm(groups, out)
        self.conv2 = zeroed(nn.Conv2d(out, out, 3, padding=1))
        self.skip = nn.Identity() if inside == out else nn.Conv2d(inside, out, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Map ``(B, inside, H, W)`` to ``(B, out, H', W')``."""
        h = self.conv1(self._sized(functional.silu(self.norm1(x))))
        scale, shift = self.film(functional.silu(time))[:, :, None, None].chunk(2, dim=1)
        h = self.norm2(h) * (1 + scale) + shift
        result: Tensor = self.skip(self._sized(x)) + self.conv2(functional.silu(h))
        return result

    def _sized(self, x: Tensor) -> Tensor:
        if self.resample == "down":
            return functional.avg_pool2d(x, 2) if min(x.shape[-2:]) > 1 else x
        return functional.interpolate(x, scale_factor=2.0) if self.resample == "up" else x


class CrossAttention(nn.Module):
    """One head of attention from the places of a map to those of another.

    Parameters
    ----------
    queries, keys
        Channels of the two maps; the scale is ``queries``^-½.
    """

    def __init__(self, queries: int, keys: int) -> None:
        super().__init__()
        self.q = nn.Conv2d(queries, queries, 1)
        self.k = nn.Conv2d(keys, queries, 1)
        self.v = nn.Conv2d(keys, queries, 1)
        self.out = nn.Conv2d(queries, queries, 1)

    def forward(self, asking: Tensor, told: Tensor) -> Tensor:
        """Return what ``asking`` (B, queries, H, W) reads in ``told`` (B, keys, h, w)."""

        def tokens(x: Tensor) -> Tensor:
            # With a dimension for heads, of which there is one: fused kernels want four.
            return x.flatten(2).transpose(1, 2)[:, None]

        read = functional.scaled_dot_product_attention(
            tokens(self.q(asking)), tokens(self.k(told)), tokens(self.v(told))
        )
        result: Tensor = self.out(read[:, 0].transpose(1, 2).reshape(asking.shape))
        return result


class CellAttention(nn.Module):
    """What tissue places read in the mean cell crop; h ← 0.9·h + 0.1·attention.

    Keys and values are the px of the crop. Repeating them over the tissue's grid, as the paper
    does, leaves the softmax's result as it is: each key is only there more often.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.encode = nn.Conv2d(3, width, 3, padding=1)
        self.attend = CrossAttention(width, width)

    def forward(self, tissue: Tensor, cells: Tensor) -> Tensor:
        """Return tissue features ``(B, C, H, W)`` that know the cells ``(B, 3, p, p)``."""
        return KEPT * tissue + (1 - KEPT) * self.attend(tissue, self.encode(cells))


class Modulation(nn.Module):
    """Cross-modal adaptive modulation in windows of w × w places.

    For either map D of a pair, as a matrix of channels by the places of a window:
    D_y ← 0.9·D_y + 0.1·D_y·softmax(Linear(D_yᵀ·D_I)), and the other way round. The softmax is over
    the places that a place is shared out to, so that a window keeps its sum.
    """

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = window
        self.to_spots = nn.Linear(window**2, window**2)
        self.to_image = nn.Linear(window**2, window**2)

    def forward(self, image: Tensor, spots: Tensor) -> tuple[Tensor, Tensor]:
        """Return both maps, modulated, each ``(B, C, H, W)``."""
        d_image, d_spots = self._windows(image), self._windows(spots)
        likeness = d_spots.transpose(-1, -2) @ d_image / d_image.shape[-2] ** 0.5
        new_spots = d_spots @ self.to_spots(likeness).softmax(dim=-1)
        new_image = d_image @ self.to_image(likeness.transpose(-1, -2)).softmax(dim=-1)
        return (
            KEPT * image + (1 - KEPT) * self._places(new_image, image),
            KEPT * spots + (1 - KEPT) * self._places(new_spots, spots),
        )

    def _windows(self, x: Tensor) -> Tensor:
        """(B, windows, C, w²)."""
        batch, channels, height, width = x.shape
        w = self.window
        grid = x.reshape(batch, channels, height // w, w, width // w, w)
        return grid.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels, w * w)

    def _places(self, windows: Tensor, like: Tensor) -> Tensor:
        batch, channels, height, width = like.shape
        w = self.window
        grid = windows.reshape(batch, height // w, width // w, channels, w, w)
        return grid.permute(0, 3, 1, 4, 2, 5).reshape(like.shape)


class Disentangling(nn.Module):
    """Split features of image and spots into what they have in common and what is distinct."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.common = nn.Conv2d(width, width // 2, 3, padding=1)
        self.distinct = nn.Conv2d(width, width // 2, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the common and the distinct part of ``(B, C, H, W)``, C/2 channels each."""
        return functional.silu(self.common(x)), functional.silu(self.distinct(x))


def disentangling_loss(image: tuple[Tensor, Tensor], spots: tuple[Tensor, Tensor]) -> Tensor:
    """‖com_I − com_y‖² / (‖dist_I − dist_y‖² + δ), per sample, shape ``(B,)``.

    Without δ, which is ours, it has no bound where the distinct parts coincide.
    """
    (common_i, distinct_i), (common_y, distinct_y) = image, spots

    def distance(a: Tensor, b: Tensor) -> Tensor:
        return (a.float() - b.float()).square().mean(dim=(1, 2, 3))

    return distance(common_i, common_y) / (distance(distinct_i, distinct_y) + DELTA)


class NoiseLevel(nn.Module):
    """Embedding of the noise level: sinusoids, then two layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(
            nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, 4 * width)
        )

    def forward(self, timesteps: Tensor) -> Tensor:
        """Return ``(B, 4·width)`` for time steps ``(B,)``."""
        from diffusers.models.embeddings import get_timestep_embedding

        waves = get_timestep_embedding(timesteps, self.width)
        embedded: Tensor = self.layers(waves.to(self.layers[0].weight.dtype))
        return embedded


def resized(x: Tensor, like: Tensor) -> Tensor:
    """Bring a map to the height and width of another."""
    if x.shape[-2:] == like.shape[-2:]:
        return x
    return functional.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def remembered(block: nn.Module, again: bool, *inputs: Tensor) -> Tensor:
    """Run a block; with ``again``, compute its activations anew in the backward pass."""
    if again and torch.is_grad_enabled():
        from torch.utils.checkpoint import checkpoint

        recomputed: Tensor = checkpoint(block, *inputs, use_reentrant=False)
        return recomputed
    result: Tensor = block(*inputs)
    return result
