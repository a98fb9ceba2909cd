"""What a benchmark compares, and how much work it puts into it."""

from __future__ import annotations

from dataclasses import dataclass

from c2lst.rules import hold, whole


@dataclass(frozen=True)
class BenchmarkSettings:
    """How every fold is worked on.

    Parameters
    ----------
    genes
        Size of the panel, the genes of highest mean in the training sections, where the task has
        no panel of its own.
    encoder
        Frozen encoder of the patches (:func:`~c2lst.evaluation.encoders.get_encoder`), also of a
        frozen network; ``central`` for a central model.
    normalise
        Whether each section's patches are brought to the standard stain, which is no slide's, or to
        that of the central model; HEST-Bench takes patches as they are.
    network, steps
        Architecture that is trained on the pairs, ``frozen`` for a head on the frozen encoder, or
        ``none``; and its optimiser steps.
    seed
        Of everything.
    """

    genes: int = 250
    encoder: str = "auto"
    normalise: bool = True
    network: str = "resnet-tiny"
    steps: int = 600
    seed: int = 0

    def __post_init__(self) -> None:
        hold(self, "benchmark", genes=whole(1), steps=whole(1), seed=whole())
