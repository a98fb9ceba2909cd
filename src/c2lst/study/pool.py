"""The synthetic pool of a split: one for all ratios, which grows when a larger one is asked for."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from c2lst.data.synthetic import SyntheticPairs
from c2lst.diffusion.draws import mix_seed

if TYPE_CHECKING:
    from c2lst.local import SynthesisSettings
    from c2lst.workflow.rundir import RunDirectory

UNCONDITIONAL = "unconditional"


def enlarge(directory: RunDirectory, settings: SynthesisSettings) -> int:
    """Draw what a pool lacks of ``settings.per_spot`` pairs a spot, and return its size.

    What is there stays, in its place: cells of smaller ratios rest on it. New pairs have seeds of
    their own, so that a pool that grew is not the one that would have been drawn at once.
    """
    from c2lst.central import CentralModel
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.local import LocalModel

    section = Section.load(directory.path("section"))
    split = SpotSplit.load(directory.path("split.json"))
    pool = SyntheticPairs.load(directory.path("synthetic"))
    held = len(pool) // len(split.train)
    if held < settings.per_spot:
        local = LocalModel.load(
            directory.path("adapter"), CentralModel.load(directory.path("central"))
        )
        missing = dataclasses.replace(
            settings, per_spot=settings.per_spot - held, seed=mix_seed(settings.seed, held)
        )
        more = local.synthesize(section, split, missing, directory=directory.scratch("enlarge"))
        pool = joined(pool, more, len(split.train))
        pool.save(directory.path("synthetic"), section.name)
    return len(pool)


def joined(pool: SyntheticPairs, more: SyntheticPairs, spots: int) -> SyntheticPairs:
    """Put further pairs behind those of the same spot; both are sorted by spot."""
    spot = np.concatenate([_spot_of(pairs, spots) for pairs in (pool, more)])
    order = np.argsort(spot, kind="stable")

    def both(name: str) -> np.ndarray:
        parts = [np.asarray(getattr(pairs, name)) for pairs in (pool, more)]
        return np.concatenate(parts)[order]

    known = pool.counts is not None and more.counts is not None
    return dataclasses.replace(
        pool,
        images=both("images"),
        scaled=both("scaled"),
        lognorm=both("lognorm"),
        source_barcodes=both("source_barcodes"),
        seeds=both("seeds"),
        counts=both("counts") if known else None,
        provenance={**pool.provenance, "enlarged": more.provenance},
    )


def _spot_of(pairs: SyntheticPairs, spots: int) -> np.ndarray:
    return np.repeat(np.arange(spots), len(pairs) // spots)


def draw_unconditional(directory: RunDirectory, settings: SynthesisSettings) -> int:
    """Give the profiles of the pool to samples of the central model, which knows no genes.

    Returns how many there are.
    """
    from c2lst.central import CentralModel

    pool = SyntheticPairs.load(directory.path("synthetic"))
    images = CentralModel.load(directory.path("central")).sample(
        len(pool), seed=settings.seed, sampler=settings.sampler, batch_size=settings.batch_size
    )
    pairs = dataclasses.replace(
        pool,
        images=images,
        guidance_scale=0.0,
        provenance={**pool.provenance, "control": {"name": UNCONDITIONAL}},
    )
    pairs.save(directory.path(UNCONDITIONAL), directory.manifest["inputs"]["section"])
    return len(pairs)
