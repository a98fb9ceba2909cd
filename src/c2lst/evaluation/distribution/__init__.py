"""How far apart two sets of images are, on feature arrays, with the interval that each deserves."""

from c2lst.evaluation.distribution.frechet import FrechetDistance, frechet_distance
from c2lst.evaluation.distribution.kernel import KernelDistance, kernel_distance
from c2lst.evaluation.distribution.neighbours import Neighbourhood, neighbourhood
from c2lst.evaluation.distribution.paired import PairedCosine, cosines, paired_cosine
from c2lst.evaluation.distribution.samples import Estimate, halves, mean_estimate

__all__ = [
    "Estimate",
    "FrechetDistance",
    "KernelDistance",
    "Neighbourhood",
    "PairedCosine",
    "cosines",
    "frechet_distance",
    "halves",
    "kernel_distance",
    "mean_estimate",
    "neighbourhood",
    "paired_cosine",
]
