"""Images for a list of profiles and seeds, kept on disk so that the work can be interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.local.batches import ImageStore
from c2lst.storage import hash_arrays

if TYPE_CHECKING:
    from c2lst.local.model import LocalModel
    from c2lst.local.synthesis import SynthesisSettings


def draw_kept(
    model: LocalModel,
    profiles: np.ndarray,
    seeds: list[int],
    settings: SynthesisSettings,
    directory: Path | None,
) -> np.ndarray:
    """Draw one patch per profile as :meth:`LocalModel.draw` does, going on where it stopped.

    Parameters
    ----------
    directory
        Where images are kept as they are drawn; nowhere by default.

    Raises
    ------
    InputError
        If the folder holds images of another request.
    """
    if directory is None:
        return model.draw(profiles, seeds, settings)
    store = ImageStore(directory, len(seeds), model.central.size)
    store.open(
        {
            "adapter": model.hash,
            "profiles": hash_arrays({"profiles": profiles, "seeds": np.array(seeds)}),
            "sampler": settings.sampler,
            "guidance": settings.guidance,
            "guidance interval": list(settings.guidance_interval or ()),
        }
    )
    missing, step = store.missing(), settings.batch_size
    for start in range(0, len(missing), step):
        rows = missing[start : start + step]
        own = [seeds[row] for row in rows.tolist()]
        store.keep(rows, model.draw(profiles[rows], own, settings))
    return store[:]
