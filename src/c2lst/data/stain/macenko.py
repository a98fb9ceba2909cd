"""Two stains out of tissue pixels (Macenko et al., ISBI 2009), many images at a time.

A stain adds its own colour vector, times its concentration, to the optical density. The two
vectors of H&E span a plane; they are the outermost directions of the tissue's pixels in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

OUTERMOST = 0.01
"""Share of the tissue pixels beyond the outermost direction, on either side."""

STRONGEST = 0.99
"""Quantile of the concentration that counts as strong."""


def outermost_directions(density: Tensor, tissue: Tensor | None = None) -> Tensor:
    """Find the unit vectors between which the tissue's optical densities lie.

    Parameters
    ----------
    density
        Optical densities (b, 3, P).
    tissue
        bool (b, P), all by default; fewer than three pixels give nonsense, but never an error.

    Returns
    -------
    torch.Tensor
        (b, 2, 3), in no particular order.
    """
    import torch

    mean, centred = _centred(density, tissue)
    _, directions = torch.linalg.eigh(centred @ centred.mT)
    plane = directions[..., [2, 1]]
    # Eigenvectors have no sign; the first is turned towards the tissue, so that the angles of
    # its pixels lie around 0 and never wrap.
    plane = torch.where(mean.mT @ plane < 0, -plane, plane)
    along, across = (plane.mT @ density).unbind(dim=1)
    angle = torch.atan2(across, along)
    ends = [quantile(angle, q, tissue) for q in (OUTERMOST, 1 - OUTERMOST)]
    extremes = torch.stack(ends, dim=-1)
    return torch.stack([extremes.cos(), extremes.sin()], dim=-1) @ plane.mT


def concentrations(density: Tensor, stains: Tensor) -> Tensor:
    """Least-squares concentrations (b, 2, P) of ``stains`` (b, 2, 3) in ``density`` (b, 3, P)."""
    return unmixing(stains).mT @ density


def unmixing(stains: Tensor) -> Tensor:
    """Return the pseudo-inverse (b, 3, 2) of ``stains`` (b, 2, 3)."""
    import torch

    return torch.linalg.pinv(stains)


def quantile(values: Tensor, q: float, kept: Tensor | None = None) -> Tensor:
    """Quantile ``q`` over the last axis of those ``values`` that are ``kept``.

    Interpolated linearly, as numpy does. Only the fewer values on one side of it are sorted,
    so it is quick for the extremes. Infinite where nothing is kept.

    Parameters
    ----------
    values
        (..., P).
    q
        In [0, 1].
    kept
        bool (..., P); all by default.

    Returns
    -------
    torch.Tensor
        (...).
    """
    import torch

    high = q > 0.5
    share = 1 - q if high else q
    number = values.shape[-1]
    if kept is None:
        last = torch.full_like(values[..., :1], number - 1)
    else:
        values = values.masked_fill(~kept, -torch.inf if high else torch.inf)
        last = (kept.sum(dim=-1, keepdim=True) - 1).clamp(min=0).to(values.dtype)
    tail = values.topk(min(number, int(share * number) + 2), dim=-1, largest=high).values
    place = share * last
    lower = place.floor()
    low = tail.gather(-1, lower.long())
    up = tail.gather(-1, torch.minimum(lower + 1, last).long())
    # Of two infinities, where nothing is kept, the difference is none.
    return (low + (up - low).nan_to_num() * (place - lower)).squeeze(-1)


def _centred(density: Tensor, tissue: Tensor | None) -> tuple[Tensor, Tensor]:
    """Mean (b, 3, 1) of the tissue, and the tissue's deviations (b, 3, P), 0 elsewhere."""
    if tissue is None:
        mean = density.mean(dim=2, keepdim=True)
        return mean, density - mean
    weight = tissue[:, None].to(density.dtype)
    mean = density @ weight.mT / weight.sum(dim=2, keepdim=True).clamp(min=1)
    return mean, (density - mean) * weight
