"""A simulated section on disk: the one public function."""

from __future__ import annotations

import gzip
import io
from dataclasses import asdict
from pathlib import Path

import numpy as np

from c2lst.data.simulate.expression import Expression, GeneTable, draw_expression, draw_genes
from c2lst.data.simulate.fields import Field
from c2lst.data.simulate.render import render
from c2lst.data.simulate.settings import MARGIN_UM, SPOT_DIAMETER_UM, Settings
from c2lst.data.simulate.structures import Cells
from c2lst.data.simulate.tissue import draw_outline, draw_tissue, spot_cell_counts
from c2lst.data.simulate.truth import SimulatedTruth
from c2lst.progress import logger
from c2lst.storage import whole_file

_JITTER = 0.015


def simulate_tissue(
    directory: str | Path,
    *,
    name: str = "SIM",
    spots: tuple[int, int] = (20, 20),
    pitch_um: float = 200.0,
    mpp: float = 1.0,
    genes: int = 300,
    seed: int = 0,
    image_share: float = 0.40,
    space_share: float = 0.25,
    median_library_size: float = 4500.0,
    uninformative_image: bool = False,
) -> SimulatedTruth:
    """Write a simulated section with known truth, in the layout of legacy Spatial Transcriptomics.

    The files are ``{name}.jpg`` (H&E), ``{name}.tsv.gz`` (counts, spots × genes),
    ``{name}_selection.tsv`` (spot positions) and the truth, ``{name}_truth.npz`` and
    ``{name}_truth.json``. The same arguments give the same bytes.

    Parameters
    ----------
    directory
        Where the files go; files of the same names are replaced.
    name
        Name of the section.
    spots
        Columns and rows of the array; spots off the tissue are not written.
    pitch_um
        Distance of neighbouring spot centres in µm; a spot measures 100 µm.
    mpp
        µm per pixel of the image. The tissue does not depend on it.
    genes
        Number of genes.
    seed
        Seed of everything.
    image_share, space_share
        Mean share of the biological variance of a gene's log expression that the cells in view
        explain, and that a smooth field invisible in the image explains; together at most 0.8.
    median_library_size
        Median of the expected counts per spot.
    uninformative_image
        Render another tissue within the same outline: the same expression, but an image that
        tells nothing of it.

    Returns
    -------
    SimulatedTruth

    Raises
    ------
    InputError
        If an argument is out of range, or ``directory`` cannot be written.
    """
    settings = Settings(
        name,
        tuple(spots),  # type: ignore[arg-type]
        pitch_um,
        mpp,
        genes,
        seed,
        image_share,
        space_share,
        median_library_size,
        uninformative_image,
    )
    # One stream a purpose, so that no setting of one part changes another part's draws.
    streams = np.random.SeedSequence(seed).spawn(6)
    outline_rng, tissue_rng, other_rng, image_rng, gene_rng, count_rng = map(
        np.random.default_rng, streams
    )
    outline = draw_outline(outline_rng, settings.extent_um, MARGIN_UM)
    tissue = draw_tissue(tissue_rng, outline, settings.extent_um)
    shown = draw_tissue(other_rng, outline, settings.extent_um) if uninformative_image else tissue
    array, places, centres_um = _spots(settings, outline, outline_rng)
    cell_counts = spot_cell_counts(tissue.cells, centres_um, SPOT_DIAMETER_UM)
    table = draw_genes(gene_rng, genes, image_share, space_share)
    expression = draw_expression(count_rng, table, cell_counts, centres_um, median_library_size)
    truth = _truth(settings, array, centres_um, cell_counts, shown.cells, table, expression)
    directory = Path(directory)
    _write_image(directory / f"{name}.jpg", render(shown, mpp, image_rng))
    _write_counts(directory / f"{name}.tsv.gz", truth, expression.counts)
    _write_spots(directory / f"{name}_selection.tsv", array, places, centres_um / mpp)
    truth.save(directory)
    logger.info("%s: %d spots, %d genes, %.2f µm/px", name, len(array), genes, mpp)
    return truth


def _spots(
    settings: Settings, outline: Field, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Array positions (n, 2), measured positions in pitches (n, 2), centres in µm (n, 2)."""
    columns, rows = settings.spots
    array = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).reshape(-1, 2)
    array = array[np.lexsort((array[:, 1], array[:, 0]))]
    places = np.round(array + _JITTER * np.clip(rng.standard_normal(array.shape), -2.5, 2.5), 3)
    used = (np.array(settings.spots) - 1) * settings.pitch_um
    centres_um = (np.array(settings.extent_um) - used) / 2 + places * settings.pitch_um
    on_tissue = outline.at(centres_um) > SPOT_DIAMETER_UM / 4
    # Array positions start at 1 in files of this kind.
    return array[on_tissue] + 1, places[on_tissue] + 1, centres_um[on_tissue]


def _truth(
    settings: Settings,
    array: np.ndarray,
    centres_um: np.ndarray,
    cell_counts: np.ndarray,
    shown: Cells,
    table: GeneTable,
    expression: Expression,
) -> SimulatedTruth:
    matrices = {
        key: getattr(expression, key).astype(np.float32)
        for key in (
            "library_size",
            "log_rate",
            "image_part",
            "space_part",
            "expected_lognorm",
            "predictable_lognorm",
        )
    }
    return SimulatedTruth(
        settings=asdict(settings),
        barcodes=np.array([f"{x}x{y}" for x, y in array]),
        centres_um=centres_um,
        cell_counts=cell_counts,
        image_cell_counts=spot_cell_counts(shown, centres_um, SPOT_DIAMETER_UM),
        cells_um=shown.centres_um.astype(np.float32),
        cell_kinds=shown.kinds.astype(np.uint8),
        genes=table.names,
        gene_kinds=table.kinds,
        image_share=table.image_share,
        space_share=table.space_share,
        **matrices,
    )


def _write_image(path: Path, image: np.ndarray) -> None:
    from PIL import Image

    with whole_file(path) as partial:
        Image.fromarray(image).save(partial, format="JPEG", quality=92, subsampling=0)


def _write_counts(path: Path, truth: SimulatedTruth, counts: np.ndarray) -> None:
    with (
        whole_file(path) as partial,
        partial.open("wb") as file,
        # Neither a name nor a time in the header: the same counts are the same bytes.
        gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as text,
    ):
        text.write("\t".join(["", *truth.genes]) + "\n")
        for barcode, row in zip(truth.barcodes, counts, strict=True):
            text.write("\t".join([barcode, *map(str, row)]) + "\n")


def _write_spots(path: Path, array: np.ndarray, places: np.ndarray, pixels: np.ndarray) -> None:
    lines = ["x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y\tselected"]
    lines += [
        f"{x}\t{y}\t{new_x:.3f}\t{new_y:.3f}\t{pixel_x:.2f}\t{pixel_y:.2f}\t1"
        for (x, y), (new_x, new_y), (pixel_x, pixel_y) in zip(array, places, pixels, strict=True)
    ]
    with whole_file(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
