"""The tables of a study: one row per split, arm and method, and the same gene by gene."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from c2lst.errors import InputError
from c2lst.storage import whole_file
from c2lst.study.cells import BLOCKS, GENES, MAPS, METRICS, NETWORK
from c2lst.study.comparisons import compared, with_drop
from c2lst.study.grid import ADVISED
from c2lst.study.record import read_record
from c2lst.study.shared import CELLS

if TYPE_CHECKING:
    from pandas import DataFrame

STUDY_TABLE, GENE_TABLE, BLOCK_TABLE = "study.parquet", "genes.parquet", "blocks.parquet"
MEAN_TABLE, COMPARISON_TABLE = "table.csv", "comparisons.parquet"
KEYS = ("section", "scheme", "fraction", "seed", "arm", "network", "method")
_FACTS = ("ratio", "pairs", "steps", "networks", "train_spots")
"""Numbers that say what a cell is: they need no interval."""


def collect(root: Path) -> bool:
    """Write the tables of the study's cells that are done; say whether there is any.

    ``study.parquet`` has a row for each section, scheme, fraction, seed, arm, network and method:
    every metric of :func:`c2lst.evaluation.expression.evaluate` with ``ratio``, ``pairs``,
    ``steps`` of each network, ``networks``, ``train_spots`` and hashes; ``genes.parquet`` the same
    gene by gene; ``blocks.parquet`` errors by spatial block; ``comparisons.parquet`` paired
    differences (:func:`~c2lst.study.comparisons.compared`); ``table.csv`` the means over seeds with
    95 % intervals.
    """
    import pandas as pd

    done = finished_cells(root)
    if not done:
        return False
    for name, part in ((STUDY_TABLE, METRICS), (GENE_TABLE, GENES), (BLOCK_TABLE, BLOCKS)):
        parts = [_without_unadvised(pd.read_parquet(cell / part)) for cell in done]
        table = pd.concat(parts, ignore_index=True)
        if name == STUDY_TABLE:
            table = with_drop(table)
        with whole_file(root / name) as partial:
            table.to_parquet(partial, index=False)
    with whole_file(root / COMPARISON_TABLE) as partial:
        compared(read_table(root, BLOCK_TABLE)).to_parquet(partial, index=False)
    with whole_file(root / MEAN_TABLE) as partial:
        means(read_table(root)).to_csv(partial, index=False, float_format="%.6g")
    return True


def finished_cells(root: Path) -> list[Path]:
    """Return the folders of the cells that the record names and that are done.

    Cells of other settings, which may lie beside them, are not among them.
    """
    named = read_record(root)["cells"]
    cells = [root / "splits" / split / CELLS / c for split, cells in named.items() for c in cells]
    return [cell for cell in cells if (cell / METRICS).is_file()]


def read_maps(root: Path) -> DataFrame:
    """Read the maps that cells kept: of a few genes, of one seed a split; empty without any."""
    import pandas as pd

    kept = [cell for cell in finished_cells(root) if (cell / MAPS).is_file()]
    return pd.concat([pd.read_parquet(c / MAPS) for c in kept]) if kept else pd.DataFrame()


def read_table(root: Path, name: str = STUDY_TABLE) -> DataFrame:
    """Read a table of a study.

    Raises
    ------
    InputError
        If the study has none yet.
    """
    import pandas as pd

    if not (root / name).is_file():
        raise InputError(root / name, "no such file", remedy="let c2lst study finish a cell")
    return _without_unadvised(pd.read_parquet(root / name))


def read_means(root: Path) -> DataFrame:
    """Read ``table.csv``."""
    import pandas as pd

    # Where there is no network its name is empty, not missing.
    table = pd.read_csv(root / MEAN_TABLE, keep_default_na=True).fillna({"network": ""})
    return _without_unadvised(table)


def _without_unadvised(table: DataFrame) -> DataFrame:
    """Drop networks alone from what was advised.

    Cells of before have them: of a network that the advice may have left out.
    """
    unadvised = (table["arm"] == ADVISED) & (table["method"] == NETWORK)
    return table[~unadvised].reset_index(drop=True)


def means(table: DataFrame) -> DataFrame:
    """Average over seeds, with 95 % intervals over them (:func:`combine`).

    A row per section, scheme, fraction, arm, network and method.
    """
    from c2lst.evaluation.expression import combine

    by = [name for name in KEYS if name != "seed"]
    runs = [run.drop(columns="seed") for _, run in table.groupby("seed")]
    combined: DataFrame = combine(runs, by=by)
    return combined.drop(columns=[f"{name}{end}" for name in _FACTS for end in ("_low", "_high")])
