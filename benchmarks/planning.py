"""Whether planned spots tell more than random ones, at equal budget, on the same held-out spots.

Of each section a random third is held out and never chosen. From the rest, spots are chosen at
random; planned from the H&E alone; or planned after a first round of random spots that is half the
budget. Each choice trains the same predictor (the Gaussian process over image and place, without
networks), which is scored on the spots held out: mean absolute error of log1p of counts per 10,000,
250 genes of highest mean in the spots that may be chosen, the same for all.

    python benchmarks/planning.py DATA/her2st:C2 DATA/her2st:C3 SIMULATED -o OUT --seeds 10

Intervals are over seeds: each draws the held-out spots, the first round and the random choice anew,
and compares within the seed.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from c2lst.data.preprocessing import Preprocessing
from c2lst.data.readers import read
from c2lst.data.section import Section
from c2lst.data.split import SpotSplit
from c2lst.evaluation.encoders import get_encoder
from c2lst.planning import plan_spots
from c2lst.planning.prior import views_of
from c2lst.prediction.place import AdditiveGaussianProcess
from c2lst.storage import whole_file

HELD_OUT = 1 / 3
FRACTIONS = (0.05, 0.1, 0.25, 0.5)
GENES = 250


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="+", help="FOLDER or FOLDER:SECTION")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--fractions", type=float, nargs="*", default=FRACTIONS)
    parser.add_argument("--encoder", default="imagenet")
    arguments = parser.parse_args()
    rows = []
    for where in arguments.sections:
        folder, _, name = where.partition(":")
        section = read(Path(folder), section=name or None, size=128)
        features = get_encoder(arguments.encoder).encode(section.patches[np.arange(len(section))])
        for fraction in arguments.fractions:
            for seed in range(arguments.seeds):
                errors = compared(section, features, fraction, seed)
                rows.append({"section": section.name, "fraction": fraction, "seed": seed} | errors)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with whole_file(arguments.output / "planning.csv") as partial, partial.open("w") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    show(rows)


def compared(
    section: Section, features: np.ndarray, fraction: float, seed: int
) -> dict[str, float]:
    """Return the error on the held-out spots after each way to choose."""
    rng = np.random.default_rng((seed, 21))
    shuffled = rng.permutation(len(section))
    held = round(HELD_OUT * len(section))
    test, free = shuffled[:held], shuffled[held:]
    budget = round(fraction * len(section))
    first = free[: budget // 2]
    # A plan weighs the whole slide, the held-out spots too, and may only choose the others.
    planned = chosen(section, features, budget, test)
    second = chosen(section, features, budget - len(first), test, first)
    ways = {
        "random": free[:budget],
        "planned": planned,
        "second round": np.concatenate([first, second]),
    }
    expression = fitted(section, free).lognorm(section)
    return {name: error(section, features, expression, rows, test) for name, rows in ways.items()}


def chosen(
    section: Section,
    features: np.ndarray,
    budget: int,
    test: np.ndarray,
    first: np.ndarray | None = None,
) -> np.ndarray:
    """Plan on all spots, and keep the first of them that are not held out."""
    given = [] if first is None else first.tolist()
    expression = None
    if first is not None:
        sequenced = section.subset(section.barcodes[first])
        expression = fitted(section, first).lognorm(sequenced)
    order = plan_spots(
        section.centres_um,
        features,
        len(section) - len(given) - 1,
        given=given,
        expression=expression,
    ).design.order
    return order[~np.isin(order, test)][:budget]


def fitted(section: Section, train: np.ndarray) -> Preprocessing:
    """Choose genes and scale on some spots alone."""
    barcodes = section.barcodes
    rest = np.setdiff1d(np.arange(len(section)), train)
    split = SpotSplit(
        section.name,
        section.content_hash,
        "random",
        len(train) / len(section),
        0,
        tuple(barcodes[train].tolist()),
        (),
        tuple(barcodes[rest].tolist()),
    )
    return Preprocessing.fit(section, split, n_genes=GENES)


def error(
    section: Section,
    features: np.ndarray,
    expression: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
) -> float:
    """Mean absolute error of the process that was fitted on ``train``, on the held-out spots."""
    views = views_of(features, section.centres_um)
    process = AdditiveGaussianProcess.fit(
        expression[train], {name: x[train] for name, x in views.items()}
    )
    mean, _ = process.predict({name: x[test] for name, x in views.items()})
    return float(np.abs(np.maximum(mean, 0) - expression[test]).mean())


def show(rows: list[dict[str, float]]) -> None:
    """Print the mean of each way, and the drop against random choice with its interval."""
    print("| section | spots | random | planned, drop | second round, drop |")
    print("|---|---|---|---|---|")
    for section, fraction in dict.fromkeys((row["section"], row["fraction"]) for row in rows):
        cell = [r for r in rows if (r["section"], r["fraction"]) == (section, fraction)]
        random = np.array([row["random"] for row in cell])
        told = []
        for way in ("planned", "second round"):
            drop = 1 - np.array([row[way] for row in cell]) / random
            half = 1.96 * drop.std(ddof=1) / np.sqrt(len(drop)) if len(drop) > 1 else np.nan
            told.append(f"{drop.mean():+.1%} ± {half:.1%}")
        print(f"| {section} | {fraction:.0%} | {random.mean():.4f} | {told[0]} | {told[1]} |")


if __name__ == "__main__":
    main()
