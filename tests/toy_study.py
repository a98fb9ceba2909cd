"""Studies with a truth of the test's choice, without a model being trained."""

from __future__ import annotations

import os
import signal

import numpy as np
import pandas as pd

from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.study.block_errors import ALL, THIRDS
from c2lst.study.cells import BLOCKS, GENES, MAPS, METRICS
from c2lst.study.grid import BASELINE, NO_NETWORK, StudySettings
from c2lst.study.record import FORMAT, write_record

BASELINES = {"train_median": 0.52, "kriging": 0.50, "ridge": 0.51}


SPLIT = ["section", "scheme", "fraction", "seed"]


def metrics(grid, sections, effect=0.02, noise=2e-4):
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
            baseline = {"arm": BASELINE, "network": "", "ratio": 0, "steps": 0}
            rows.append({**place, **baseline, "method": method, "mae": mae})
    table = pd.DataFrame(rows).assign(pairs=0, networks=2, train_spots=10, coverage=0.9)
    table["skill"] = 1 - table["mae"] / (BASELINES["train_median"] + 0.05)
    return table.assign(explained_share=table["skill"], pearson=0.2, noise_floor=0.3)


def _arm(arm):
    steps = 0 if arm.name == NO_NETWORK else 4
    return {"arm": arm.name, "network": arm.network, "ratio": arm.ratio, "steps": steps}


def blocks_of(table, count=12, noise=1e-4):
    """Errors by block that have the mean errors of a table of metrics, for all and each third."""
    rng = np.random.default_rng(2)
    keys = [*SPLIT, "arm", "network", "ratio", "method", "mae"]
    moran = dict(zip((ALL, *THIRDS), (0.3, 0.1, 0.3, 0.5), strict=True))
    parts = []
    for genes, value in moran.items():
        part = table[keys].loc[table.index.repeat(count)].reset_index(drop=True)
        # What is hard about a block is hard for all methods alike.
        block = np.tile(np.arange(count), len(table))
        hard = 1 + 0.1 * np.cos(2 * np.pi * block / count)
        error = part.pop("mae") * hard + noise * rng.standard_normal(len(part))
        parts.append(part.assign(genes=genes, block=block, spots=5, error=5 * error, moran=value))
    return pd.concat(parts, ignore_index=True)


def maps_of(places, genes=8, across=6):
    """Maps of a few genes for each row of arms."""
    rng = np.random.default_rng(3)
    x, y = np.meshgrid(np.arange(across) * 100.0, np.arange(across) * 100.0)
    spots = pd.DataFrame({"x": x.ravel(), "y": y.ravel()})
    spots["part"] = np.where(np.arange(len(spots)) % 3 == 0, "train", "test")
    parts = []
    for place in places.to_dict("records"):
        for gene in range(genes):
            values = {n: rng.uniform(0, 3, len(spots)) for n in ("observed", "predicted")}
            parts.append(spots.assign(gene=f"g{gene}", moran=1 / (1 + gene), **values, **place))
    return pd.concat(parts, ignore_index=True)


def genes_of(table, count=20):
    """Correlations of ``count`` genes for each row of a table of metrics."""
    rng = np.random.default_rng(1)
    keys = table[[*SPLIT, "arm", "network", "method", "ratio"]]
    long = keys.loc[keys.index.repeat(count)].reset_index(drop=True)
    names = [f"g{i}" for i in range(count)]
    return long.assign(gene=names * len(keys), mae=rng.uniform(0.3, 0.6, len(long)))


def write_fake_study(folder, sections=("A", "B"), **grid):
    """Write a finished study of fake numbers, as its cells and its record."""
    chosen = {"fractions": (0.1, 0.5), "ratios": (1, 5), "seeds": 3, "networks": ("resnet-tiny",)}
    settings = StudySettings(**chosen | grid)
    table = metrics(settings, list(sections))
    tables = {METRICS: table, GENES: genes_of(table), BLOCKS: blocks_of(table)}
    cells = {}
    for key in settings.splits(sections):
        split = f"{key.section}/{key.name}"
        for arm in settings.arms():
            cells.setdefault(split, []).append(f"{arm.title}-0")
            cell = folder / "splits" / split / "cells" / cells[split][-1]
            cell.mkdir(parents=True)
            names = [arm.name, BASELINE] if arm.name == NO_NETWORK else [arm.name]
            for file, rows in tables.items():
                own = (rows[SPLIT] == [key.section, key.scheme, key.fraction, key.seed]).all(axis=1)
                own &= rows["arm"].isin(names) & (rows["network"] == arm.network)
                rows[own].to_parquet(cell / file, index=False)
            if key.seed == 0:
                place = table.loc[table["arm"] == arm.name, [*SPLIT, "arm", "network", "ratio"]]
                place = place[
                    (place[SPLIT[:3]] == [key.section, key.scheme, key.fraction]).all(axis=1)
                ]
                maps_of(place[place["seed"] == 0].drop_duplicates()).to_parquet(cell / MAPS)
    write_record(
        folder,
        {
            "format": FORMAT,
            "c2lst": "0",
            "commands": ["c2lst study A B"],
            "request": {
                "grid": {"union": settings.union},
                "settings": {"prediction": {"synthetic_share": 0.5}},
                "central": None,
                "central_hash": None,
            },
            "sections": {name: name for name in sections},
            "cells": cells,
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
