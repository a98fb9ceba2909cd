"""Stain normalisation of the patches of one slide: c2lst against torchstain.

The job: N patches of a slide to a reference. torchstain fits the target, then normalises patch by
patch (torch backend, the quicker one, without its optional images of single stains). c2lst fits
source and target at slide level and applies the map in batches. Beside it, c2lst's batched
patch-by-patch mode, which is to give what torchstain gives. Same patches, same threads, repeats
interleaved in random order; the ratio is paired by repeat, its interval a bootstrap of the median.

    OMP_NUM_THREADS=1 C2LST_DATA=DATA python benchmarks/stain.py
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchstain
from PIL import Image
from torch import Tensor

from c2lst.data.stain import PatchNormaliser, StainNormaliser, StainReference
from c2lst.data.stain.conversion import TISSUE_SCORE, optical_density, staining

PATCH_PX = 224
STRIDE_PX = 112
PATCH_BY_PATCH = 200
SIZES = (64, 224)


@dataclass(frozen=True)
class Ratio:
    """How many times quicker than torchstain, with a 95 % interval, and milliseconds a patch."""

    job: str
    size: int
    times: float
    low: float
    high: float
    ours_ms: float
    theirs_ms: float

    def __str__(self) -> str:
        return (
            f"{self.job:<28} {self.size:>4} px  {self.times:6.1f}×  "
            f"[{self.low:.1f}, {self.high:.1f}]   c2lst {self.ours_ms:.3f} ms a patch, "
            f"torchstain {self.theirs_ms:.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("C2LST_DATA"))
    parser.add_argument("--patches", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    print(machine())
    for name, tissue in slides(arguments.data, arguments.patches).items():
        print(f"\n{name}: {len(tissue)} patches")
        for size in SIZES:
            patches = resized(tissue, size)
            print(stain_ratio(patches, repeats=arguments.repeats))
            for ratio in patch_by_patch_ratios(patches, repeats=arguments.repeats):
                print(ratio)
            for line in equality(patches[:PATCH_BY_PATCH]):
                print(line)


def stain_ratio(patches: np.ndarray | None = None, *, repeats: int = 9, seed: int = 0) -> Ratio:
    """Compare the job for one slide.

    Parameters
    ----------
    patches
        uint8 (n, S, S, 3) of the slide; the middle one is the target too. By default those of
        224 px that are at hand.
    """
    if patches is None:
        patches = next(iter(slides(os.environ.get("C2LST_DATA"), 1000).values()))
    target = patches[len(patches) // 2]

    def ours() -> np.ndarray:
        source, reference = StainReference.fit(patches), StainReference.fit(target[None])
        return StainNormaliser(source, reference).apply(patches)

    def theirs() -> np.ndarray:
        return torchstain_each(patches, target, "macenko")[0]

    job = "Macenko, slide level"
    return compare(job, patches.shape[1], len(patches), ours, theirs, repeats, seed)


def patch_by_patch_ratios(patches: np.ndarray, *, repeats: int = 9, seed: int = 0) -> list[Ratio]:
    """Compare the modes that estimate each patch by itself, on some of the patches."""
    target, some = patches[len(patches) // 2], patches[:PATCH_BY_PATCH]

    def ours(method: str) -> Callable[[], np.ndarray]:
        return lambda: PatchNormaliser.fit(target, method).apply(some)

    def theirs(method: str) -> Callable[[], np.ndarray]:
        return lambda: torchstain_each(some, target, method)[0]

    return [
        compare(
            f"{method.capitalize()}, patch by patch",
            patches.shape[1], len(some), ours(method), theirs(method), repeats, seed,
        )
        for method in ("macenko", "reinhard")
    ]  # fmt: skip


def compare(
    job: str,
    size: int,
    count: int,
    ours: Callable[[], object],
    theirs: Callable[[], object],
    repeats: int,
    seed: int,
) -> Ratio:
    rng = np.random.default_rng(seed)
    seconds = np.empty((repeats, 2))
    ours()  # Both are warm: imports, tables and memory are there.
    theirs()
    for row in seconds:
        for which in rng.permutation(2):
            start = time.perf_counter()
            (ours, theirs)[which]()
            row[which] = time.perf_counter() - start
    ratios = seconds[:, 1] / seconds[:, 0]
    medians = np.median(ratios[rng.integers(0, repeats, (2000, repeats))], axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    ours_ms, theirs_ms = np.median(seconds, axis=0) / count * 1e3
    return Ratio(job, size, float(np.median(ratios)), low, high, ours_ms, theirs_ms)


def torchstain_each(
    patches: np.ndarray, target: np.ndarray, method: str, backend: str = "torch"
) -> tuple[np.ndarray, np.ndarray]:
    """Normalised patches, and which ones torchstain could do; the others stay as they are."""

    def given(image: np.ndarray) -> np.ndarray | Tensor:
        return image if backend == "numpy" else torch.from_numpy(image).permute(2, 0, 1)

    done, result = np.ones(len(patches), dtype=bool), patches.copy()
    if method == "macenko":
        normaliser = torchstain.normalizers.MacenkoNormalizer(backend=backend)
    else:
        normaliser = torchstain.normalizers.ReinhardNormalizer(backend=backend)
    normaliser.fit(given(target))
    for i, patch in enumerate(patches):
        try:
            if method == "macenko":
                result[i] = normaliser.normalize(given(patch), stains=False)[0]
            else:
                result[i] = normaliser.normalize(given(patch))
        except (RuntimeError, IndexError, np.linalg.LinAlgError):  # too few tissue pixels
            done[i] = False
    return result, done


def equality(patches: np.ndarray) -> list[str]:
    """How near the patch-by-patch modes come to torchstain, in words.

    Compared with its numpy backend, whose percentiles interpolate; those of its torch backend,
    which is timed, are the nearest rank.
    """
    target, lines = patches[len(patches) // 2], []
    for method in ("macenko", "reinhard"):
        theirs, done = torchstain_each(patches, target, method, "numpy")
        ours = PatchNormaliser.fit(target, method).apply(patches)
        # Those with too few tissue pixels, which ours leaves as they are.
        left = (ours == patches).all(axis=(1, 2, 3))
        apart = np.abs(ours.astype(int) - theirs)[done & ~left]
        lines.append(
            f"  {method}: {100 * (apart <= 1).mean():.3f} % of values within 1 of 255, "
            f"all within {apart.max()}; "
            f"torchstain failed on {(~done).sum()} patches, c2lst left {left.sum()} as they are"
        )
    return lines


def slides(data: str | Path | None, count: int) -> dict[str, np.ndarray]:
    """Patches of 224 px of one slide each: real ones, or simulated tissue where there are none."""
    found = {}
    if data is not None:
        root = Path(data)
        if (root / "her2st" / "C3.jpg").is_file():
            found["her2st C3"] = from_fields([root / "her2st" / "C3.jpg"], count)
        for name, pattern in (("lc25000", "*/*.jp*g"), ("crchisto", "*.png")):
            files = sorted((root / name).glob(pattern))
            if files:
                found[name] = from_fields(files, count)
    return found or {"simulated tissue": simulated(count)}


def from_fields(files: list[Path], count: int) -> np.ndarray:
    """Patches that are mostly tissue, evenly chosen over the files."""
    Image.MAX_IMAGE_PIXELS = None
    found = []
    for file in files[:: max(1, len(files) // count)]:
        field = np.asarray(Image.open(file).convert("RGB"))
        windows = np.lib.stride_tricks.sliding_window_view(field, (PATCH_PX, PATCH_PX), axis=(0, 1))
        tiles = windows[::STRIDE_PX, ::STRIDE_PX].transpose(0, 1, 3, 4, 2)
        tiles = tiles.reshape(-1, PATCH_PX, PATCH_PX, 3)
        found.append(tiles[[share_of_tissue(tile) > 0.5 for tile in tiles]])
    patches = np.concatenate(found)
    return patches[np.linspace(0, len(patches) - 1, min(count, len(patches))).astype(int)]


def share_of_tissue(image: np.ndarray) -> float:
    density = np.moveaxis(optical_density(image[::4, ::4]), -1, 0)
    return float((staining(*density) > TISSUE_SCORE).mean())


def simulated(count: int) -> np.ndarray:
    """Nuclei and fibres in the standard colours."""
    from scipy import ndimage

    rng, stain = np.random.default_rng(0), StainReference.standard()
    shape = (count, PATCH_PX, PATCH_PX)
    nuclei = ndimage.gaussian_filter(rng.random(shape) > 0.99, (0, 2, 2), output=np.float32)
    fibres = ndimage.gaussian_filter(rng.standard_normal(shape), (0, 8, 8), output=np.float32)
    amounts = np.stack([20 * nuclei, 0.3 + 6 * np.abs(fibres)], axis=-1)
    noise = 0.01 * rng.standard_normal((*shape, 3))
    light = 250 * np.exp(-(amounts @ stain.matrix) - noise)
    return np.clip(light, 0, 255).astype(np.uint8)


def resized(patches: np.ndarray, size: int) -> np.ndarray:
    if size == patches.shape[1]:
        return patches
    return np.stack(
        [np.asarray(Image.fromarray(p).resize((size, size), Image.Resampling.BOX)) for p in patches]
    )


def machine() -> str:
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            x.split(":")[1].strip() for x in info.read_text().splitlines() if "model name" in x
        ]
        processor = names[0] if names else processor
    return (
        f"{processor}, {torch.get_num_threads()} of {os.cpu_count()} threads, "
        f"Python {platform.python_version()}, torch {torch.__version__}"
    )


if __name__ == "__main__":
    main()
