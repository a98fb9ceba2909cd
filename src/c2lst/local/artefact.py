"""The adapter on disk: configuration, weights and card, without the central model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from c2lst import __version__
from c2lst.data.preprocessing import Preprocessing
from c2lst.diffusion.film import GeneModulatedUNet
from c2lst.diffusion.weights import read_tensors
from c2lst.errors import InputError
from c2lst.local.card import adapter_card
from c2lst.local.sources import SOURCES_JSON, Sources
from c2lst.storage import hash_arrays, hash_strings, read_json, whole_directory, write_json

if TYPE_CHECKING:
    from c2lst.central import CentralModel
    from c2lst.local.model import LocalModel

FORMAT = 2
ADAPTER_JSON = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
PREPROCESSING_JSON = "preprocessing.json"
CARD = "README.md"
AUDIT = "privacy.json"
"""What an export leaves here; of the weights that are there, and so replaced with them."""
ADAPTER_FILES = (ADAPTER_JSON, ADAPTER_WEIGHTS, PREPROCESSING_JSON, SOURCES_JSON, CARD, AUDIT)

_REQUIRED = (
    *("base_hash", "network", "hash", "weights_hash", "genes_hash"),
    *("section", "section_hash", "train_hash", "training_spots", "settings"),
)
_OF_THE_FILES = (
    *("format", "c2lst", "adapter_type", "hash", "weights_hash", "genes_hash", "network"),
    *("patch_um", "size", "um_per_px"),
)
_AGAIN = "copy the whole folder of the adapter again"


def save_adapter(model: LocalModel, directory: str | Path, sources: Sources | None = None) -> None:
    """Write an adapter; see :meth:`c2lst.local.LocalModel.save`."""
    from safetensors.torch import save_file

    state = {k: v.cpu().contiguous() for k, v in model.network.adapter_state().items()}
    central = model.central
    config = {
        "format": FORMAT,
        "c2lst": __version__,
        "adapter_type": "gene_lora" if model.network.config["rank"] else "gene_film",
        "hash": adapter_hash(state, model.preprocessing),
        "weights_hash": tensors_hash(state),
        "genes_hash": model.preprocessing.panel.hash,
        "network": model.network.config,
        "patch_um": central.patch_um,
        "size": central.size,
        "um_per_px": central.patch_um / central.size,
        **model.provenance,
    }
    if sources is not None and sources.central is not None:
        config |= base_name(sources.central)
    with whole_directory(directory, ADAPTER_FILES) as partial:
        save_file(state, partial / ADAPTER_WEIGHTS)
        model.preprocessing.save(partial / PREPROCESSING_JSON)
        write_json(partial / ADAPTER_JSON, config)
        card = adapter_card(config, len(model.preprocessing.panel))
        (partial / CARD).write_text(card, encoding="utf-8")
        if sources is not None:
            sources.save(partial, Path(directory))


def load_adapter(
    directory: str | Path, central: CentralModel
) -> tuple[Preprocessing, GeneModulatedUNet, dict[str, Any]]:
    """Read an adapter onto its central model; see :meth:`c2lst.local.LocalModel.load`."""
    directory = Path(directory)
    if not directory.is_dir():
        raise InputError(directory, "no such folder", expected="an adapter")
    path = directory / ADAPTER_JSON
    config = read_json(path, required=("format",))
    refuse_unlike(path, "format", config["format"], FORMAT, "run c2lst adapt again")
    read_json(path, required=_REQUIRED)
    remedy = "give the central model that the adapter was made from"
    if "base_name" in config:
        remedy += f" ({config['base_name']})"
    refuse_unlike(directory, "central model", central.hash, config["base_hash"], remedy)
    preprocessing = Preprocessing.load(directory / PREPROCESSING_JSON)
    genes = preprocessing.panel.hash
    refuse_unlike(directory / PREPROCESSING_JSON, "list of genes", genes, config["genes_hash"])
    state = read_tensors(directory / ADAPTER_WEIGHTS)
    weights = tensors_hash(state)
    refuse_unlike(directory / ADAPTER_WEIGHTS, "weights", weights, config["weights_hash"])
    whole = adapter_hash(state, preprocessing)
    refuse_unlike(directory / PREPROCESSING_JSON, "preprocessing", whole, config["hash"])
    try:
        network = GeneModulatedUNet(central.unet, **config["network"])
    except TypeError as error:
        raise InputError(
            path, f"network cannot be built ({error})", remedy="use the c2lst that wrote it"
        ) from error
    network.load_adapter_state(state)
    provenance = {k: v for k, v in config.items() if k not in _OF_THE_FILES}
    return preprocessing, network.eval(), provenance


def swap_weights(where: str | Path, network: GeneModulatedUNet, other: GeneModulatedUNet) -> None:
    """Give ``network`` the weights of ``other`` in place; see :meth:`c2lst.local.LocalModel.swap`.

    The gene embedding, which stands outside what is compiled, may have another shape.

    Raises
    ------
    InputError
        If they differ in more than the genes; nothing is changed then.
    """
    of_genes = ("n_genes", "missing_mask")
    for name in sorted((network.config | other.config).keys() - set(of_genes)):
        found, expected = (n.config.get(name) for n in (other, network))
        refuse_unlike(where, f"{name} of the network", found, expected, "load it, as another model")
    if any(network.config[name] != other.config[name] for name in of_genes):
        device = next(network.parameters()).device
        network.embedding = other.embedding.to(device)
    network.config = other.config
    network.load_adapter_state(other.adapter_state())


def tensors_hash(state: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of an adapter's weights: names, shapes and values."""
    return hash_arrays({k: v.detach().cpu().numpy() for k, v in state.items()})


def adapter_hash(state: Mapping[str, torch.Tensor], preprocessing: Preprocessing) -> str:
    """SHA-256 of an adapter's weights and of its preprocessing."""
    return hash_strings([tensors_hash(state), preprocessing.hash])


def base_name(central: str | Path) -> dict[str, str | None]:
    """Name of a central model: of its folder, or its id on the hub with the commit in use."""
    from c2lst.central.hub import is_hub_id

    if not is_hub_id(central):
        return {"base_name": Path(central).absolute().name, "base_revision": None}
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(str(central), "central.json")
    revision = Path(cached).parent.name if isinstance(cached, str) else None
    return {"base_name": str(central), "base_revision": revision}


def refuse_unlike(
    where: str | Path,
    what: str,
    found: object,
    expected: object,
    remedy: str = _AGAIN,
) -> None:
    """Refuse a value that is not the expected one, in one line that shows both."""
    if found != expected:
        raise InputError(
            where,
            f"{what} does not match",
            found=str(found)[:16],
            expected=str(expected)[:16],
            remedy=remedy,
        )
