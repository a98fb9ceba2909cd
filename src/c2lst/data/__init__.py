"""From files to validated values: sections, splits, panels, stains, patches, synthetic pairs.

Names are resolved when first used, so that importing the package stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from c2lst.data.collections import PatchCollection
    from c2lst.data.genes import ExpressionScaler, GenePanel
    from c2lst.data.image import SlideImage
    from c2lst.data.patches import Patches, extract_patches, tissue_positions
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.readers import read
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.stain import StainJitter, StainNormaliser, StainReference
    from c2lst.data.synthetic import SyntheticPairs
    from c2lst.data.tissue import tissue_fraction

_HOMES = {
    "ExpressionScaler": "genes",
    "GenePanel": "genes",
    "PatchCollection": "collections",
    "Patches": "patches",
    "Preprocessing": "preprocessing",
    "Section": "section",
    "SlideImage": "image",
    "SpotSplit": "split",
    "StainJitter": "stain",
    "StainNormaliser": "stain",
    "StainReference": "stain",
    "SyntheticPairs": "synthetic",
    "extract_patches": "patches",
    "read": "readers",
    "tissue_fraction": "tissue",
    "tissue_positions": "patches",
}

__all__ = [
    "ExpressionScaler",
    "GenePanel",
    "PatchCollection",
    "Patches",
    "Preprocessing",
    "Section",
    "SlideImage",
    "SpotSplit",
    "StainJitter",
    "StainNormaliser",
    "StainReference",
    "SyntheticPairs",
    "extract_patches",
    "read",
    "tissue_fraction",
    "tissue_positions",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
