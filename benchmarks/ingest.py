"""How much faster patches are cut, and stains normalised, than by a plain loop.

Two ratios, each from pairs of runs that take turns on two cores:

- cutting: ``c2lst.data.patches.extract_patches`` against a loop over the spots with OpenSlide's
  ``read_region`` at full resolution and Pillow's Lanczos filter, on the same slide, each in a
  process of its own, from opening the file to the last patch;
- stain: see ``benchmarks/stain.py``.

Slides are the Aperio slide of the real data, where it is, and a pyramid of JPEG tiles that is made
here. ``openslide`` says that the slide was read as a scanner's own format would be: through
OpenSlide, although it need not be.

    python benchmarks/ingest.py [--repeats 7] [--side 20000]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

_CORES = 2
_TILE = 256
_PYRAMID_MPP = 0.25


@dataclass(frozen=True)
class Job:
    """Patches to cut from a slide: at most ``most`` of those around an array's spots or a grid."""

    title: str
    slide: str
    mpp: float
    pitch_um: float
    hexagonal: bool
    turned: float
    patch_um: float
    size: int
    most: int = 1500

    def centres_px(self, width: int, height: int) -> np.ndarray:
        """(n, 2) centres whose patches lie on the slide, row by row."""
        extent = np.array([width, height]) * self.mpp
        count = int(np.ceil(1.5 * extent.max() / self.pitch_um))
        row, column = np.mgrid[-count:count, -count:count].reshape(2, -1)
        x, y = (column + row % 2 / 2, row * np.sqrt(3) / 2) if self.hexagonal else (column, row)
        turn = np.deg2rad(self.turned)
        turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        centres = np.stack([x, y], axis=1) * self.pitch_um @ turned + extent / 2
        edge = self.patch_um / 2 + 10
        inside = ((centres > edge) & (centres < extent - edge)).all(axis=1)
        return centres[inside][: self.most] / self.mpp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="pairs of runs for each setting")
    parser.add_argument("--side", type=int, default=20_000, help="px of the pyramid's side")
    parser.add_argument("--data", type=Path, default=os.environ.get("C2LST_DATA"))
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        way, job = arguments.worker
        print(json.dumps(run_once(way, Job(**json.loads(job)))))
        return
    print(f"{platform.processor() or platform.machine()}, {_CORES} of {os.cpu_count()} cores, "
          f"Python {platform.python_version()}, {arguments.repeats} pairs of runs.\n")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        pyramid = Path(folder) / "pyramid.tif"
        write_pyramid(pyramid, arguments.side)
        print_cutting(jobs(pyramid, arguments.data), arguments.repeats)
    print_stain(arguments.data)


def jobs(pyramid: Path, data: Path | None) -> list[Job]:
    """Sparse array, overlapping grid and coarse patches, on each slide."""
    slides = [("pyramid", str(pyramid), _PYRAMID_MPP)]
    real = None if data is None else Path(data) / "slides" / "cmu-1-small-region.svs"
    if real is not None and real.is_file():
        slides.insert(0, ("CMU-1", str(real), 0.499))
    # Title, pitch in µm, hexagonal, degrees turned, µm and px of a patch. An array lies a little
    # askew on its slide; a grid that tiles a slide does not.
    settings = (
        ("ST array", 200.0, False, 1.0, 112.0, 224),
        ("Visium array", 100.0, True, 1.0, 112.0, 224),
        ("Visium array, 56 µm", 100.0, True, 1.0, 56.0, 224),
        ("Visium array, 2 µm/px", 100.0, True, 1.0, 224.0, 112),
        ("overlapping grid", 56.0, False, 0.0, 112.0, 224),
    )
    return [
        Job(f"{name} {mpp} µm/px: {title}", path, mpp, *setting)
        for name, path, mpp in slides
        for title, *setting in settings
    ]


def print_cutting(todo: list[Job], repeats: int) -> None:
    """Run all jobs in turns and print a line for each: medians of wall and of processor time."""
    sides = ("s", "processor s", "MB")
    heads = ["slide and patches", "way", "patches", *(f"loop, {x}" for x in sides),
             *(f"c2lst, {x}" for x in sides), "loop / c2lst (95 %)"]  # fmt: skip
    print(f"| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for job in todo:
        for way in ("ours", "openslide"):
            pairs = [(_worker("loop", job), _worker(way, job)) for _ in range(repeats)]
            loop, ours = (_columns([pair[k] for pair in pairs]) for k in (0, 1))
            ratios = loop["seconds"] / ours["seconds"]
            low, high = interval(ratios)
            cells = [
                f"{np.median(side['seconds']):.2f} | {np.median(side['cpu']):.2f} "
                f"| {side['megabytes'].max():.0f}"
                for side in (loop, ours)
            ]
            found = f"{np.median(ratios):.1f} ({low:.1f} to {high:.1f})"
            row = [job.title, way, f"{ours['patches'][0]:.0f}", *cells, found]
            print(f"| {' | '.join(row)} |", flush=True)


def _columns(rows: list[dict[str, float]]) -> dict[str, np.ndarray]:
    return {key: np.array([row[key] for row in rows]) for key in rows[0]}


def interval(ratios: np.ndarray, draws: int = 2000) -> tuple[float, float]:
    """95 % bootstrap interval of the median."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (draws, len(ratios))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(low), float(high)


def _worker(way: str, job: Job) -> dict[str, float]:
    command = [sys.executable, __file__, "--worker", way, json.dumps(asdict(job))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def run_once(way: str, job: Job) -> dict[str, float]:
    """Cut the patches of a job; seconds, and by how much the process grew beyond them."""
    import openslide

    from c2lst.data.image import SlideImage
    from c2lst.data.image.vendor import VendorImage
    from c2lst.data.patches import extract_patches

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:_CORES]))
    with openslide.OpenSlide(job.slide) as slide:
        centres = job.centres_px(*slide.dimensions)
    # Imports are not what is measured.
    extract_patches(SlideImage.from_array(texture(256)), np.full((65, 2), 128.0), 1.0, 16.0, 8)
    SlideImage.open(job.slide).close()
    before = _memory_mb(reset_peak=True)
    started, worked = time.perf_counter(), time.process_time()
    if way == "loop":
        patches = plain_loop(job.slide, centres, job.patch_um / job.mpp, job.size)
    else:
        path = Path(job.slide)
        image = SlideImage.open(path) if way == "ours" else VendorImage(path)
        patches = extract_patches(image, centres, job.mpp, job.patch_um, job.size)
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    grown = _memory_mb() - before - patches.nbytes / 2**20
    return {"seconds": seconds, "cpu": cpu, "megabytes": grown, "patches": len(patches)}


def plain_loop(path: str, centres: np.ndarray, width_px: float, size: int) -> np.ndarray:
    """Cut patches as most code does: spot by spot, at full resolution."""
    import openslide
    from PIL import Image

    slide = openslide.OpenSlide(path)
    width = round(width_px)
    patches = np.empty((len(centres), size, size, 3), dtype=np.uint8)
    for patch, (x, y) in zip(patches, centres, strict=True):
        corner = (round(x - width_px / 2), round(y - width_px / 2))
        region = slide.read_region(corner, 0, (width, width)).convert("RGB")
        patch[:] = region.resize((size, size), Image.Resampling.LANCZOS)
    return patches


def _memory_mb(reset_peak: bool = False) -> float:
    """Most memory that this process has held, or holds now if the peak is reset; Linux only."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return float("nan")
    if reset_peak:
        Path("/proc/self/clear_refs").write_text("5")
    return next(
        int(line.split()[1]) / 2**10
        for line in status.read_text().splitlines()
        if line.startswith("VmHWM")
    )


def write_pyramid(path: Path, side: int) -> None:
    """Write a TIFF of stained texture, in JPEG tiles and halved down to one screen."""
    import tifffile
    from PIL import Image

    level = Image.fromarray(texture(2048))
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for k in range(5):
            pixels, width = np.asarray(level), side >> k
            file.write(
                _tiles(pixels, width),
                shape=(width, width, 3),
                dtype=np.uint8,
                photometric="rgb",
                tile=(_TILE, _TILE),
                compression="jpeg",
                compressionargs={"level": 80},
                subfiletype=int(k > 0),
                resolution=(1e4 / (_PYRAMID_MPP * 2**k),) * 2,
                resolutionunit="CENTIMETER",
            )
            level = level.reduce(2)


def _tiles(pixels: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """Tiles of a texture that is laid out again and again; its side is a power of 2."""
    across = np.arange(-(-width // _TILE) * _TILE).reshape(-1, _TILE) % len(pixels)
    return (np.ascontiguousarray(pixels[np.ix_(y, x)]) for y in across for x in across)


def texture(side: int) -> np.ndarray:
    """Nuclei in fibres, uint8 (side, side, 3), that meets itself at its borders."""
    from scipy import ndimage

    rng = np.random.default_rng(0)
    nuclei = ndimage.gaussian_filter(rng.random((side, side)) > 0.998, 4, output=float, mode="wrap")
    fibres = np.abs(ndimage.gaussian_filter(rng.standard_normal((side, side)), 6, mode="wrap"))
    grain = 0.02 * rng.standard_normal((side, side, 1))
    amounts = np.stack([90 * nuclei, 0.2 + 8 * fibres], axis=-1)
    density = amounts @ np.array([[0.65, 0.70, 0.29], [0.25, 0.81, 0.53]]) + grain
    return np.clip(255 * np.exp(-density), 0, 255).astype(np.uint8)


def print_stain(data: Path | None) -> None:
    """Print what ``benchmarks/stain.py`` measures."""
    import stain

    heads = ("stain of the slide", "patch, px", "torchstain, ms", "c2lst, ms", "ratio (95 %)")
    print(f"\n| {' | '.join(heads)} |\n{'|---' * len(heads)}|")
    for name, patches in stain.slides(data, 1000).items():
        found = stain.stain_ratio(patches)
        times = f"{found.theirs_ms:.3f} | {found.ours_ms:.3f}"
        ratio = f"{found.times:.1f} ({found.low:.1f} to {found.high:.1f})"
        print(f"| {name} | {found.size} | {times} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
