"""Simulated tissue on small bins: exact expected expression, counts, and an image of the cells.

The expected counts of gene g in a bin are ::

    λ_g = depth · (Σ_k D_k P_kg + ambient) · exp(s_g S_g)

with D_k the RNA of cells of type k around (nuclei blurred by 7 µm), P the profile of a type, and
S_g a smooth field that no image shows. Genes come in three kinds: markers of a cell type, genes
that follow a field alone, and genes that do neither.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from c2lst.data.simulate import CELL_TYPES
from c2lst.data.simulate.fields import random_field
from c2lst.data.simulate.render import render
from c2lst.data.simulate.structures import Cells
from c2lst.data.simulate.tissue import Tissue, draw_outline, draw_tissue
from c2lst.progress import progress_bar
from c2lst.rules import Rule, above, hold, whole
from c2lst.superres.maps import MapSample, SuperresMaps, check_scale

MARGIN_UM = 200.0
CELL_UM = 7.0
_RNA = (1.0, 1.6, 0.7, 0.6, 1.2)
_AMBIENT = 0.08
_FIELD_UM = (150.0, 250.0, 400.0)
_FINER = 4


@dataclass(frozen=True)
class Simulation:
    """What to simulate.

    Parameters
    ----------
    patients
        Number of patients, one section each.
    genes
        Number of genes: of twelve, eight are markers, three follow a field, one does neither.
    side_um
        Side of a section, a whole number of spots.
    bin_um, spot_um
        Side of a bin and of a spot's square.
    image_um
        µm per image px; bins are a whole number of them.
    depth
        Mean counts of a gene in a bin of 10 µm on tissue.
    seed
        Another seed, other patients; the genes stay what they are.
    uninformative_image
        Show the cells of another tissue within the same outline: a control.

    Raises
    ------
    InputError
        If a value is out of range.
    """

    patients: int = 8
    genes: int = 12
    side_um: float = 2400.0
    bin_um: float = 10.0
    spot_um: float = 100.0
    image_um: float = 5.0
    depth: float = 0.5
    seed: int = 0
    uninformative_image: bool = False

    def __post_init__(self) -> None:
        widths = dict.fromkeys(("side_um", "bin_um", "spot_um", "image_um"), above(0))
        numbers = {"patients": whole(1), "genes": whole(3), "depth": above(0), "seed": whole()}
        hold(self, "simulation", **widths, **numbers)
        check_scale(self.bin_um, self.spot_um)

        def times(unit: float, least: int, expected: str) -> Rule:
            return Rule(
                lambda width: width / unit >= least and (width / unit).is_integer(), expected
            )

        hold(self, "simulation", side_um=times(self.spot_um, 4, "4 or more whole spots"))
        px = Rule(lambda width: (self.bin_um / width).is_integer(), "a whole number of px in a bin")
        hold(self, "simulation", image_um=px)


def build(simulation: Simulation) -> SuperresMaps:
    """Draw the patients of a simulation."""
    genes, profiles, scales = _genes(simulation.genes)
    samples = []
    with progress_bar("simulate", simulation.patients) as bar:
        for patient in range(simulation.patients):
            samples.append(_sample(simulation, patient, profiles, scales))
            bar.advance()
    image = "another tissue's" if simulation.uninformative_image else "its own"
    about = {"kind": "simulated tissue", "seed": simulation.seed, "image": image}
    return SuperresMaps(genes, simulation.bin_um, simulation.spot_um, tuple(samples), source=about)


def _genes(number: int) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Names, profiles (types, G) and the number of each gene's field, -1 for none."""
    rng = np.random.default_rng(20240812)
    profiles = np.exp(rng.normal(0.0, 0.25, (len(CELL_TYPES), number)))
    fields = np.full(number, -1)
    names = []
    for gene in range(number):
        place = gene % 12
        if place < 8:
            kind = gene % len(CELL_TYPES)
            profiles[kind, gene] *= np.exp(rng.uniform(2.0, 3.2))
            names.append(f"{CELL_TYPES[kind]}-{gene:03d}")
        elif place < 11:
            fields[gene] = gene % len(_FIELD_UM)
            names.append(f"G{fields[gene] + 1}-{gene:03d}")
        else:
            names.append(f"HKG-{gene:03d}")
    return tuple(names), profiles, fields


def _sample(
    simulation: Simulation, patient: int, profiles: np.ndarray, fields: np.ndarray
) -> MapSample:
    outline_rng, own_rng, other_rng, image_rng, field_rng, count_rng = map(
        np.random.default_rng, np.random.SeedSequence([simulation.seed, patient]).spawn(6)
    )
    extent = (simulation.side_um, simulation.side_um)
    outline = draw_outline(outline_rng, extent, MARGIN_UM)
    tissue = draw_tissue(own_rng, outline, extent)
    shown = draw_tissue(other_rng, outline, extent) if simulation.uninformative_image else tissue
    expected, on_tissue = _expected(simulation, tissue, profiles, fields, field_rng)
    return MapSample(
        name=f"S{patient + 1:02d}",
        patient=f"P{patient + 1:02d}",
        counts=count_rng.poisson(expected).astype(np.float32),
        image=_image(simulation, shown, image_rng),
        tissue=on_tissue,
        expected=expected,
    )


def _expected(
    simulation: Simulation,
    tissue: Tissue,
    profiles: np.ndarray,
    fields: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Compute expected counts of each bin, float32 (G, H, W), and which bins are tissue."""
    bins = round(simulation.side_um / simulation.bin_um)
    place_um = (np.arange(bins) + 0.5) * simulation.bin_um
    on_tissue = tissue.outline.on_pixels(place_um, place_um) > 0
    rna = _rna(tissue.cells, bins, simulation.bin_um)
    rate = np.tensordot(profiles.T, rna, axes=1) + _AMBIENT
    extent = (simulation.side_um, simulation.side_um)
    smooth = [random_field(rng, extent, scale, simulation.bin_um).values for scale in _FIELD_UM]
    for gene in np.flatnonzero(fields >= 0):
        rate[gene] *= np.exp(0.8 * smooth[fields[gene]])
    rate *= on_tissue
    area = (simulation.bin_um / 10.0) ** 2
    mean = rate[:, on_tissue].mean(axis=1)[:, None, None]
    return (simulation.depth * area * rate / np.maximum(mean, 1e-9)).astype(np.float32), on_tissue


def _rna(cells: Cells, bins: int, bin_um: float) -> np.ndarray:
    """RNA of the cells of each type in each bin, (types, H, W)."""
    from scipy.ndimage import gaussian_filter

    x, y = np.clip((cells.centres_um / bin_um).astype(int), 0, bins - 1).T
    rna = np.zeros((len(CELL_TYPES), bins, bins))
    np.add.at(rna, (cells.kinds, y, x), np.array(_RNA)[cells.kinds])
    return np.stack([gaussian_filter(kind, CELL_UM / bin_um) for kind in rna])


def _image(simulation: Simulation, shown: Tissue, rng: np.random.Generator) -> np.ndarray:
    """Render finer than asked for, so that nuclei are averaged into px and not sampled."""
    drawn = render(shown, simulation.image_um / _FINER, rng)
    side = drawn.shape[0] // _FINER
    means = drawn.reshape(side, _FINER, side, _FINER, 3).mean(axis=(1, 3))
    return means.round().astype(np.uint8)
