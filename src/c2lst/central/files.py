"""The files of a central model: a diffusers pipeline with stain, sketch, provenance and card."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst import __version__
from c2lst.central.card import SHEET, model_card
from c2lst.central.half import as_stored
from c2lst.data.duplicates import PatchSketch
from c2lst.data.stain import StainReference
from c2lst.diffusion.noise import NoiseProcess
from c2lst.diffusion.unet import unet_of_config
from c2lst.diffusion.watch import LOG
from c2lst.diffusion.weights import load_weights
from c2lst.errors import InputError
from c2lst.rules import above
from c2lst.storage import read_json, write_json

if TYPE_CHECKING:
    from c2lst.central.model import CentralModel

FORMAT = 1
CENTRAL_JSON = "central.json"
STAIN_JSON = "stain_reference.json"
SKETCH = "patch_sketch.safetensors"
CENTRAL_FILES = (
    *(CENTRAL_JSON, STAIN_JSON, SKETCH, SHEET, LOG, "README.md"),
    *("model_index.json", "scheduler", "unet"),
)
WEIGHTS = Path("unet", "diffusion_pytorch_model.safetensors")


def write_files(model: CentralModel, folder: Path) -> None:
    """Write a model into an empty folder: a diffusers pipeline, and what only c2lst reads."""
    from diffusers import DDPMPipeline

    unet = as_stored(model.unet.to("cpu"))
    pipeline = DDPMPipeline(unet=unet, scheduler=model.process.scheduler())
    pipeline.save_pretrained(folder, safe_serialization=True)
    write_json(folder / STAIN_JSON, model.stain.to_dict())
    if model.sketch is not None:
        model.sketch.save(folder / SKETCH)
    write_json(
        folder / CENTRAL_JSON,
        {
            "format": FORMAT,
            "c2lst": __version__,
            "hash": model.hash,
            "patch_um": model.patch_um,
            "size": model.size,
            "process": asdict(model.process),
            "provenance": model.provenance,
        },
    )
    card = model_card(model, sheet=(folder / SHEET).is_file())
    (folder / "README.md").write_text(card, encoding="utf-8")


def read_files(directory: Path) -> tuple[dict[str, Any], str]:
    """Read the fields of a :class:`~c2lst.central.CentralModel`, and the hash that it should have.

    Raises
    ------
    InputError
        If a file is missing, of another format or pickled, or a weight is missing, unexpected or
        of another shape.
    """
    where = directory / CENTRAL_JSON
    card = read_json(where, required=("format", "hash", "patch_um", "process"))
    if card["format"] != FORMAT:
        raise InputError(where, "format", found=card["format"], expected=FORMAT)
    patch_um, positive = card["patch_um"], above(0)
    if not positive.fits(patch_um):
        raise InputError(where, "patch_um", found=repr(patch_um), expected=positive.expected)
    unet = unet_of_config(directory / "unet" / "config.json")
    load_weights(unet, directory / WEIGHTS)
    sketch = directory / SKETCH
    parts = {
        "unet": unet.eval(),
        "process": _process(where, card["process"]),
        "patch_um": float(patch_um),
        "stain": StainReference.from_dict(read_json(directory / STAIN_JSON)),
        "provenance": card.get("provenance", {}),
        "sketch": PatchSketch.load(sketch) if sketch.is_file() else None,
    }
    return parts, str(card["hash"])


def _process(path: Path, values: Any) -> NoiseProcess:
    try:
        return NoiseProcess(**values)
    except TypeError as error:
        raise InputError(
            path, f"noise process cannot be read ({error})", remedy="use the c2lst that wrote it"
        ) from error
