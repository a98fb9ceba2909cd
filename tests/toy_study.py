"""Studies with a truth of the test's choice, without a model being trained."""

from __future__ import annotations

import os
import signal

import numpy as np
import pandas as pd

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.study.cells import GENES, METRICS
from c2lst.study.grid import BASELINE, NO_NETWORK, StudySettings
from c2lst.study.record import FORMAT, write_record

BASELINES = {"train_median": 0.52, "kriging": 0.50, "ridge": 0.51}


def metrics(grid, sections, effect=0.02, noise=0.002):
    """Metrics of every cell; synthetic pairs remove up to ``effect`` of the error."""
    rng = np.random.default_rng(0)
    rows = []
    for key in grid.splits(sections):
        place = {"section": key.section, "scheme": key.scheme, "fraction": key.fraction}
        place |= {"seed": key.seed, "moran_observed": 0.2 + 0.3 * sections.index(key.section)}
        hard = 0.1 * (0.5 - key.fraction) + 0.02 * rng.standard_normal()
        for arm in grid.arms():
            helped = effect * arm.ratio / max(grid.largest, 1) if "ratio" in arm.name else 0.0
            for method, level in ((DEFAULT_METHOD, 0.48), ("network", 0.53)):
                if arm.name == NO_NETWORK and method == "network":
                    continue
                mae = (level + hard) * (1 - helped) + noise * rng.standard_normal()
                rows.append({**place, **_arm(arm), "method": method, "mae": mae})
        for method, level in BASELINES.items():
            mae = level + hard + noise * rng.standard_normal()
            baseline = {"arm": BASELINE, "ratio": 0, "steps": 0}
            rows.append({**place, **baseline, "method": method, "mae": mae})
    facts = {"pairs": 0, "networks": 2, "train_spots": 10}
    return pd.DataFrame(rows).assign(**facts)


def _arm(arm):
    return {"arm": arm.name, "ratio": arm.ratio, "steps": 0 if arm.name == NO_NETWORK else 4}


def genes_of(table, count=20):
    """Correlations of ``count`` genes for each row of a table of metrics."""
    rng = np.random.default_rng(1)
    keys = table[["section", "scheme", "fraction", "seed", "arm", "method", "ratio"]]
    long = keys.loc[keys.index.repeat(count)].reset_index(drop=True)
    names = [f"g{i}" for i in range(count)]
    return long.assign(gene=names * len(keys), pearson=rng.uniform(0, 0.6, len(long)), mae=0.5)


def write_fake_study(folder, sections=("A", "B"), **grid):
    """Write a finished study of fake numbers, as its cells and its record."""
    settings = StudySettings(
        **{"fractions": (0.1, 0.5), "ratios": (1, 5), "schemes": ("random",), "seeds": 3} | grid
    )
    table = metrics(settings, list(sections))
    genes = genes_of(table)
    for place, rows in table.groupby(["section", "scheme", "fraction", "seed", "arm"]):
        section, scheme, fraction, seed, arm = place
        name = NO_NETWORK + "-baselines" if arm == BASELINE else arm
        cell = folder / "splits" / section / f"{scheme}-{fraction:g}-seed-{seed}" / "cells" / name
        cell.mkdir(parents=True)
        rows.to_parquet(cell / METRICS, index=False)
        same = (genes[["section", "scheme", "fraction", "seed", "arm"]] == place).all(axis=1)
        genes[same].to_parquet(cell / GENES, index=False)
    write_record(
        folder,
        {
            "format": FORMAT,
            "c2lst": "0",
            "command": "c2lst study A B",
            "request": {
                "grid": {"union": settings.union},
                "settings": {"prediction": {"synthetic_share": 0.5}},
                "central": None,
            },
            "sections": {name: name for name in sections},
            "failed": {},
        },
    )
    return folder


class Noting:
    """Work that notes where it is done, and that a process can be sent; task ``bad`` fails."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, task):
        if task == "bad":
            raise ValueError("bad")
        threads = os.environ["OMP_NUM_THREADS"]
        (self.folder / f"{task}.txt").write_text(f"{os.getpid()} {threads}")


def die(task):
    """Die as a process does that the system takes the memory from."""
    os.kill(os.getpid(), signal.SIGKILL)
