"""The main job on simulated tissue, over seeds: what beats what, and whether genes are followed.

For each seed: another tissue, another split, the whole run of the preset. Printed as Markdown
and written as CSV: the mean absolute error of every method, the paired difference of the default
predictor to the best baseline and to its step-matched real-only twin, and how well the cell
composition that can be read off synthetic patches follows the composition of the spots whose genes
they were drawn for, beside a control with shuffled spots.

    python benchmarks/simulated.py -o OUT --seeds 3
"""

from __future__ import annotations

import argparse
import platform
import time
from pathlib import Path

import numpy as np
import pandas as pd

from c2lst import workflow
from c2lst.central import CentralModel
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.section import Section
from c2lst.data.simulate import CELL_TYPES, SimulatedTruth, simulate_tissue
from c2lst.data.split import SpotSplit
from c2lst.data.synthetic import SyntheticPairs
from c2lst.evaluation.expression import DEFAULT_METHOD, NETWORK, NETWORK_TWIN, TWIN
from c2lst.prediction.baselines import REGISTRY
from c2lst.settings import load_settings
from c2lst.storage import whole_file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--preset", default="tiny")
    arguments = parser.parse_args()
    rows = [one_seed(arguments.output, seed, arguments.preset) for seed in range(arguments.seeds)]
    table = pd.DataFrame(rows)
    with whole_file(arguments.output / "simulated.csv") as partial:
        table.to_csv(partial, index=False, float_format="%.5g")
    about = f"{platform.machine()}, Python {platform.python_version()}"
    print(f"Preset `{arguments.preset}`; {about}.\n")
    print(f"| seed | {' | '.join(str(row['seed']) for row in rows)} |")
    print("|---" * (1 + len(rows)) + "|")
    for name, values in table.drop(columns="seed").items():
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in values)} |")


def one_seed(output: Path, seed: int, preset: str) -> dict[str, float]:
    """Simulate, run, and gather the figures of one seed."""
    folder = output / f"seed-{seed}"
    if not (folder / "slide" / "SIM_truth.json").is_file():
        simulate_tissue(folder / "slide", seed=seed)
    started = time.perf_counter()
    run = workflow.run(
        folder / "slide", folder / "run", load_settings(preset, options={"seed": seed})
    )
    seconds = time.perf_counter() - started
    metrics = pd.read_csv(run / "metrics.csv").set_index("method")
    pairs = pd.read_csv(run / "comparisons.csv").set_index(["method", "against"])
    best = metrics.loc[list(REGISTRY), "mae"].idxmin()
    row: dict[str, float] = {"seed": seed, "minutes": seconds / 60}
    row |= {f"MAE {name}": value for name, value in metrics["mae"].items()}
    row["Pearson c2lst"] = metrics.loc[DEFAULT_METHOD, "pearson"]
    row["coverage of 90 %"] = metrics.loc[DEFAULT_METHOD, "coverage"]
    for label, method, against in (
        ("c2lst - best baseline", DEFAULT_METHOD, best),
        ("c2lst - real-only twin", DEFAULT_METHOD, TWIN),
        ("network - real-only twin", NETWORK, NETWORK_TWIN),
    ):
        found = pairs.loc[(method, against)]
        row[label] = found["mae_difference"]
        row[f"{label}, low"], row[f"{label}, high"] = found["low"], found["high"]
    return row | composition_followed(folder / "slide", run, seed)


def composition_followed(slide: Path, run: Path, seed: int) -> dict[str, float]:
    """Correlate composition read off synthetic patches with that of their spots, by cell type.

    The reader is a ridge regression on the central model's features, fitted on the real patches
    of the *test* spots, which the generator never saw.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    section, split = Section.load(run / "section"), SpotSplit.load(run / "split.json")
    preprocessing = Preprocessing.load(run / "preprocessing.json")
    central, pairs = CentralModel.load(run / "central"), SyntheticPairs.load(run / "synthetic")
    truth = SimulatedTruth.load(slide)
    row_of = {b: i for i, b in enumerate(truth.barcodes.tolist())}
    composition = truth.composition[[row_of[b] for b in section.barcodes.tolist()]]
    test = section.indices_of(split.test)
    real = central.encode(preprocessing.images(section))
    reader = make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 5, 11)))
    reader.fit(real[test], composition[test])
    found = reader.predict(central.encode(pairs.images))
    sources = [source.split("+")[0] for source in pairs.source_barcodes.tolist()]
    position = {b: i for i, b in enumerate(section.barcodes.tolist())}
    wanted = composition[[position[b] for b in sources]]
    shuffled = np.random.default_rng(seed).permutation(wanted)
    followed, control = (
        np.mean([np.corrcoef(found[:, k], target[:, k])[0, 1] for k in range(len(CELL_TYPES))])
        for target in (wanted, shuffled)
    )
    return {"composition followed (r)": followed, "shuffled control (r)": control}


if __name__ == "__main__":
    main()
