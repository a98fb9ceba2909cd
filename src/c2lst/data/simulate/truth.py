"""The truth behind a simulated section, and its files."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from c2lst.data.simulate.structures import CELL_TYPES
from c2lst.errors import InputError
from c2lst.storage import read_json, whole_file, write_json

_FORMAT = 1


@dataclass(frozen=True)
class SimulatedTruth:
    """What is true of a simulated section. n spots, G genes, K = ``len(CELL_TYPES)`` cell types.

    Attributes
    ----------
    settings
        Arguments of `simulate_tissue`.
    barcodes
        (n,) such as ``10x13``: column x row.
    centres_um
        (n, 2) spot centres as (x, y) in µm from the slide's upper left corner.
    cell_counts
        (n, K) nuclei of each type in the spot that the expression comes from.
    image_cell_counts
        (n, K) nuclei of each type that the image shows there: the same, unless the image is
        uninformative.
    cells_um, cell_kinds
        (m, 2) and (m,) nuclei in the image: centres in µm, index into ``CELL_TYPES``.
    genes, gene_kinds
        (G,) names and "image", "space", "mixed" or "noise".
    image_share, space_share
        (G,) shares of the biological variance of the log rate; the rest is noise. With an
        uninformative image, ``image_share`` is what an informative one would have shown.
    library_size
        (n,) expected total counts.
    log_rate, image_part, space_part
        (n, G) noise-free log expression (natural log, up to a constant per spot) and its two
        predictable parts.
    expected_lognorm
        (n, G) mean of log1p(counts per 10,000) over the counting noise.
    predictable_lognorm
        (n, G) the same, over the noise of the biology as well: the best prediction from image
        and place by squared error.
    """

    settings: dict[str, Any]
    barcodes: np.ndarray
    centres_um: np.ndarray
    cell_counts: np.ndarray
    image_cell_counts: np.ndarray
    cells_um: np.ndarray
    cell_kinds: np.ndarray
    genes: np.ndarray
    gene_kinds: np.ndarray
    image_share: np.ndarray
    space_share: np.ndarray
    library_size: np.ndarray
    log_rate: np.ndarray
    image_part: np.ndarray
    space_part: np.ndarray
    expected_lognorm: np.ndarray
    predictable_lognorm: np.ndarray
    cell_types: tuple[str, ...] = field(default=CELL_TYPES)

    @property
    def composition(self) -> np.ndarray:
        """(n, K) share of each cell type in a spot; zeros where a spot has no nucleus."""
        return self.cell_counts / np.maximum(self.nuclei, 1)[:, None]

    @property
    def nuclei(self) -> np.ndarray:
        """(n,) nuclei in each spot."""
        return self.cell_counts.sum(axis=1)

    def save(self, directory: str | Path) -> None:
        """Write ``{name}_truth.npz`` and ``{name}_truth.json``."""
        directory, name = Path(directory), self.settings["name"]
        with whole_file(directory / f"{name}_truth.npz") as partial, partial.open("wb") as file:
            np.savez_compressed(file, **{key: getattr(self, key) for key in _ARRAYS})
        write_json(directory / f"{name}_truth.json", self.summary())

    def summary(self) -> dict[str, Any]:
        """Return the settings and the truth per gene and per spot, for JSON."""
        noise_share = 1 - self.image_share - self.space_share
        by_gene = zip(
            self.genes,
            self.gene_kinds,
            self.image_share,
            self.space_share,
            noise_share,
            strict=True,
        )
        return {
            "format": _FORMAT,
            "settings": self.settings,
            "mean_shares": {
                "image": float(self.image_share.mean()),
                "space": float(self.space_share.mean()),
                "noise": float(noise_share.mean()),
            },
            "cell_types": list(self.cell_types),
            "spots": {
                str(barcode): [int(count) for count in counts]
                for barcode, counts in zip(self.barcodes, self.cell_counts, strict=True)
            },
            "genes": {
                str(gene): {
                    "kind": str(kind),
                    "image": round(float(image), 4),
                    "space": round(float(space), 4),
                    "noise": round(float(noise), 4),
                }
                for gene, kind, image, space, noise in by_gene
            },
        }

    @classmethod
    def load(cls, directory: str | Path, name: str = "SIM") -> SimulatedTruth:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            If a file is missing or of another format.
        """
        directory = Path(directory)
        summary = read_json(directory / f"{name}_truth.json", required=("format", "settings"))
        path = directory / f"{name}_truth.npz"
        if not path.is_file():
            raise InputError(path, "no such file", remedy="simulate the section again")
        if summary["format"] != _FORMAT:
            raise InputError(path, "format", found=summary["format"], expected=_FORMAT)
        with np.load(path, allow_pickle=False) as arrays:
            missing = sorted(set(_ARRAYS) - set(arrays.files))
            if missing:
                raise InputError(path, f"array {missing[0]!r} is missing")
            return cls(settings=summary["settings"], **{key: arrays[key] for key in _ARRAYS})


_ARRAYS = tuple(
    entry.name for entry in fields(SimulatedTruth) if entry.name not in ("settings", "cell_types")
)
