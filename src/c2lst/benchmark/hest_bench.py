"""Tasks of HEST-Bench (Jaume et al., NeurIPS 2024), in the folders that they are published in.

``splits/train_{k}.csv`` and ``test_{k}.csv`` name samples with ``sample_id``, ``patches_path`` and
``expr_path``; ``var_50genes.json`` lists the genes; patches are HEST-1k's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from c2lst.benchmark.folds import Fold, Task
from c2lst.data.hest import read_counts
from c2lst.data.hest_patches import PATCH_UM, StoredPatches, find_patches
from c2lst.data.lattice import nearest_px, pitch_in_px
from c2lst.data.layout import HestPlace
from c2lst.data.patch_file import patch_file
from c2lst.data.patches import Patches
from c2lst.data.pooling import patient_of
from c2lst.data.readers.constants import HestPatchKey, SpatialKey
from c2lst.data.section import Section
from c2lst.errors import InputError
from c2lst.progress import logger, progress_bar
from c2lst.storage import read_json

if TYPE_CHECKING:
    from pandas import DataFrame

SPLITS, GENES = "splits", "var_50genes.json"
_COLUMNS = ("sample_id", "patches_path", "expr_path")


@dataclass(frozen=True)
class _Sample(HestPlace):
    """A sample of a task, whose files are where the task says."""

    patches_path: Path = Path()
    expr_path: Path = Path()

    @property
    def counts(self) -> Path:
        return self.expr_path

    @property
    def patches(self) -> Path:
        return self.patches_path


def read_task(folder: str | Path, *, size: int | None = None) -> Task:
    """Read a task.

    Parameters
    ----------
    folder
        The folder of the task, such as ``IDC``.
    size
        Width in px to resample patches to; their own by default.

    Raises
    ------
    InputError
        If a file or a column is missing or damaged, a fold lacks a side, or a sample lacks a gene.
    """
    folder = Path(folder)
    genes = _read_genes(folder / GENES)
    samples: dict[str, _Sample] = {}
    folds = []
    for train in _train_files(folder):
        number = train.stem.removeprefix("train_")
        sides = [
            _read_side(folder, path, samples)
            for path in (train, train.with_name(f"test_{number}.csv"))
        ]
        folds.append(Fold(f"split {number}", *sides))
    sections = {}
    with progress_bar("read", len(samples)) as bar:
        for name, sample in samples.items():
            sections[name] = _read_section(sample, size)
            _check_genes(sample, sections[name], genes)
            bar.advance(note=name)
    patients = {name: patient_of(section) for name, section in sections.items()}
    return Task(sections, tuple(folds), patients, genes)


def _read_genes(path: Path) -> tuple[str, ...]:
    genes = read_json(path, required=("genes",))["genes"]
    if not (isinstance(genes, list) and genes and all(isinstance(gene, str) for gene in genes)):
        raise InputError(path, "'genes' is no list of names", expected='{"genes": ["A", …]}')
    return tuple(genes)


def _train_files(folder: Path) -> list[Path]:
    found = list((folder / SPLITS).glob("train_*.csv"))
    if not found:
        raise InputError(
            folder,
            "is no task of HEST-Bench",
            found=f"no {SPLITS}/train_*.csv",
            expected=f"{SPLITS}/train_0.csv, {SPLITS}/test_0.csv and {GENES}",
            remedy="give the folder of one task, such as bench_data/IDC",
        )
    return sorted(found, key=lambda path: (len(path.stem), path.stem))


def _read_side(folder: Path, path: Path, samples: dict[str, _Sample]) -> tuple[str, ...]:
    """Read the samples of a side of a fold, and note where their files are."""
    table = _read_csv(path)
    for row in table.to_dict("records"):
        name = str(row["sample_id"])
        places = [folder / str(row[column]) for column in _COLUMNS[1:]]
        samples[name] = _Sample(folder, name, *places)
    return tuple(table["sample_id"].astype(str))


def _read_csv(path: Path) -> DataFrame:
    import pandas as pd

    try:
        # As text: a sample named 007 is not 7, nor is one named NA missing.
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise InputError(path, "no such file", remedy="copy the whole task again") from None
    except (ValueError, OSError) as error:
        raise InputError(path, "is no readable CSV file", found=error) from error
    if missing := [column for column in _COLUMNS if column not in table]:
        raise InputError(
            path, f"lacks the column {missing[0]!r}", found=", ".join(map(str, table.columns)),
            expected=", ".join(_COLUMNS),
        )  # fmt: skip
    for column in _COLUMNS:
        if empty := np.flatnonzero(table[column].str.strip() == "").tolist():
            raise InputError(path, f"line {empty[0] + 2} has no {column!r}")
    return table


def _read_section(sample: _Sample, size: int | None) -> Section:
    adata = read_counts(sample)
    stored = find_patches(sample, adata)
    filled = np.asarray(adata.X.sum(axis=1)).ravel() > 0
    kept = (stored.rows >= 0) & filled
    if not kept.all():
        logger.info(
            "%s: %d spots; dropped: %d without a patch, %d with no count above zero",
            sample.section, kept.sum(), (stored.rows < 0).sum(), (~filled).sum(),
        )  # fmt: skip
    mpp = _mpp(stored)
    centres = np.asarray(adata.obsm[SpatialKey.SPATIAL], dtype=np.float64)
    pitch_px = pitch_in_px(adata, centres) or nearest_px(centres)
    patches = Patches(stored.images(kept, size), round(stored.width_px * mpp, 6))
    return Section(sample.section, adata[kept].copy(), mpp, pitch_px * mpp, sample.slide, patches)


def _check_genes(sample: _Sample, section: Section, genes: tuple[str, ...]) -> None:
    """Refuse a sample without a gene of the task, before any fold is worked on."""
    if missing := [gene for gene in genes if gene not in section.adata.var_names]:
        raise InputError(
            sample.expr_path,
            f"lacks {len(missing)} of the {len(genes)} genes in {GENES}",
            found=f"no {missing[0]!r}",
            expected=f"gene names such as {genes[0]!r}",
            remedy="copy the whole task again",
        )


def _mpp(stored: StoredPatches) -> float:
    """µm per full-resolution px, as the patches say, or as follows from their usual width."""
    with patch_file(stored.path) as file:
        stated = file[HestPatchKey.IMAGES].attrs.get(HestPatchKey.PIXEL_SIZE)
    return PATCH_UM / stored.width_px if stated is None else float(stated)
