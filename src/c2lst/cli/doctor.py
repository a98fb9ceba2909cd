"""What is installed, which device will be used, what is missing for which feature."""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

CORE = ("torch", "diffusers", "accelerate", "transformers", "anndata", "numpy", "scikit-learn")
EXTRAS = {
    "datasets": "collections from the Hugging Face hub (extra: hub)",
    "spatialdata": "SpatialData zarr (extra: spatialdata)",
    "efficientnet-lite-pytorch": "ImageNet features in evaluation (extra: imagenet)",
    "opacus": "adapting with differential privacy, --dp (extra: privacy)",
    "timm": "published image encoders (extra: encoders)",
    "umap-learn": "maps of patches by UMAP (extra: umap)",
    "gradio": "moving genes on a local page (extra: explorer)",
    "tensorboard": "watching a training (extra: tracking)",
    "scanpy": "opening predictions with sc.pl.spatial",
    "squidpy": "opening predictions with sq.pl.spatial_scatter",
}


def show() -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    from c2lst import __version__

    table = Table(title=f"c2lst {__version__}", show_header=False)
    table.add_row("system", f"{platform.platform()}, Python {platform.python_version()}")
    table.add_row("device", _device())
    table.add_row("cores, memory", f"{os.cpu_count()}, {_memory()}")
    table.add_row("OpenSlide", _openslide())
    table.add_row("free disk here", f"{shutil.disk_usage(Path.cwd()).free / 1e9:.0f} GB")
    table.add_row("built-in central model", _builtin())
    for name in CORE:
        table.add_row(name, _version(name) or "[red]missing[/]: install c2lst again")
    for name, use in EXTRAS.items():
        table.add_row(name, _version(name) or f"not installed; only for {use}")
    Console().print(table)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _device() -> str:
    import torch

    from c2lst.devices import best_device, device_name
    from c2lst.diffusion.numerics import has_bf16

    device = best_device()
    bf16 = "bf16" if has_bf16(device) else "no bf16: trains and draws in fp32"
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(device).total_memory / 1e9
        return f"{device_name(device)}, {memory:.0f} GB, {bf16}"
    if device.type == "mps":
        return "Apple GPU (mps)"
    threads = torch.get_num_threads()
    return f"CPU, {threads} threads, {bf16}; the preset `paper` needs a GPU"


def _openslide() -> str:
    try:
        import openslide
    except (ImportError, OSError) as error:  # its C library is a package of its own
        return f"[red]not usable[/] ({error}): install openslide-bin"
    return str(openslide.__library_version__)


def _builtin() -> str:
    from c2lst.central.builtin import find_builtin
    from c2lst.storage import read_json

    folder = find_builtin()
    if folder is None:
        return "none in this copy; --central takes a folder or an id on the hub"
    card = read_json(folder / "central.json", required=("hash", "size", "patch_um"))
    return f"{folder.name}: {card['size']} px, {card['patch_um']:g} µm, {card['hash'][:12]}"


def _memory() -> str:
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "memory unknown"
    return f"{total / 1e9:.0f} GB"
