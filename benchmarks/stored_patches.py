"""What a stored collection costs to read: patches/s and memory, from 10 thousand to 10 million.

python benchmarks/stored_patches.py FOLDER_OF_TILES

The tiles are collected once. Larger collections have the same shard under many names, so that the
manifest, the index and the places that are read grow, and the disk does not. The pages read are in
the system's cache at all sizes: what is compared is the cost of finding and decoding a patch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from c2lst.data.collections import StoredCollection
from c2lst.data.collections.collect import CollectSettings, collect

SIZES = (10_000, 1_000_000, 10_000_000)
FETCHED = 2048
BATCH = 256
PATCH_PX = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tiles", type=Path, nargs="?")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        compare(arguments.tiles, Path(scratch))


def compare(tiles: Path, scratch: Path) -> None:
    small = scratch / "tiles"
    collect([tiles], small, CollectSettings(validation=0.0, copies="flag"))
    print(
        f"{'patches':>12} {'in order/s':>11} {'at random/s':>11} {'private MB':>11} {'open ms':>8}"
    )
    found = []
    for patches in SIZES:
        many = repeated(small, scratch / str(patches), patches)
        command = [sys.executable, __file__, "--one", str(many)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found.append(json.loads(output))
        print(
            f"{patches:>12,} {found[-1]['in_order']:>11.0f} {found[-1]['at_random']:>11.0f} "
            f"{found[-1]['private_mb']:>11.1f} {found[-1]['open_ms']:>8.1f}"
        )
    first, last = found[0], found[-1]
    print(
        f"{SIZES[-1] / SIZES[0]:,.0f} times the patches: "
        f"{last['at_random'] / first['at_random']:.2f} times the rate at random, "
        f"{last['private_mb'] / first['private_mb']:.2f} times the memory"
    )


def repeated(source: Path, target: Path, patches: int) -> Path:
    """Make a collection of ``patches`` out of one shard under many names."""
    manifest = json.loads((source / "collection.json").read_text())
    shard = manifest["splits"]["train"]["shards"][0]
    index = np.load(source / "index" / "train.npy")[: shard["rows"]]
    (target / "data").mkdir(parents=True)
    (target / "index").mkdir()
    whole = np.lib.format.open_memmap(
        target / "index" / "train.npy", mode="w+", dtype=index.dtype, shape=(patches,)
    )
    shards = []
    for start in range(0, patches, len(index)):
        part = index[: patches - start]
        whole[start : start + len(part)] = part
        name = f"train-{len(shards):05d}.parquet"
        (target / "data" / name).symlink_to(source / "data" / shard["file"])
        shards.append(shard | {"file": name, "rows": len(part)})
    manifest["splits"] = {"train": {"patches": patches, "shards": shards}}
    (target / "collection.json").write_text(json.dumps(manifest))
    return target


def measure(folder: Path) -> dict[str, float]:
    started = time.perf_counter()
    collection = StoredCollection(folder, size=PATCH_PX)
    opened = time.perf_counter() - started
    collection.fetch(np.arange(BATCH))  # imports, threads
    start = len(collection) // 3
    in_order = np.arange(start, start + FETCHED)
    at_random = np.random.default_rng(0).integers(0, len(collection), FETCHED)
    return {
        "open_ms": 1e3 * opened,
        "in_order": rate(collection, in_order),
        "at_random": rate(collection, at_random),
        "private_mb": private_megabytes(),
    }


def rate(collection: StoredCollection, indices: np.ndarray) -> float:
    """Patches a second, the best of three."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        for batch in np.split(indices, len(indices) // BATCH):
            collection.fetch(batch)
        seconds.append(time.perf_counter() - started)
    return len(indices) / min(seconds)


def private_megabytes() -> float:
    """Memory that is this process's own: the rest is the system's cache of files."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


if __name__ == "__main__":
    main()
