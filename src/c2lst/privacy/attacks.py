"""The attacks of an audit, put together: on an adapter, or on synthetic pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from c2lst.errors import InputError
from c2lst.privacy.audit import PrivacyAudit
from c2lst.privacy.copying import Copying, Nearest, compare, pixels
from c2lst.privacy.gallery import copy_gallery
from c2lst.privacy.membership import loss_attacks, profile_attack
from c2lst.privacy.spots import AuditSpots

if TYPE_CHECKING:
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.synthetic import SyntheticPairs
    from c2lst.local import LocalModel

MOST = 2000
DRAWN = 200
PIXELS = "pixels, turned and mirrored"


def audit(
    section: Section,
    split: SpotSplit,
    preprocessing: Preprocessing,
    *,
    model: LocalModel | None = None,
    pairs: SyntheticPairs | None = None,
    encoder: str | None = "auto",
    seed: int = 0,
) -> tuple[PrivacyAudit, np.ndarray]:
    """Attack an adapter, or synthetic pairs with or without their adapter.

    Parameters
    ----------
    section, split
        The slide and its split, whose test spots are what training spots are compared with.
    preprocessing
        Stain and expression scale of the adapter.
    model
        The adapter. Without ``pairs`` it is what is audited.
    pairs
        Synthetic pairs to audit; drawn from the model, one or more for each spot, by default.
    encoder
        Image encoder for the second look at copying; None for pixels alone.
    seed
        Of all draws.

    Returns
    -------
    audit
        What was found.
    gallery
        Picture of the most suspicious images beside the real ones, uint8 RGB. It shows patient
        data.

    Raises
    ------
    InputError
        If neither adapter nor pairs are given, or they belong to other spots.
    """
    if model is None and pairs is None:
        raise InputError("privacy audit", "nothing to audit", expected="an adapter or pairs")
    spots = AuditSpots.choose(section, split, model)
    training, held_out = (
        positions[_some(len(positions), seed)] for positions in (spots.training, spots.held_out)
    )
    chosen = section.subset(section.barcodes[np.concatenate([training, held_out])])
    images, expression = preprocessing.images(chosen), preprocessing.expression(chosen)
    trained_on = np.arange(len(chosen)) < len(training)
    subject = "adapter" if pairs is None else "synthetic pairs"
    if model is not None and pairs is None:
        drawn, sources = _draw(model, expression[trained_on], seed)
        attack, carried = None, 0.0
    elif pairs is not None:
        rows = _some(len(pairs), seed)
        drawn, sources = pairs.images[rows], pairs.source_barcodes[rows]
        attack, carried = profile_attack(
            _scaled_alike(pairs, preprocessing), expression[trained_on], expression[~trained_on]
        )
    real = (images[trained_on], images[~trained_on])
    copying, nearest = _copying(drawn, *real, sources, encoder, seed)
    membership = (
        () if model is None else loss_attacks(model, images, expression, trained_on, seed=seed)
    )
    done = PrivacyAudit(
        subject=subject,
        training=len(training),
        held_out=len(held_out),
        overlapping=spots.overlapping,
        set_aside=spots.set_aside,
        copying=copying,
        membership=membership,
        profiles=attack,
        carried=carried,
        private=None if model is None else model.provenance.get("privacy"),
        seed=seed,
    )
    return done, copy_gallery(drawn, *real, nearest)


def _copying(
    synthetic: np.ndarray,
    training: np.ndarray,
    held_out: np.ndarray,
    sources: np.ndarray,
    encoder: str | None,
    seed: int,
) -> tuple[tuple[Copying, ...], Nearest]:
    """Look for copies in pixels and in features; the gallery goes by pixels."""
    from c2lst.evaluation.encoders import get_encoder

    by_pixels, nearest = compare(
        pixels(synthetic, turns=False),
        pixels(training, turns=True),
        pixels(held_out, turns=True),
        sources,
        space=PIXELS,
        seed=seed,
    )
    if encoder is None:
        return (by_pixels,), nearest
    network = get_encoder(encoder)
    by_features, _ = compare(
        network.encode(synthetic),
        network.encode(training)[:, None],
        network.encode(held_out)[:, None],
        sources,
        space=network.label,
        seed=seed,
    )
    return (by_pixels, by_features), nearest


def _draw(model: LocalModel, expression: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw about 200 images for the training spots' profiles, and one for each at least."""
    from c2lst.diffusion.draws import mix_seed
    from c2lst.local import SynthesisSettings

    spots = _some(len(expression), seed)
    sources = np.repeat(spots, max(1, round(DRAWN / len(spots))))
    seeds = [mix_seed(seed, 5, index) for index in range(len(sources))]
    return model.draw(expression[sources], seeds, SynthesisSettings()), sources


def _scaled_alike(pairs: SyntheticPairs, preprocessing: Preprocessing) -> np.ndarray:
    """Return the profiles of pairs on the scale of ``preprocessing``.

    Raises
    ------
    InputError
        If the genes differ.
    """
    if pairs.genes != preprocessing.panel.genes:
        raise InputError(
            "synthetic pairs",
            "their genes are not those of the adapter or section",
            found=f"{len(pairs.genes)} genes",
            expected=f"{len(preprocessing.panel.genes)}, in the same order",
        )
    return preprocessing.scaler.scale(pairs.lognorm)


def _some(count: int, seed: int) -> np.ndarray:
    """Return at most 2,000 rows, in order."""
    order = np.random.default_rng((seed, 6)).permutation(count)
    return np.sort(order[:MOST])
