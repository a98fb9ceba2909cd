"""Figures of a study, each an image; colours are told apart by lightness, marks or letters too."""

from c2lst.study.figures.fractions import fraction_curves
from c2lst.study.figures.genes import gene_scatters
from c2lst.study.figures.maps import gene_maps
from c2lst.study.figures.regimes import regime_map

__all__ = ["fraction_curves", "gene_maps", "gene_scatters", "regime_map"]
