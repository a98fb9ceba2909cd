"""Evidence for super-resolution on simulated tissue: methods, image gain, ablations.

Run: python benchmarks/superres_study.py OUT [--steps 800] [--only full lr-only blind]

Ten simulated patients, two held out, 5× (100 µm to 20 µm), the preset ``tiny``. What is complete in
OUT is not done again. Prints the tables of docs/superres.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from c2lst.storage import read_json
from c2lst.superres.evaluate import OWN, SUMMARY_JSON
from c2lst.superres.maps import MAPS_JSON
from c2lst.superres.model import MODEL_JSON
from c2lst.superres.settings import ABLATIONS

HELD_OUT = ("--hold-out", "P09", "--hold-out", "P10")
COLUMNS = {
    "rmse_log1p": "RMSE",
    "mae_log1p": "MAE",
    "pearson_log1p": "r",
    "rmse_counts": "RMSE, counts",
    "pearson_counts": "r, counts",
    "pearson_expected": "r, expected",
    "ssim_log1p": "SSIM",
    "spots_error": "spots",
    "gene_correlation_error": "gene r",
    "uncertainty_rank": "deviation ~ error",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--only", nargs="+", default=["full", "blind", *ABLATIONS])
    options = parser.parse_args()
    for name in options.only:
        _run(options.output, name, options.steps)
    _tables(options.output)


def _run(output: Path, name: str, steps: int | None) -> None:
    """Build, train and evaluate one arm, where that is not done."""
    control = ("--uninformative-image",) if name == "blind" else ()
    maps, model, scores = (
        output / ("blind" if control else "maps"),
        output / "m" / name,
        _of(output, name),
    )
    if not (maps / MAPS_JSON).is_file():
        _c2lst("build", "simulated", "-o", maps, "--patients", 10, "--n-genes", 12, *control)
    if not (model / MODEL_JSON).is_file():
        parts = ("--ablate", name) if name in ABLATIONS else ()
        parts += () if name == "full" else ("--no-regression",)
        parts += () if steps is None else ("--steps", steps)
        _c2lst("train", maps, "-o", model, *HELD_OUT, *parts)
    if not (scores / SUMMARY_JSON).is_file():
        _c2lst("evaluate", model, maps, "-o", scores)


def _c2lst(*words: object) -> None:
    subprocess.run([sys.executable, "-m", "c2lst", "superres", *map(str, words)], check=True)


def _of(output: Path, name: str) -> Path:
    return output / "e" / name


def _tables(output: Path) -> None:
    done = [p.parent.name for p in sorted(output.glob(f"e/*/{SUMMARY_JSON}"))]
    means = {name: read_json(_of(output, name) / SUMMARY_JSON)["means"] for name in done}
    print("|  | " + " | ".join(COLUMNS.values()) + " |\n|---|" + "---|" * len(COLUMNS))
    if "full" in means:
        for method, row in means["full"].items():
            _line(method, row)
    for name in ("blind", *ABLATIONS):
        if name in means:
            _line({"blind": "uninformative image"}.get(name, name), means[name][OWN])


def _line(name: str, row: dict[str, float | None]) -> None:
    values = (row.get(key) for key in COLUMNS)
    cells = ("" if value is None else f"{value:.3f}" for value in values)
    print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
