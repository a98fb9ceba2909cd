"""Features of the frozen encoder, made once a section and kept with the benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.pooling import pool
from c2lst.storage import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from c2lst.benchmark.looking import Looking
    from c2lst.data.section import Section
    from c2lst.data.stain import StainReference

_AT_ONCE = 512
_KEY = "features"


def in_one_stain(sections: Sequence[Section], stain: StainReference, *, normalise: bool) -> Section:
    """Pool sections with patches as all methods see them.

    The stain is no section's, so that what a section looks like does not depend on the fold, nor
    one section's images on another's.
    """
    return pool(sections, stain=stain, normalise=normalise)


def features_of(section: Section, looking: Looking, path: Path, *, normalise: bool) -> np.ndarray:
    """Read the features (n, d) of a section, or make and keep them."""
    from safetensors.numpy import load_file, save_file

    if not path.is_file():
        patches = in_one_stain([section], looking.stain, normalise=normalise).patches
        parts = [
            looking.encoder.encode(patches[np.arange(start, min(start + _AT_ONCE, len(patches)))])
            for start in range(0, len(patches), _AT_ONCE)
        ]
        with whole_file(path) as partial:
            save_file({_KEY: np.ascontiguousarray(np.concatenate(parts))}, partial)
    features: np.ndarray = load_file(path)[_KEY]
    return features
