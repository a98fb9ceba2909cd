"""Published encoders of tissue: what each expects, gives and allows, as its authors state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

Library = Literal["timm", "transformers", "conch"]
Pooling = Literal["own", "class", "class and mean"]
RGB = tuple[float, float, float]

IMAGENET_MEAN: RGB = (0.485, 0.456, 0.406)
IMAGENET_STD: RGB = (0.229, 0.224, 0.225)
_CLIP: tuple[RGB, RGB] = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
_BIOPTIMUS: tuple[RGB, RGB] = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))

_ASK = "access is granted on the model page, then `hf auth login`"
_NC_ND = "CC-BY-NC-ND-4.0"


@dataclass(frozen=True)
class EncoderSpec:
    """A published encoder.

    Parameters
    ----------
    name, label
        As of an :class:`~c2lst.evaluation.encoders.ImageEncoder`.
    source
        Repository on the Hugging Face hub, or a local folder of the same files.
    library
        What builds the network.
    size
        Side of its input in px; 112 µm at 224 px are 0.5 µm/px, what most were trained on.
    width
        Length of a feature vector; 0 where it is not known beforehand.
    pooling
        ``own``: what the network returns. ``class``: its class token. ``class and mean``: class
        token beside the mean of the patch tokens.
    mean, std
        Of the channels, for pixels in [0, 1].
    prefix
        Tokens before those of the patches: class token and registers.
    options
        Arguments of the network beside those in its ``config.json``.
    gated_mlp
        Whether its transformer blocks have SwiGLU layers.
    licence, access, citation
        Terms of the weights, how to get them, what to cite.
    """

    name: str
    label: str
    source: str
    library: Library
    size: int = 224
    width: int = 0
    pooling: Pooling = "own"
    mean: RGB = IMAGENET_MEAN
    std: RGB = IMAGENET_STD
    prefix: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    gated_mlp: bool = False
    licence: str = "see the model page"
    access: str = "open"
    citation: str = ""

    @property
    def page(self) -> str:
        """Where its model card is."""
        return f"https://huggingface.co/{self.source}"


_UNI2: dict[str, Any] = {
    "img_size": 224,
    "patch_size": 14,
    "depth": 24,
    "num_heads": 24,
    "init_values": 1e-5,
    "embed_dim": 1536,
    "mlp_ratio": 2.66667 * 2,
    "no_embed_class": True,
    "reg_tokens": 8,
    "dynamic_img_size": True,
}

_SPECS = (
    EncoderSpec(
        "conch", "CONCH features (ViT-B/16)", "MahmoodLab/CONCH", "conch",
        size=448, width=512, mean=_CLIP[0], std=_CLIP[1],
        licence=_NC_ND, access=_ASK, citation="Lu et al., Nature Medicine 2024",
    ),
    EncoderSpec(
        "uni", "UNI features (ViT-L/16)", "MahmoodLab/UNI", "timm",
        width=1024, options={"init_values": 1e-5, "dynamic_img_size": True},
        licence=_NC_ND, access=_ASK, citation="Chen et al., Nature Medicine 2024",
    ),
    EncoderSpec(
        "uni2", "UNI2-h features (ViT-H/14)", "MahmoodLab/UNI2-h", "timm",
        width=1536, prefix=9, options=_UNI2, gated_mlp=True,
        licence=_NC_ND, access=_ASK, citation="Chen et al., Nature Medicine 2024",
    ),
    EncoderSpec(
        "virchow2", "Virchow2 features (ViT-H/14)", "paige-ai/Virchow2", "timm",
        width=2560, pooling="class and mean", prefix=5, gated_mlp=True,
        licence=_NC_ND, access=_ASK, citation="Zimmermann et al., arXiv 2408.00738",
    ),
    EncoderSpec(
        "h-optimus-0", "H-optimus-0 features (ViT-g/14)", "bioptimus/H-optimus-0", "timm",
        width=1536, mean=_BIOPTIMUS[0], std=_BIOPTIMUS[1], prefix=5,
        options={"init_values": 1e-5, "dynamic_img_size": False},
        licence="Apache-2.0", access=_ASK, citation="Saillard et al., H-optimus-0, 2024",
    ),
    EncoderSpec(
        "h-optimus-1", "H-optimus-1 features (ViT-g/14)", "bioptimus/H-optimus-1", "timm",
        width=1536, mean=_BIOPTIMUS[0], std=_BIOPTIMUS[1], prefix=5,
        options={"init_values": 1e-5, "dynamic_img_size": False},
        licence=_NC_ND, access=_ASK, citation="Bioptimus, H-optimus-1, 2025",
    ),
    EncoderSpec(
        "phikon", "Phikon features (ViT-B/16)", "owkin/phikon", "transformers",
        width=768, pooling="class",
        licence="Owkin's, for non-profit research alone",
        citation="Filiot et al., medRxiv 2023.07.21.23292757",
    ),
    EncoderSpec(
        "phikon-v2", "Phikon-v2 features (ViT-L/16)", "owkin/phikon-v2", "transformers",
        width=1024, pooling="class",
        licence='its own ("other" on its page)', citation="Filiot et al., arXiv 2409.09173",
    ),
)  # fmt: skip

PUBLISHED: Mapping[str, EncoderSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""Encoders whose weights are on the Hugging Face hub, by name."""
