"""How to train: the settings of the one training loop."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from c2lst.rules import Rule, above, at_least, hold, one_of, share, whole

Precision = Literal["fp32", "bf16", "fp16"]
Schedule = Literal["constant", "cosine"]
Tracker = Literal["none", "tensorboard", "wandb", "mlflow"]

# What a run may be resumed with another value of: none of it changes what is learnt, beyond the
# rounding of sums that are taken in another order.
FREE = ("micro_batch", "checkpoint_every", "deterministic", "compile", "tracker")

# Above 0.28 no power function is that long: γ would be negative.
RELATIVE_LENGTH = Rule(
    lambda length: above(0).fits(length) and length < 0.28, "a relative length between 0 and 0.28"
)


@dataclass(frozen=True)
class TrainSettings:
    """How to train. A *step* is one optimiser update on the effective batch.

    Parameters
    ----------
    steps
        Optimiser updates.
    batch_size
        Effective batch: samples per optimiser update over all processes and micro-batches.
    micro_batch
        Most samples in one forward pass; ``None`` starts from the whole share of a process. It is
        halved whenever memory does not suffice.
    learning_rate, weight_decay, beta2
        Of AdamW.
    warmup
        Share of the steps with linearly rising learning rate.
    schedule
        After the warm-up: ``constant``, or ``cosine`` down to a hundredth.
    ema_decay
        Decay of the exponential moving average of the weights, which ramps up over the first
        updates as in diffusers; ``None`` for no average.
    ema_lengths
        Relative lengths σ_rel of power-function averages that are kept as snapshots, so that an
        average of any length can be put together after training
        (:func:`c2lst.diffusion.averages.reconstruct`). Karras et al. 2024: (0.05, 0.1).
    ema_snapshots
        Number of snapshots of each of those, evenly over the training.
    grad_clip
        Largest norm of the gradient.
    precision
        ``fp32``; or ``bf16`` or ``fp16`` autocast, the latter with a loss scale.
    checkpoint_every
        Steps between checkpoints.
    seed
        Of data order and all noise.
    deterministic
        Use only algorithms that repeat to the bit. The CPU's do without it.
    compile
        Run the model through ``torch.compile``, where that works.
    tracker
        Where the log goes beside ``log.jsonl``.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    steps: int
    batch_size: int = 32
    micro_batch: int | None = None
    learning_rate: float = 1e-4
    weight_decay: float = 1e-2
    beta2: float = 0.999
    warmup: float = 0.03
    schedule: Schedule = "constant"
    ema_decay: float | None = 0.999
    ema_lengths: tuple[float, ...] = ()
    ema_snapshots: int = 32
    grad_clip: float = 1.0
    precision: Precision = "fp32"
    checkpoint_every: int = 250
    seed: int = 0
    deterministic: bool = False
    compile: bool = False
    tracker: Tracker = "none"

    def __post_init__(self) -> None:
        hold(
            self,
            "training settings",
            steps=whole(1),
            batch_size=whole(1),
            micro_batch=whole(1).or_none(),
            learning_rate=at_least(0),
            weight_decay=at_least(0),
            beta2=share(none=False, all_=False),
            warmup=share(all_=False),
            schedule=one_of(Schedule),
            ema_decay=share(all_=False).or_none(),
            ema_lengths=RELATIVE_LENGTH.each(),
            ema_snapshots=whole(1),
            grad_clip=above(0),
            precision=one_of(Precision),
            checkpoint_every=whole(1),
            seed=whole(),
            tracker=one_of(Tracker),
        )

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of the update with number ``step`` (from 0)."""
        rising = max(1, round(self.warmup * self.steps)) if self.warmup else 0
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        if self.schedule == "constant":
            return self.learning_rate
        done = (step - rising) / max(1, self.steps - rising)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))

    def binding(self) -> dict[str, Any]:
        """Return the settings that a run must be resumed with, as JSON has them."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in FREE}
        return values | {"ema_lengths": list(self.ema_lengths)}
