"""Moving averages of the weights, and averages whose length is chosen after training.

The power-function average of Karras et al. 2024 (arXiv 2312.02696) after update t is

    θ̂_γ(t) = β_γ(t)·θ̂_γ(t - 1) + (1 - β_γ(t))·θ(t),   β_γ(t) = (1 - 1/t)^(γ + 1),

so that update τ weighs (γ + 1)·τ^γ / t^(γ + 1). Its length is told by σ_rel, the standard deviation
of that profile as a share of the training. Snapshots of two such averages span a space of profiles
in which nearly any other length is found by least squares (their §3.2).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from c2lst.diffusion.options import RELATIVE_LENGTH, TrainSettings
from c2lst.diffusion.weights import read_tensors
from c2lst.errors import InputError
from c2lst.storage import whole_file

DECAY = "ema"
FOLDER = "averages"


class Averages:
    """The averages of one set of weights: by constant decay, and by power functions.

    Parameters
    ----------
    weights
        The weights that are averaged, by name; they start every average.
    settings
        Decay and lengths.
    """

    def __init__(self, weights: Mapping[str, Tensor], settings: TrainSettings) -> None:
        self._weights = weights
        self._decay = settings.ema_decay
        self._steps, self._snapshots = settings.steps, settings.ema_snapshots
        self._exponents = {f"power-{s:g}": exponent(s) for s in settings.ema_lengths}
        names = ([] if self._decay is None else [DECAY]) + list(self._exponents)
        self.shadows = {
            name: {k: w.detach().clone().float() for k, w in weights.items()} for name in names
        }
        self.updates = 0

    @torch.no_grad()
    def apply(self) -> None:
        """Put the first average into the weights, if there is one."""
        for shadow in list(self.shadows.values())[:1]:
            for name, weight in self._weights.items():
                weight.copy_(shadow[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the first average into the weights while the block runs."""
        before = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, weight in self._weights.items():
                    weight.copy_(before[name])

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights in after an update."""
        self.updates += 1
        for name, shadow in self.shadows.items():
            kept = self._kept(name)
            torch._foreach_lerp_(
                list(shadow.values()), [w.float() for w in self._weights.values()], 1 - kept
            )

    def _kept(self, name: str) -> float:
        """Share of an average that this update leaves."""
        t = self.updates
        if name in self._exponents:
            return float((1 - 1 / t) ** (self._exponents[name] + 1))
        assert self._decay is not None
        # The ramp of diffusers' EMAModel: 0 at first, 0.991 at update 1000, up to the decay.
        return min(self._decay, t / (9 + t)) if t > 1 else 0.0

    def snapshot_due(self, step: int) -> bool:
        """Say whether snapshots are kept after ``step`` (from 1)."""
        due = step * self._snapshots // self._steps
        return bool(self._exponents) and due > (step - 1) * self._snapshots // self._steps

    def snapshots_after(self, step: int) -> int:
        """Return how many snapshots are still to be written after ``step``."""
        left = self._snapshots - step * self._snapshots // self._steps
        return len(self._exponents) * min(left, self._steps - step)

    def save_snapshot(self, directory: Path) -> None:
        """Write the power-function averages of this moment under ``directory``."""
        from safetensors.torch import save_file

        for name, γ in self._exponents.items():
            tensors = {k: v.contiguous() for k, v in self.shadows[name].items()}
            with whole_file(_snapshot(directory, γ, self.updates)) as partial:
                save_file(tensors, partial)


def _snapshot(directory: Path, γ: float, updates: int) -> Path:
    # The file's name says all that the profile needs.
    return directory / FOLDER / f"{updates:08d}-{γ:.6f}.safetensors"


def exponent(sigma_rel: float) -> float:
    """Return γ of the power function with relative standard deviation ``sigma_rel``.

    σ_rel² = (γ + 1) / ((γ + 2)²·(γ + 3)), of which γ is the largest real root.
    """
    t = sigma_rel**-2
    roots = np.roots([1.0, 7.0, 16.0 - t, 12.0 - t])
    return float(roots.real[np.abs(roots.imag) < 1e-9].max())


def reconstruct(directory: Path, sigma_rel: float, updates: int | None = None) -> dict[str, Tensor]:
    """Put together the average of any relative length from the snapshots of a training.

    Parameters
    ----------
    directory
        Where the training had its checkpoints.
    sigma_rel
        Relative length of the average, above 0 and below 0.28; between those that were tracked,
        and somewhat around them, it is the best there is.
    updates
        After how many updates; the last snapshot's by default. Later snapshots are not used.

    Returns
    -------
    dict
        The averaged weights by name, on the CPU.

    Raises
    ------
    InputError
        If there are no snapshots, or no average has that length.
    """
    if not RELATIVE_LENGTH.fits(sigma_rel):
        raise InputError("average", "sigma_rel", found=sigma_rel, expected=RELATIVE_LENGTH.expected)
    # What a killed write left begins with a dot.
    found = sorted((directory / FOLDER).glob("[!.]*.safetensors"))
    times = np.array([int(p.stem.split("-")[0]) for p in found])
    if updates is not None:
        found = [p for p, time in zip(found, times, strict=True) if time <= updates]
        times = times[times <= updates]
    if not found:
        raise InputError(
            directory,
            "holds no snapshots of averaged weights",
            expected="a training with ema_lengths, such as (0.05, 0.1)",
        )
    exponents = np.array([float(p.stem.split("-")[1]) for p in found])
    shares = combination(times, exponents, updates or int(times.max()), exponent(sigma_rel))
    total: dict[str, Tensor] = {}
    for path, share in zip(found, shares, strict=True):
        for name, tensor in read_tensors(path).items():
            part = float(share) * tensor.double()
            total[name] = total[name] + part if name in total else part
    return {name: tensor.float() for name, tensor in total.items()}


def combination(
    times: Sequence[int] | np.ndarray,
    exponents: Sequence[float] | np.ndarray,
    time: int,
    target: float,
) -> np.ndarray:
    """Return the weights of averages whose sum is nearest, as a profile, to another average.

    Parameters
    ----------
    times, exponents
        Update t and exponent γ of each average that there is.
    time, target
        Those of the average that is wanted.

    Returns
    -------
    numpy.ndarray
        One weight for each average, by least squares over the profiles, and with sum 1 (Karras et
        al. 2024, Algorithm 3): what is averaged must come out at its own size.
    """
    t, γ = np.asarray(times, float), np.asarray(exponents, float)
    gram = _overlap(t[:, None], γ[:, None], t[None], γ[None])
    # Neighbouring profiles are nearly alike, so scale them to norm 1 and solve with a cut-off.
    norm = np.sqrt(np.diag(gram))
    towards = _overlap(t, γ, np.array(time, float), np.array(target))
    solution = np.linalg.lstsq(gram / np.outer(norm, norm), towards / norm, rcond=1e-12)[0]
    shares = solution / norm
    return np.asarray(shares / shares.sum())


def _overlap(ta: np.ndarray, γa: np.ndarray, tb: np.ndarray, γb: np.ndarray) -> np.ndarray:
    """Inner product ∫ p_a(τ)·p_b(τ) dτ of p(τ) = (γ + 1)·τ^γ / t^(γ + 1) on [0, t]."""
    first = np.minimum(ta, tb)
    factor = (γa + 1) * (γb + 1) / (γa + γb + 1) / first
    return np.asarray(factor * (first / ta) ** (γa + 1) * (first / tb) ** (γb + 1))
