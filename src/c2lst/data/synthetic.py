"""Synthetic pairs: generated patches with the expression profile that each was drawn for."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from c2lst.data.layout import SYNTHETIC_SUFFIX, owned_directory, read_h5ad
from c2lst.data.patch_file import patch_file, write_patches
from c2lst.data.readers.constants import (
    HestDirectory,
    HestMetadataKey,
    HestPatchKey,
    SyntheticColumn,
)
from c2lst.errors import InputError
from c2lst.storage import read_json, write_json

FORMAT = 1
_SCALED = "scaled"
_COUNTS = "counts"

PARENT_SEPARATOR = "+"
"""Between the barcodes of a pair whose profile lies between two spots', in ``source_barcodes``."""


@dataclass(frozen=True, eq=False)
class SyntheticPairs:
    """Generated patches and the expression profiles that they were drawn for.

    They have no place on a slide, and none is invented.

    Parameters
    ----------
    images
        uint8 (m, S, S, 3), in memory or read when they are asked for.
    scaled, lognorm
        The profiles, float32 (m, G): standardised, and log1p of normalised counts; NaN for a gene
        that was not measured.
    source_barcodes
        Training spot behind each profile, str (m,); ``A+B`` for one between two spots.
    seeds
        Seed of each image, int64 (m,).
    guidance_scale, sampler
        How they were drawn.
    provenance
        Anything else worth keeping, as JSON values.
    genes
        Names of the G genes; ``provenance["genes"]``, or numbers, by default.
    patch_um
        Width of a patch in µm; ``provenance["patch_um"]`` by default, or unknown.
    counts
        The profiles as counts expected at the depth of their spots, float32 (m, G), not rounded;
        where they are known.
    """

    images: Any
    scaled: np.ndarray
    lognorm: np.ndarray
    source_barcodes: np.ndarray
    seeds: np.ndarray
    guidance_scale: float
    sampler: str
    provenance: dict[str, Any] = field(default_factory=dict)
    genes: tuple[str, ...] = ()
    patch_um: float | None = None
    counts: np.ndarray | None = None

    def __post_init__(self) -> None:
        def assign(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        assign("scaled", np.asarray(self.scaled, dtype=np.float32))
        assign("lognorm", np.asarray(self.lognorm, dtype=np.float32))
        assign("source_barcodes", np.asarray(self.source_barcodes, dtype=str))
        assign("seeds", np.asarray(self.seeds, dtype=np.int64))
        width = self.scaled.shape[-1]
        genes = self.genes or self.provenance.get("genes") or [str(i) for i in range(width)]
        assign("genes", tuple(genes))
        if self.patch_um is None and self.provenance.get("patch_um") is not None:
            assign("patch_um", float(self.provenance["patch_um"]))
        if self.counts is not None:
            assign("counts", np.asarray(self.counts, dtype=np.float32))
        self._check()

    def _check(self) -> None:
        count, width = len(self.images), len(self.genes)
        size = self.images.shape[1] if self.images.ndim == 4 else 0
        expected = {
            "images": (count, size, size, 3),
            "scaled": (count, width),
            "lognorm": (count, width),
            "source_barcodes": (count,),
            "seeds": (count,),
        } | ({} if self.counts is None else {"counts": (count, width)})
        for name, shape in expected.items():
            found = tuple(getattr(self, name).shape)
            if found != shape:
                raise InputError(
                    "synthetic pairs", f"{name} has the wrong shape", found=found, expected=shape
                )
        if self.images.dtype != np.uint8:
            raise InputError(
                "synthetic pairs", "images are not 8-bit", found=self.images.dtype, expected="uint8"
            )
        known = ~np.isnan(self.scaled)
        finite = np.isfinite(self.scaled) & np.isfinite(self.lognorm)
        if not (finite == known).all() or not known.any(axis=1).all():
            raise InputError("synthetic pairs", "a profile is not finite")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> int:
        """Width of a patch in px."""
        return int(self.images.shape[1])

    def subset(self, indices: np.ndarray) -> SyntheticPairs:
        """Return the pairs of ``indices``, in that order."""
        return replace(
            self,
            images=self.images[indices],
            scaled=self.scaled[indices],
            lognorm=self.lognorm[indices],
            source_barcodes=self.source_barcodes[indices],
            seeds=self.seeds[indices],
            counts=None if self.counts is None else self.counts[indices],
        )

    def save(self, directory: str | Path, name: str) -> None:
        """Write ``patches/{name}_synthetic.h5``, ``st/{name}_synthetic.h5ad`` and metadata.

        The h5ad holds log1p values in ``X``, standardised values in ``layers["scaled"]`` and
        expected counts in ``layers["counts"]``; its rows are those of the patch file.

        Raises
        ------
        InputError
            If ``directory`` holds files that c2lst did not write.
        """
        stem = f"{name}{SYNTHETIC_SUFFIX}"
        patch_um = float("nan") if self.patch_um is None else self.patch_um
        with owned_directory(directory, stem) as partial:
            rows = self._row_names()
            self._write_profiles(partial / HestDirectory.ST / f"{stem}.h5ad", rows)
            # With no slide behind them, "full resolution" is the patch's own.
            write_patches(
                partial / HestDirectory.PATCHES / f"{stem}.h5",
                self.images,
                rows,
                coords=None,
                downsample=1.0,
                pixel_size=patch_um / self.size,
            )
            write_json(
                partial / HestDirectory.METADATA / f"{stem}.json",
                {
                    HestMetadataKey.OURS: {
                        "format": FORMAT,
                        "kind": "synthetic_pairs",
                        "guidance_scale": self.guidance_scale,
                        "sampler": self.sampler,
                        "patch_um": self.patch_um,
                        "provenance": self.provenance,
                    }
                },
            )

    @classmethod
    def load(cls, directory: str | Path, name: str | None = None) -> SyntheticPairs:
        """Read pairs that ``save`` wrote.

        Parameters
        ----------
        directory
            The folder that holds ``st``, ``patches`` and ``metadata``.
        name
            Name of the section; needed only where there are several.

        Raises
        ------
        InputError
            If a file is missing or damaged, or the files do not belong together.
        """
        directory = Path(directory)
        stem = f"{_only_name(directory) if name is None else name}{SYNTHETIC_SUFFIX}"
        metadata = directory / HestDirectory.METADATA / f"{stem}.json"
        about = read_json(metadata, required=[HestMetadataKey.OURS])[HestMetadataKey.OURS]
        adata = read_h5ad(directory / HestDirectory.ST / f"{stem}.h5ad")
        path = directory / HestDirectory.PATCHES / f"{stem}.h5"
        with patch_file(path) as file:
            images = np.asarray(file[HestPatchKey.IMAGES][()])
        try:
            return cls(
                images,
                np.asarray(adata.layers[_SCALED]),
                np.asarray(adata.X),
                adata.obs[SyntheticColumn.SOURCE_BARCODE].to_numpy(dtype=str),
                adata.obs[SyntheticColumn.SEED].to_numpy(),
                float(about["guidance_scale"]),
                str(about["sampler"]),
                dict(about["provenance"]),
                tuple(adata.var_names),
                about["patch_um"],
                adata.layers.get(_COUNTS),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(metadata, f"describes no synthetic pairs ({error!r})") from error

    def _row_names(self) -> np.ndarray:
        """Return unique row names: the source barcode and a running number."""
        return np.array([f"{b}-s{i:06d}" for i, b in enumerate(self.source_barcodes)], dtype=str)

    def _write_profiles(self, path: Path, rows: np.ndarray) -> None:
        import anndata
        import pandas as pd

        obs = pd.DataFrame(
            {
                SyntheticColumn.SOURCE_BARCODE.value: self.source_barcodes,
                SyntheticColumn.SEED.value: self.seeds,
                SyntheticColumn.GUIDANCE_SCALE.value: float(self.guidance_scale),
                SyntheticColumn.SAMPLER.value: self.sampler,
            },
            index=rows,
        )
        adata = anndata.AnnData(X=self.lognorm, obs=obs, var=pd.DataFrame(index=list(self.genes)))
        adata.layers[_SCALED] = self.scaled
        if self.counts is not None:
            adata.layers[_COUNTS] = self.counts
        adata.uns["c2lst"] = {
            "X": "log1p of normalised counts",
            "provenance": json.dumps(self.provenance, default=str),
        }
        adata.write_h5ad(path, compression="gzip")


def _only_name(directory: Path) -> str:
    stems = sorted(p.stem for p in (directory / HestDirectory.ST).glob(f"*{SYNTHETIC_SUFFIX}.h5ad"))
    if len(stems) != 1:
        raise InputError(
            directory,
            "which synthetic pairs?" if stems else "holds no synthetic pairs",
            found=", ".join(stems) or None,
            expected="st/{name}_synthetic.h5ad",
        )
    return stems[0].removesuffix(SYNTHETIC_SUFFIX)
