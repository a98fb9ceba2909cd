"""What each ingredient of the central model's presets is worth, at equal compute, on real patches.

Patches of LC25000, parted by field so that no held-out field was seen in any rotation; one small
network; the same number of steps and images for all. Each arm changes one thing of the reference.
Printed and written as CSV: the kernel distance of samples to held-out patches with its 95 %
interval over fields, beside the floor: as many training patches against the same held-out ones.

    python benchmarks/presets.py DATA/lc25000 -o OUT --seeds 2

Resumable: what is in OUT is not made again.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from c2lst.central import CentralModel, CentralSettings
from c2lst.data.collections import PatchCollection
from c2lst.data.stain import StainReference
from c2lst.diffusion.averages import reconstruct
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.trainer import TrainSettings
from c2lst.diffusion.unet import UNetShape
from c2lst.diffusion.weights import read_tensors
from c2lst.evaluation.distribution import kernel_distance
from c2lst.evaluation.encoders import ENCODERS, get_encoder
from c2lst.storage import read_json, whole_file, write_json

HELD_OUT = 0.2
SAMPLES = 400

VELOCITY = NoiseProcess(prediction="v_prediction")
ARMS: dict[str, dict[str, Any]] = {
    "velocity (reference)": {},
    "noise prediction": {"process": NoiseProcess(prediction="epsilon")},
    "SNR + 1 in the weight": {"process": replace(VELOCITY, weight="min_snr_plus_one")},
    "stain jitter 0.05": {"stain_jitter": 0.05},
    "constant learning rate": {"schedule": "constant"},
    "zero terminal SNR, SNR + 1": {
        "process": replace(VELOCITY, weight="min_snr_plus_one", zero_snr=True),
    },
    "no turns and mirrors": {"dihedral": False},
}
"""What each arm changes in the settings of the central model or of its training."""

AVERAGED = ("velocity (reference)", "constant learning rate")
LENGTHS = (0.05,)
"""Arms of which other averages are scored, too: no training of its own, the same compute."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of LC25000 with groups.csv")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--arms", nargs="*", default=list(ARMS))
    arguments = parser.parse_args()
    patches = Patches(arguments.data, arguments.output)
    rows = []
    for seed in range(arguments.seeds):
        rows.append({"arm": "floor: real training patches", "seed": seed} | floor(patches, seed))
        for arm in arguments.arms:
            folder = arguments.output / f"{slug(arm)}-{seed}-{arguments.steps}"
            model = trained(patches, arm, seed, arguments.steps, folder)
            rows.append({"arm": arm, "seed": seed} | scored(patches, model, seed, folder))
            for name, weights in other_averages(folder) if arm in AVERAGED else ():
                model.unet.load_state_dict(weights)
                row = scored(patches, model, seed, folder / slug(name))
                rows.append({"arm": f"{arm}, {name}", "seed": seed} | row)
            write_table(arguments.output / "presets.csv", rows)
    print_table(rows)


class Patches:
    """Training and held-out patches of one colour, read once."""

    def __init__(self, data: Path, output: Path) -> None:
        kept = output / "patches.npz"
        if not kept.is_file():
            collection = PatchCollection.from_folder(data, size=32)
            with (data / "groups.csv").open() as handle:
                group_of = {row["file"]: row["group"] for row in csv.DictReader(handle)}
            groups = np.array([group_of[name] for name in collection.names])
            shuffled = np.random.default_rng(0).permutation(np.unique(groups))
            held = np.isin(groups, shuffled[: round(HELD_OUT * len(shuffled))])
            raw = collection.fetch(np.arange(len(collection)))
            stain = StainReference.typical(raw[~held][::11])
            with whole_file(kept) as partial:
                np.savez(partial, images=stain.recolour(raw), groups=groups, held=held)
        stored = np.load(kept)
        held = stored["held"]
        self.train, self.held = stored["images"][~held], stored["images"][held]
        self.stain = StainReference.typical(self.train[::11])
        self.groups, self.train_groups = stored["groups"][held], stored["groups"][~held]

    def __len__(self) -> int:
        return len(self.train)

    def fetch(self, indices: np.ndarray) -> np.ndarray:
        """Return training patches."""
        return self.train[indices]

    def describe(self) -> dict[str, Any]:
        """Say what they are."""
        return {"source": "LC25000", "patches": len(self)}

    @cache  # noqa: B019
    def held_features(self, encoder: str) -> np.ndarray:
        """Return the features of the held-out patches."""
        return get_encoder(encoder).encode(self.held)


def trained(patches: Patches, arm: str, seed: int, steps: int, folder: Path) -> CentralModel:
    """Train one arm with one seed, or read it."""
    training = TrainSettings(
        steps=steps,
        batch_size=16,
        learning_rate=8e-4,
        schedule="cosine",
        ema_decay=0.995,
        ema_lengths=(0.05, 0.1) if arm in AVERAGED else (),
        ema_snapshots=8,
        precision="bf16",
        checkpoint_every=100,
        seed=seed,
    )
    shape = UNetShape(size=32, widths=(16, 32, 64, 96), layers=1, groups=8)
    settings = changed(CentralSettings(shape, VELOCITY, training), ARMS[arm])
    if not (folder / "central").is_dir():
        model = CentralModel.pretrain(
            patches, settings, patch_um=112.0, stain=patches.stain, directory=folder / "work"
        )
        model.save(folder / "central")
    return CentralModel.load(folder / "central")


def changed(settings: CentralSettings, changes: dict[str, Any]) -> CentralSettings:
    """Change fields of the settings, or of the training in them."""
    own = {field.name for field in fields(settings)}
    training = {k: v for k, v in changes.items() if k not in own}
    rest = {k: v for k, v in changes.items() if k in own}
    return replace(settings, training=replace(settings.training, **training), **rest)


def other_averages(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Give the last weights, and power-function averages of several relative lengths."""
    checkpoint = next((folder / "work").glob("checkpoint-*"))
    state = read_tensors(checkpoint / "state.safetensors")
    prefix = "weight/"
    yield (
        "no average",
        {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)},
    )
    for length in LENGTHS:
        yield f"power average {length:g}", reconstruct(folder / "work", length)


def scored(patches: Patches, model: CentralModel, seed: int, folder: Path) -> dict[str, float]:
    """Score samples of a model, or read the score."""
    if not (folder / "score.json").is_file():
        samples = model.sample(SAMPLES, seed=seed)
        with whole_file(folder / "samples.npz") as partial:
            np.savez(partial, samples=samples)
        write_json(folder / "score.json", scores(patches, samples))
    return read_json(folder / "score.json")


def slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name)


def floor(patches: Patches, seed: int) -> dict[str, float]:
    """Score real training patches as if they were samples."""
    chosen = np.random.default_rng(seed).permutation(len(patches))[:SAMPLES]
    return scores(patches, patches.train[chosen], patches.train_groups[chosen])


def scores(
    patches: Patches, images: np.ndarray, groups: np.ndarray | None = None
) -> dict[str, float]:
    row = {}
    for name in ENCODERS:
        found = kernel_distance(
            get_encoder(name).encode(images),
            patches.held_features(name),
            groups=(groups, patches.groups),
        )
        row |= {name: found.value, f"{name} low": found.low, f"{name} high": found.high}
    return row


def write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    with whole_file(path) as partial, partial.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def print_table(rows: list[dict[str, Any]]) -> None:
    """Print a Markdown table: mean over seeds, interval of the first seed, in thousandths."""
    print("| arm | seeds | " + " | ".join(f"{name} features" for name in ENCODERS) + " |")
    print("|---|---|" + "---|" * len(ENCODERS))
    for arm in dict.fromkeys(row["arm"] for row in rows):
        own = [row for row in rows if row["arm"] == arm]
        cells = []
        for name in ENCODERS:
            values = ", ".join(f"{1e3 * row[name]:.1f}" for row in own)
            low = 1e3 * np.mean([row[f"{name} low"] for row in own])
            high = 1e3 * np.mean([row[f"{name} high"] for row in own])
            mean = 1e3 * np.mean([row[name] for row in own])
            cells.append(f"{mean:.1f} ({low:.1f} to {high:.1f}); by seed {values}")
        print(f"| {arm} | {len(own)} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
