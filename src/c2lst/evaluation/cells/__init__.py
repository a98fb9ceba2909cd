"""Nuclei of real and synthetic patches: found, measured, counted by class, and compared."""

from c2lst.evaluation.cells.composition import NuclearClasses, divergence, shares
from c2lst.evaluation.cells.nuclei import Nuclei, NucleusFinder, Segmentation, find_nuclei
from c2lst.evaluation.cells.sets import FoundNuclei, NucleusSets
from c2lst.evaluation.cells.watershed import WatershedFinder

__all__ = [
    "FoundNuclei",
    "NuclearClasses",
    "Nuclei",
    "NucleusFinder",
    "NucleusSets",
    "Segmentation",
    "WatershedFinder",
    "divergence",
    "find_nuclei",
    "shares",
]
