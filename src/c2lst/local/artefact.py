"""The adapter on disk: configuration, weights and card, without the central model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst import __version__
from c2lst.data.preprocessing import Preprocessing
from c2lst.diffusion.film import GeneModulatedUNet
from c2lst.diffusion.weights import read_tensors
from c2lst.errors import InputError
from c2lst.storage import read_json, whole_directory, write_json

if TYPE_CHECKING:
    from c2lst.central import CentralModel
    from c2lst.local.model import LocalModel

FORMAT = 1
ADAPTER_JSON = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PREPROCESSING_JSON = "preprocessing.json"


def save_adapter(model: LocalModel, directory: str | Path) -> None:
    """Write an adapter; see :meth:`c2lst.local.LocalModel.save`."""
    from safetensors.torch import save_file

    with whole_directory(directory) as partial:
        state = {k: v.cpu().contiguous() for k, v in model.network.adapter_state().items()}
        save_file(state, partial / ADAPTER_WEIGHTS)
        model.preprocessing.save(partial / PREPROCESSING_JSON)
        write_json(
            partial / ADAPTER_JSON,
            {
                "format": FORMAT,
                "c2lst": __version__,
                "adapter_type": "gene_film",
                "genes_hash": model.preprocessing.panel.hash,
                "width": model.network.width,
                "blocks": model.network.blocks,
                "null_mode": "learned",
                "patch_um": model.central.patch_um,
                "size": model.central.size,
                **model.provenance,
            },
        )
        (partial / "README.md").write_text(_card(model), encoding="utf-8")


def load_adapter(
    directory: str | Path, central: CentralModel
) -> tuple[Preprocessing, GeneModulatedUNet, dict[str, Any]]:
    """Read an adapter onto its central model; see :meth:`c2lst.local.LocalModel.load`."""
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(directory, "no such folder", expected="an adapter")
    config = read_json(
        directory / ADAPTER_JSON,
        required=("format", "base_hash", "genes_hash", "train_hash", "width", "blocks"),
    )
    preprocessing = Preprocessing.load(directory / PREPROCESSING_JSON)
    refuse_unlike(directory / ADAPTER_JSON, "format", config["format"], FORMAT)
    refuse_unlike(directory, "central model", central.hash, config["base_hash"])
    refuse_unlike(
        directory / PREPROCESSING_JSON, "genes", preprocessing.panel.hash, config["genes_hash"]
    )
    network = GeneModulatedUNet(
        central.unet, len(preprocessing.panel.genes), config["width"], config["blocks"]
    )
    network.load_adapter_state(read_tensors(directory / ADAPTER_WEIGHTS))
    kept = ("c2lst", "adapter_type", "format", "width", "blocks", "null_mode")
    provenance = {k: v for k, v in config.items() if k not in kept}
    return preprocessing, network.eval(), provenance


def refuse_unlike(where: str | Path, what: str, found: object, expected: object) -> None:
    """Refuse a value that is not the expected one, in one line that shows both."""
    if found != expected:
        raise InputError(
            where,
            f"{what} does not match",
            found=str(found)[:16],
            expected=str(expected)[:16],
            remedy="use the files that were made together",
        )


def _card(model: LocalModel) -> str:
    made = model.provenance
    return f"""---
library_name: c2lst
tags: [histology, spatial-transcriptomics, adapter]
---
# Gene-conditioned adapter

Adapts the central model `{str(made["base_hash"])[:12]}` to section {made["section"]} with
{made["training_spots"]} paired spots and {len(model.preprocessing.panel.genes)} genes. Made by
c2lst {__version__}. Holds {made["parameters"]:,} weights and no weight of the central model.

It was trained on patient data of one institution. No privacy audit has been run on it: keep it
where the data may be kept.
"""
