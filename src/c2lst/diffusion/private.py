"""Differential privacy of one training: how much it may learn of any one sample.

What is promised, and the noise that it takes. The unit is a sample, which in an adaptation is a
spot: not a section, and not a patient.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

from c2lst.errors import InputError
from c2lst.rules import above, hold, share

ACCOUNTANT = "rdp"


@dataclass(frozen=True)
class PrivacySettings:
    """What the trained weights may tell of one sample (Dwork & Roth 2014, definition 2.4).

    Parameters
    ----------
    epsilon
        Whoever sees the weights can tell that a sample was among the training data at odds of
        at most e^ε to 1, but for a chance of ``delta``. Smaller is more private.
    delta
        That chance; 1 / (10 n) of n samples where none is given.
    clip
        Largest L2 norm C of one sample's gradient (Abadi et al. 2016, algorithm 1). The default is
        about the median of an adapter's on a public section; one's own spots must not set it.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    epsilon: float
    delta: float | None = None
    clip: float = 0.01

    def __post_init__(self) -> None:
        chance = share(none=False, all_=False).or_none()
        hold(self, "privacy settings", epsilon=above(0), delta=chance, clip=above(0))

    def delta_for(self, samples: int) -> float:
        """Return δ for a training on ``samples`` samples."""
        return 1 / (10 * samples) if self.delta is None else self.delta


@dataclass(frozen=True)
class Mechanism:
    """The subsampled Gaussian mechanism of a training, and what it promises.

    Parameters
    ----------
    epsilon, delta
        The promise, for one sample added to the training data or taken from it.
    clip
        Largest norm C of a sample's gradient.
    noise_multiplier
        Standard deviation of the noise on the sum of gradients, in units of C.
    sampling_rate
        Chance q of each sample to take part in a step, independent of all others.
    steps
        Steps of the training.
    accountant
        How the promise was added up over them.
    """

    epsilon: float
    delta: float
    clip: float
    noise_multiplier: float
    sampling_rate: float
    steps: int
    accountant: str = ACCOUNTANT

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"unit": "one training sample"}


@lru_cache(maxsize=8)
def calibrate(settings: PrivacySettings, samples: int, batch_size: int, steps: int) -> Mechanism:
    """Find the least noise that keeps the promise.

    Parameters
    ----------
    settings
        The promise.
    samples
        Training samples n, a number that counts as public.
    batch_size
        Samples in a step on average; q = batch_size / n, at most 1.
    steps
        Steps of the training.

    Returns
    -------
    Mechanism
        Its noise by the Rényi accountant of Opacus (Mironov et al. 2019): an upper bound in closed
        form. A numerical one asks for some 8 % less noise, and for minutes at large ε.

    Raises
    ------
    InputError
        If Opacus is not installed, or no noise keeps the promise.
    """
    try:
        from opacus.accountants.utils import get_noise_multiplier
    except ImportError as error:
        raise InputError(
            "differential privacy",
            "opacus is not installed",
            remedy="pip install 'c2lst[privacy]'",
        ) from error
    rate, delta = min(1.0, batch_size / samples), settings.delta_for(samples)
    with warnings.catch_warnings():
        # That a better order may lie outside those tried costs a little noise, and no privacy.
        warnings.simplefilter("ignore")
        try:
            noise = get_noise_multiplier(
                target_epsilon=settings.epsilon,
                target_delta=delta,
                sample_rate=rate,
                steps=steps,
                accountant=ACCOUNTANT,
            )
        except ValueError as error:
            raise InputError(
                "privacy settings",
                f"no noise keeps epsilon {settings.epsilon:g} over {steps:,} steps",
                remedy="train for fewer steps, or allow a larger epsilon",
            ) from error
    return Mechanism(settings.epsilon, delta, settings.clip, float(noise), rate, steps)
