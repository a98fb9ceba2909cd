"""Simulated tissue with known truth, in the layout of legacy Spatial Transcriptomics.

`simulate_tissue` draws cells, renders them in haematoxylin and eosin, and counts transcripts of
which a known share is visible in the image, a known share only in space, and the rest is noise.
"""

from c2lst.data.simulate.section import simulate_tissue
from c2lst.data.simulate.structures import CELL_TYPES
from c2lst.data.simulate.truth import SimulatedTruth

__all__ = ["CELL_TYPES", "SimulatedTruth", "simulate_tissue"]
