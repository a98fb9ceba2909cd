"""Can it be told which spots an adapter was trained on? Attacks by those who have the spot.

An attacker holds a patch with its genes, and asks whether it was a training spot. A model that
learnt spots by heart denoises them better than others of the same section (Carlini et al. 2023,
§5; Matsumoto et al. 2023).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from c2lst.privacy.intervals import Interval, Verdict, auc, hit_rate

if TYPE_CHECKING:
    from torch import Tensor

    from c2lst.diffusion.noise import NoiseProcess
    from c2lst.local import LocalModel

    Predict = Callable[[Tensor, Tensor, np.ndarray], Tensor]

DRAWS = 24
BATCH = 64
EXACT = 1e-3


@dataclass(frozen=True)
class Attack:
    """How well an attack tells training spots from held-out ones.

    Parameters
    ----------
    name
        What the attacker looks at.
    auc
        Chance that a training spot looks more like one than a held-out spot; a half is ideal.
    at_1_percent, at_10_percent
        Share of training spots that are told at that rate of false alarms, where there are enough
        held-out spots to know.
    training, held_out
        Numbers of spots.
    """

    name: str
    auc: Interval
    at_1_percent: float | None
    at_10_percent: float | None
    training: int
    held_out: int

    @classmethod
    def of(cls, name: str, training: np.ndarray, held_out: np.ndarray) -> Attack:
        """Judge an attack by its scores, which are high for what it takes for training spots."""
        return cls(
            name,
            auc(training, held_out),
            hit_rate(training, held_out, 0.01),
            hit_rate(training, held_out, 0.1),
            len(training),
            len(held_out),
        )

    @property
    def verdict(self) -> Verdict:
        """Whether training spots can be told."""
        return self.auc.judge(min(self.training, self.held_out))


def denoising_losses(
    process: NoiseProcess,
    images: np.ndarray,
    predict: Predict,
    *,
    draws: int | None = None,
    seed: int = 0,
    label: str = "membership",
) -> np.ndarray:
    """Measure how well a model denoises each image, with the same noise for all.

    Parameters
    ----------
    process
        The noise process that the model was trained on.
    images
        uint8 RGB ``(n, S, S, 3)``, brought to the model's stain.
    predict
        Maps noisy images ``(B, 3, S, S)``, time steps ``(B,)`` and the rows of the images to what
        the network predicts.
    draws
        Noise levels, spread evenly over the process; each with noise and a turn of its own. 24 by
        default.
    seed
        Of the noise.

    Returns
    -------
    numpy.ndarray
        float64 ``(n, draws)``.
    """
    import torch

    from c2lst.devices import best_device
    from c2lst.diffusion.draws import mix_seed, seeded_normal
    from c2lst.diffusion.noise import DenoisingLoss, dihedral, to_unit_range
    from c2lst.memory import FittingBatches
    from c2lst.progress import progress_bar

    draws = draws or DRAWS
    objective, device = DenoisingLoss(process), best_device()
    noise = seeded_normal(
        [mix_seed(seed, draw) for draw in range(draws)], (3, *images.shape[1:3])
    ).to(device)
    levels = (process.steps * (np.arange(draws) + 0.5) / draws).astype(int)

    def losses(chosen: slice) -> np.ndarray:
        rows, found = np.arange(chosen.start, chosen.stop), []
        clean = to_unit_range(torch.from_numpy(np.asarray(images[chosen]))).to(device)
        for draw, level in enumerate(levels.tolist()):
            turned = dihedral(clean, torch.full((len(rows),), draw % 8))
            same = noise[draw].expand_as(turned)
            timesteps = torch.full((len(rows),), level, device=device)
            noisy = objective.add_noise(turned, same, timesteps)
            output = predict(noisy, timesteps, rows)
            found.append(objective(output, turned, same, timesteps).cpu().numpy())
        return np.column_stack(found).astype(np.float64)

    with torch.no_grad(), progress_bar(label, len(images)) as bar:
        parts = [np.empty((0, draws))]
        for _, part in FittingBatches(BATCH).over(len(images), losses):
            parts.append(part)
            bar.advance(len(part))
    return np.concatenate(parts)


def loss_attacks(
    model: LocalModel,
    images: np.ndarray,
    expression: np.ndarray,
    trained_on: np.ndarray,
    *,
    draws: int | None = None,
    seed: int = 0,
) -> tuple[Attack, Attack]:
    """Attack an adapter through its denoising loss, alone and against its central model's.

    Parameters
    ----------
    model
        The adapter on its central model.
    images, expression
        Patches as its preprocessing leaves them, uint8 ``(n, S, S, 3)``, and scaled expression
        ``(n, G)``.
    trained_on
        Which of them it learnt from, bool ``(n,)``.
    draws, seed
        Of :func:`denoising_losses`.
    """
    import torch

    from c2lst.devices import best_device

    device = best_device()
    network, unet = model.network.to(device).eval(), model.central.unet.to(device).eval()
    genes = torch.from_numpy(np.asarray(expression, dtype=np.float32)).to(device)

    def local(noisy: Tensor, timesteps: Tensor, rows: np.ndarray) -> Tensor:
        output: Tensor = network(noisy, timesteps, genes[torch.from_numpy(rows)])
        return output

    def central(noisy: Tensor, timesteps: Tensor, rows: np.ndarray) -> Tensor:
        output: Tensor = unet(noisy, timesteps).sample
        return output

    process = model.central.process
    ours, base = (
        denoising_losses(process, images, predict, draws=draws, seed=seed, label=label)
        for predict, label in ((local, "adapter"), (central, "central"))
    )
    found = []
    for name, losses in (
        ("adapter's loss, given the genes", ours),
        ("adapter's loss less the central model's", ours - base),
    ):
        scores = low_loss(losses)
        found.append(Attack.of(name, scores[trained_on], scores[~trained_on]))
    return found[0], found[1]


def low_loss(losses: np.ndarray) -> np.ndarray:
    """Score spots by how low their losses are, every noise level alike; float64 ``(n,)``."""
    spread = losses.std(axis=0)
    standard = (losses - losses.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return np.asarray(-standard.mean(axis=1))


def profile_attack(
    synthetic: np.ndarray, training: np.ndarray, held_out: np.ndarray
) -> tuple[Attack, float]:
    """Attack synthetic pairs through their profiles, by the distance to the nearest one.

    Parameters
    ----------
    synthetic, training, held_out
        Scaled expression ``(n, G)`` each; NaN for a gene that is not known counts as the mean.

    Returns
    -------
    attack
        How well it tells training spots.
    carried
        Share of the training spots whose measured profile is in the set.
    """
    from sklearn.neighbors import NearestNeighbors

    known = NearestNeighbors(n_neighbors=1).fit(np.nan_to_num(synthetic))
    near, far = (
        known.kneighbors(np.nan_to_num(spots))[0][:, 0] / np.sqrt(synthetic.shape[1])
        for spots in (training, held_out)
    )
    return Attack.of("distance to the nearest profile", -near, -far), float((near < EXACT).mean())
