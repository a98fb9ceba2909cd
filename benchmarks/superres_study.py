"""Evidence for super-resolution on simulated tissue: methods, image gain, ablations.

Run: python benchmarks/superres_study.py OUT [--seeds 3] [--steps 800] [--only full lr-only blind]
     python benchmarks/superres_study.py SPARSE --n-genes 48 --depth 0.02 --only full no-graph

Ten simulated patients, two held out, 5× (100 µm to 20 µm), the preset ``tiny``. What is complete in
OUT is not done again. Prints the tables of docs/superres.md: methods, and how much the model errs
less than each, window by window; error by tenths of deviation; each arm beside the full model; and,
over the seeds of the training, what each component is worth.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from c2lst.storage import read_json
from c2lst.superres.evaluate import OWN, SUMMARY_JSON, WINDOWS_CSV
from c2lst.superres.maps import MAPS_JSON
from c2lst.superres.model import MODEL_JSON
from c2lst.superres.settings import ABLATIONS

COMPONENTS = [name for name in ABLATIONS if name not in ("lr-only", "image-only")]
"""What lies between the inputs: worth so little that one training cannot tell."""

HELD_OUT = ("--hold-out", "P09", "--hold-out", "P10")
COLUMNS = {
    "rmse_log1p": "RMSE",
    "mae_log1p": "MAE",
    "pearson_log1p": "r",
    "rmse_counts": "RMSE, counts",
    "pearson_counts": "r, counts",
    "rmse_expected": "RMSE, expected",
    "pearson_expected": "r, expected",
    "ssim_log1p": "SSIM",
    "spots_error": "spots",
    "gene_correlation_error": "gene r",
    "uncertainty_rank": "sd ~ error",
    "uncertainty_rank_counts": "in counts",
    "uncertainty_rank_within": "like counts",
    "uncertainty_rank_expected": "sd ~ error, expected",
    "spread": "spread",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--seeds", type=int, default=3, help="of the components; else one")
    parser.add_argument("--only", nargs="+", default=["full", "blind", *ABLATIONS])
    parser.add_argument("--n-genes", type=int, default=12)
    parser.add_argument("--depth", type=float, default=0.5, help="mean counts in 10 µm")
    options = parser.parse_args()
    tissue = ("--patients", 10, "--n-genes", options.n_genes, "--depth", options.depth)
    for seed in range(options.seeds):
        for name in options.only:
            if seed == 0 or name in ("full", *COMPONENTS):
                _run(options.output, name, seed, options.steps, tissue)
    _tables(options.output)
    _over_seeds(options.output, options.seeds)


def _run(output: Path, name: str, seed: int, steps: int | None, tissue: Sequence[object]) -> None:
    """Build, train and evaluate one arm, where that is not done."""
    control = ("--uninformative-image",) if name == "blind" else ()
    maps, model, scores = (
        output / ("blind" if control else "maps"),
        output / "m" / _arm(name, seed),
        _of(output, name, seed),
    )
    if not (maps / MAPS_JSON).is_file():
        _c2lst("build", "simulated", "-o", maps, *tissue, *control)
    if not (model / MODEL_JSON).is_file():
        parts = ("--ablate", name) if name in ABLATIONS else ()
        parts += () if _arm(name, seed) == "full" else ("--no-regression",)
        parts += ("--seed", seed) if seed else ()
        parts += () if steps is None else ("--steps", steps)
        _c2lst("train", maps, "-o", model, *HELD_OUT, *parts)
    if not _complete(scores):
        _c2lst("evaluate", model, maps, "-o", scores)


def _c2lst(*words: object) -> None:
    """Run a command; what it prints is for whoever looks on, the tables alone are the output."""
    command = [sys.executable, "-m", "c2lst", "superres", *map(str, words)]
    subprocess.run(command, check=True, stdout=sys.stderr)


def _arm(name: str, seed: int) -> str:
    return f"{name}-seed-{seed}" if seed else name


def _of(output: Path, name: str, seed: int = 0) -> Path:
    return output / "e" / _arm(name, seed)


def _complete(scores: Path) -> bool:
    return all((scores / name).is_file() for name in (SUMMARY_JSON, WINDOWS_CSV))


def _tables(output: Path) -> None:
    arms = [name for name in ("full", "blind", *ABLATIONS) if _complete(_of(output, name))]
    means = {name: read_json(_of(output, name) / SUMMARY_JSON)["means"] for name in arms}
    if "full" not in arms:
        return
    whole = _windows(output, "full")
    _heading(*COLUMNS.values(), "RMSE less that of diffusion", "windows worse")
    for method, row in means["full"].items():
        differences = _windows(output, "full", of=method) - whole
        _line(method, row, *(("", "") if method == OWN else _compared(differences)))
    print()
    _tenths(read_json(_of(output, "full") / SUMMARY_JSON)["deviation_error_by_tenths"])
    print()
    _heading(*COLUMNS.values(), "RMSE less that of full", "windows worse")
    for name in arms:
        compared = ("", "") if name == "full" else _compared(_windows(output, name) - whole)
        _line({"blind": "uninformative image"}.get(name, name), means[name][OWN], *compared)


def _over_seeds(output: Path, seeds: int) -> None:
    """Print what leaving a component out adds to the error: mean with interval, and each seed."""
    found = {
        name: [
            (_windows(output, name, seed) - _windows(output, "full", seed)).mean()
            for seed in range(seeds)
            if all(_complete(_of(output, arm, seed)) for arm in ("full", name))
        ]
        for name in COMPONENTS
    }
    print()
    _heading("RMSE less that of full, over seeds", "mean (95 %)", "each seed")
    for name, values in found.items():
        if len(values) > 1:
            each = ", ".join(f"{value:+.4f}" for value in values)
            print(f"| {name} | {_interval(np.array(values), 4)} | {each} |")


def _windows(output: Path, name: str, seed: int = 0, of: str = OWN) -> pd.Series:
    """RMSE of a method in each window of the held-out patients."""
    table = pd.read_csv(_of(output, name, seed) / WINDOWS_CSV)
    return table[table["method"] == of].set_index(["patient", "window"])["rmse_log1p"]


def _tenths(pairs: list[list[float]]) -> None:
    """Print the root mean squares of deviation and error, by tenths of all bins."""
    _heading(*(str(k) for k in range(1, len(pairs) + 1)))
    for name, values in zip(("deviation", "error"), zip(*pairs, strict=True), strict=True):
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in values) + " |")


def _compared(differences: pd.Series) -> tuple[str, str]:
    """Mean with its 95 % interval over windows, which knows nothing of another training."""
    values = differences.to_numpy()
    return _interval(values, 3), f"{(values > 0).sum()} of {len(values)}"


def _interval(values: np.ndarray, digits: int) -> str:
    """Mean and its 95 % interval (t)."""
    from scipy.stats import t

    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    low, mean, high = (f"{values.mean() + k * half:+.{digits}f}" for k in (-1, 0, 1))
    return f"{mean} ({low} to {high})"


def _heading(*titles: str) -> None:
    print("|  | " + " | ".join(titles) + " |\n|---|" + "---|" * len(titles))


def _line(name: str, row: dict[str, float | None], *more: str) -> None:
    values = (row.get(key) for key in COLUMNS)
    cells = ["" if value is None else f"{value:.3f}" for value in values]
    print(f"| {name} | " + " | ".join([*cells, *more]) + " |")


if __name__ == "__main__":
    main()
