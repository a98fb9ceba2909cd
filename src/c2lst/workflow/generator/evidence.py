"""What a generator is judged by: patches drawn for genes and for controls, and real ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.evaluation.conditioning import SHUFFLED, SYNTHETIC, UNCONDITIONAL, partners
from c2lst.progress import logger
from c2lst.rules import at_least, hold, whole

if TYPE_CHECKING:
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.evaluation.cells import NucleusFinder, NucleusSets
    from c2lst.evaluation.encoders import ImageEncoder
    from c2lst.local import LocalModel

TRAINING, HELD_OUT = "training", "held_out"
NUCLEI_AND_STAINS = "nuclei and stains"
CELLVIT = "cellvit"


@dataclass(frozen=True)
class GeneratorSettings:
    """How a generator is judged.

    Parameters
    ----------
    per_spot
        Images of each arm per training spot.
    guidance, sampler
        As in :class:`~c2lst.local.SynthesisSettings`.
    encoder
        Whose features are compared (:func:`c2lst.evaluation.encoders.get_encoder`).
    nuclei
        What finds nuclei: ``watershed``; ``hovernet``, or ``hovernet=WEIGHTS``, where tiatoolbox
        is installed; ``cellvit=FOLDER`` for what CellViT found.
    umap
        Whether patches are mapped by UMAP, too, where umap-learn is installed.
    drop_genes
        How many genes the figure of missing genes leaves out first (paper: five); 0 for no figure.
    seed
        Of noise, shuffling, clusters and resamplings.

    Raises
    ------
    InputError
        If a number is out of range.
    """

    per_spot: int = 4
    guidance: float = 3.0
    sampler: str = "fast"
    encoder: str = "auto"
    nuclei: str = "watershed"
    umap: bool = True
    drop_genes: int = 5
    seed: int = 0

    def __post_init__(self) -> None:
        # Before hours of drawing, and not where each is first used.
        numbers = {"per_spot": whole(1), "drop_genes": whole(), "seed": whole()}
        hold(self, "generator settings", guidance=at_least(0), **numbers)


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a generator is judged by.

    Attributes
    ----------
    training, held_out
        Real spots that the adapter learnt from, and spots that it never saw.
    scaled, held_out_scaled
        Their scaled expression, ``(n, G)`` and ``(k, G)``.
    genes
        Names of the G genes.
    rows
        int ``(m,)``: the training spot that each synthetic patch stands for.
    images
        uint8 patches of ``training``, ``held_out`` and of each of the arms.
    looks
        What is read of a patch: first the features of the encoder, then nuclei and stains; each
        ``(patches, d)`` under the keys of ``images``.
    encoder, nuclei
        What described the patches, and what knows their nuclei.
    patch_um
        Side of a patch in µm.
    seed
        Of what follows.
    """

    training: Section
    held_out: Section
    scaled: np.ndarray
    held_out_scaled: np.ndarray
    genes: tuple[str, ...]
    rows: np.ndarray
    images: dict[str, Any]
    looks: dict[str, dict[str, np.ndarray]]
    encoder: ImageEncoder
    nuclei: NucleusSets
    patch_um: float
    seed: int

    @property
    def draws(self) -> list[np.ndarray]:
        """Synthetic patches by draw: each int (n,) has one of every training spot, in order."""
        by_spot = np.arange(len(self.rows)).reshape(len(self.training), -1)
        return list(by_spot.T)


def gather(
    local: LocalModel,
    section: Section,
    split: SpotSplit,
    settings: GeneratorSettings,
    *,
    held_out: Section | None = None,
    directory: Path | None = None,
    cache: Path | None = None,
) -> Evidence:
    """Draw the synthetic patches and describe them and the real ones."""
    from c2lst.evaluation.encoders import get_encoder

    encoder = get_encoder(settings.encoder, cache=cache or "auto")
    fitted = local.preprocessing
    training = split.training(section)
    if held_out is not None and held_out.content_hash == section.content_hash:
        raise InputError(
            "held-out section",
            "is the adapter's own",
            remedy="leave --held-out out: its test spots are held out by default",
        )
    unseen = split.part(section, "test") if held_out is None else held_out
    for_unseen = fitted if held_out is None else fitted.for_section(held_out)
    logger.info(
        "evaluate: %d spots of %s that the generator never saw train the readers; they are used "
        "for this evaluation only",
        len(unseen),
        unseen.name,
    )
    images: dict[str, Any] = {
        TRAINING: fitted.images(training),
        HELD_OUT: for_unseen.images(unseen),
    }
    finder = _finder(settings.nuclei, images[HELD_OUT], local)
    images |= _arms(local, training, settings, directory)
    # Spots of another section do not lie on the adapter's slide.
    of_slide = {TRAINING: training} | ({HELD_OUT: unseen} if held_out is None else {})
    nuclei = _nuclei(finder, images, local.central.patch_um, of_slide)
    return Evidence(
        training=training,
        held_out=unseen,
        scaled=fitted.expression(training),
        held_out_scaled=for_unseen.expression(unseen),
        genes=tuple(fitted.panel.genes),
        rows=np.repeat(np.arange(len(training)), settings.per_spot),
        images=images,
        looks=_looks(images, local, encoder),
        encoder=encoder,
        nuclei=nuclei,
        patch_um=local.central.patch_um,
        seed=settings.seed,
    )


def _arms(
    local: LocalModel, training: Section, settings: GeneratorSettings, directory: Path | None
) -> dict[str, Any]:
    """Draw patches for the spots' genes, for other spots' genes and for none, from one noise."""
    from c2lst.local import SynthesisSettings
    from c2lst.local.profiles import draw_profiles

    true = SynthesisSettings(
        per_spot=settings.per_spot,
        guidance=settings.guidance,
        sampler=settings.sampler,
        seed=settings.seed,
    )
    own = draw_profiles(training, local.preprocessing, per_spot=settings.per_spot)
    partner = np.repeat(partners(len(training), settings.seed), settings.per_spot)
    others = replace(
        own,
        scaled=local.preprocessing.expression(training)[partner],
        sources=training.barcodes[partner],
        library_size=training.library_size[partner],
    )
    wanted = {
        SYNTHETIC: (own, true),
        SHUFFLED: (others, true),
        UNCONDITIONAL: (own, replace(true, guidance=0.0)),
    }
    drawn = {}
    for arm, (profiles, how) in wanted.items():
        logger.info("evaluate: %d %s patches", len(profiles), arm)
        place = None if directory is None else directory / arm
        drawn[arm] = local.synthesize_profiles(profiles, how, directory=place).images
    return drawn


def _finder(how: str, real: np.ndarray, local: LocalModel) -> NucleusFinder | Path:
    """Make what finds nuclei, which knows held-out real patches at most, or name its folder."""
    from c2lst.evaluation.cells import WatershedFinder
    from c2lst.evaluation.cells.hovernet import HoverNetFinder

    name, _, place = how.partition("=")
    if how == WatershedFinder.name:
        return WatershedFinder.fit(real, local.central.patch_um, local.preprocessing.stain)
    if name == HoverNetFinder.name:
        return HoverNetFinder(Path(place) if place else None)
    if name == CELLVIT and place:
        return Path(place)
    known = f"{WatershedFinder.name}, {HoverNetFinder.name} or {CELLVIT}=FOLDER"
    raise InputError("nuclei", "unknown way to find them", found=how, expected=known)


def _nuclei(
    finder: NucleusFinder | Path,
    images: dict[str, Any],
    patch_um: float,
    sections: dict[str, Section],
) -> NucleusSets:
    from c2lst.evaluation.cells import FoundNuclei
    from c2lst.evaluation.cells.cellvit_sets import CellVitNuclei

    if isinstance(finder, Path):
        return CellVitNuclei(finder, images, patch_um, sections)
    return FoundNuclei(finder, images, patch_um)


def _looks(
    images: dict[str, Any], local: LocalModel, encoder: ImageEncoder
) -> dict[str, dict[str, np.ndarray]]:
    from c2lst.evaluation.appearance import measure, nuclear_threshold

    side, stain = local.central.patch_um, local.preprocessing.stain
    threshold = nuclear_threshold(images[HELD_OUT], side, stain=stain)

    def measured(patches: np.ndarray) -> np.ndarray:
        values = measure(patches, side, stain=stain, threshold=threshold)
        return np.column_stack(list(values.values()))

    return {
        encoder.label: {key: encoder.encode(patches) for key, patches in images.items()},
        NUCLEI_AND_STAINS: {key: measured(patches) for key, patches in images.items()},
    }
