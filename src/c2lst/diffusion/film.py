"""Gene modulation of a frozen U-Net: h ← γ(g)·Norm(h) + β(g) (paper Eq. 9).

Every residual block of the central U-Net turns its time embedding into a scale s and a shift b and
computes Norm(h)·(1 + s) + b. The adapter composes that with the gene's scale γ and shift β:

    (Norm(h)·(1 + s) + b)·(1 + γ) + β  =  Norm(h)·(1 + s') + b',
    s' = s + γ·(1 + s),   b' = b + γ·b + β,

so that it changes only the output of ``time_emb_proj``. The gene embedding travels to the blocks
inside the time embedding, an explicit argument that gradient checkpointing and ``torch.compile``
see. γ and β start at zero: an untrained local model is the central model bit for bit.

A gene that was not measured is NaN, and counts as the mean of the training spots.
"""

from __future__ import annotations

import copy
import fnmatch
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from c2lst.diffusion.lowrank import add_updates
from c2lst.errors import InputError
from c2lst.rules import one_of

if TYPE_CHECKING:
    from diffusers import UNet2DModel

Null = Literal["learned", "base"]
"""What stands for "no genes": a trained condition, or the central model itself."""


def check_null(null: str, rank: int) -> None:
    """Refuse an unknown null condition, and one that low-rank updates would make untrue.

    Raises
    ------
    InputError
        If ``null`` is unknown, or is ``base`` where the rank of the updates is not 0.
    """
    known = one_of(Null)
    if not known.fits(null):
        raise InputError("adapter settings", "null", found=repr(null), expected=known.expected)
    if null == "base" and rank:
        raise InputError(
            "adapter settings",
            "null 'base' with low-rank updates: the network that they change is not the base",
            remedy="use null 'learned', or method 'film'",
        )


def _chosen(names: list[str], blocks: str) -> list[str]:
    patterns = [pattern.strip() for pattern in blocks.split(",")]
    return [name for name in names if any(fnmatch.fnmatch(name, p) for p in patterns)]


class GeneEmbedding(nn.Module):
    """One-layer projection of a scaled expression vector, with a null condition.

    Parameters
    ----------
    n_genes
        Length of the expression vector.
    width
        Length of the embedding.
    null
        ``learned``: a trained embedding stands for no genes; ``base``: zeros do, which modulations
        without a bias turn into γ = β = 0.
    missing_mask
        Also embed which genes are missing; for adapters that are trained with gene dropout.
    """

    def __init__(
        self, n_genes: int, width: int, null: Null = "learned", missing_mask: bool = False
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(n_genes, width)
        self.null = nn.Parameter(torch.zeros(width)) if null == "learned" else None
        self.missing = nn.Linear(n_genes, width, bias=False) if missing_mask else None
        if self.missing is not None:
            nn.init.zeros_(self.missing.weight)

    def forward(self, expression: Tensor, given: Tensor | None = None) -> Tensor:
        """Embed expression ``(B, G)``; rows with ``given`` False get the null embedding.

        NaN is a gene that was not measured: it counts as 0, the mean of the training spots, and
        the mask says so where it was trained.
        """
        missing = expression.isnan()
        embedded = self.projection(expression.masked_fill(missing, 0))
        if self.missing is not None:
            embedded = embedded + self.missing(missing.to(expression.dtype))
        if given is None:
            return embedded
        null = torch.zeros_like(embedded) if self.null is None else self.null.to(embedded.dtype)
        return torch.where(given[:, None], embedded, null)


class _PaddedTimeEmbedding(nn.Module):
    """The time embedding followed by zeros, the room that the gene embedding is added into."""

    def __init__(self, embedding: nn.Module, room: int) -> None:
        super().__init__()
        self.embedding = embedding
        self.room = room

    def forward(self, sample: Tensor, condition: Tensor | None = None) -> Tensor:
        return pad(self.embedding(sample, condition), (0, self.room))


class _PaddedGenes(nn.Module):
    """Zeros followed by the gene embedding, in the shape of the padded time embedding."""

    def __init__(self, time_width: int) -> None:
        super().__init__()
        self.time_width = time_width

    def forward(self, embedded: Tensor) -> Tensor:
        return pad(embedded, (self.time_width, 0))


class _ModulatedProjection(nn.Module):
    """A block's frozen time projection, composed with the modulation by genes if it has one."""

    def __init__(self, projection: nn.Linear, modulation: nn.Linear | None) -> None:
        super().__init__()
        self.projection = projection
        self.modulation = modulation

    def forward(self, embedding: Tensor) -> Tensor:
        time, genes = embedding.split(
            [self.projection.in_features, embedding.shape[-1] - self.projection.in_features], dim=-1
        )
        # No weight before this trains. Detached, the backward pass ends at the first block that
        # is modulated instead of going through all of them.
        modulated: Tensor = self.projection(time.detach())
        if self.modulation is None:
            return modulated
        scale, shift = modulated.chunk(2, dim=-1)
        gamma, beta = self.modulation(genes).chunk(2, dim=-1)
        return torch.cat([scale + gamma * (1 + scale), shift + gamma * shift + beta], dim=-1)


class GeneModulatedUNet(nn.Module):
    """A central U-Net with trainable gene modulation; the U-Net's weights are shared and frozen.

    Parameters
    ----------
    central
        The central U-Net. It is not changed: the modules are copied, the weights are the same
        tensors.
    n_genes
        Genes of the panel.
    width
        Width of the gene embedding. Open in the paper; 128 is our default.
    blocks
        Shell-style pattern of the residual blocks to modulate, or several with commas between,
        matched against their names (``down_blocks.0.resnets.1``); ``*`` for all.
    null
        What the network is where no genes are given: ``learned``, the local model under a
        trained null condition (as in the paper); ``base``, the central model bit for bit, however
        long the adapter trained.
    missing_mask
        Embed which genes are missing.
    rank
        Rank of the updates of the frozen convolutions and attention of the blocks that ``blocks``
        matches (``up_blocks.0.attentions.0`` is a name, too), for a tissue that looks unlike the
        central model's; 0 for none. They act with and without genes.

    Raises
    ------
    InputError
        If no block matches, the U-Net has no scale-shift blocks, or low-rank updates are asked
        for with ``base``: a network that they changed is not the central model.
    """

    def __init__(
        self,
        central: UNet2DModel,
        n_genes: int,
        width: int = 128,
        blocks: str = "*",
        *,
        null: Null = "learned",
        missing_mask: bool = False,
        rank: int = 0,
    ) -> None:
        super().__init__()
        if central.config.resnet_time_scale_shift != "scale_shift":
            raise InputError(
                "central model",
                "resnet_time_scale_shift",
                found=central.config.resnet_time_scale_shift,
                expected="scale_shift",
                remedy="use a central model made by `c2lst pretrain`",
            )
        check_null(null, rank)
        self.config: dict[str, Any] = {
            "n_genes": n_genes,
            "width": width,
            "blocks": blocks,
            "null": null,
            "missing_mask": missing_mask,
            "rank": rank,
        }
        """What it was made with: ``GeneModulatedUNet(central, **config)`` is its like."""
        # The same storage under frozen names: no second copy, no flag changed on the central model.
        frozen: dict[int, object] = {
            id(p): nn.Parameter(p.detach(), requires_grad=False) for p in central.parameters()
        }
        self.unet = copy.deepcopy(central, frozen)
        self.embedding = GeneEmbedding(n_genes, width, null, missing_mask)
        # Held by this module for saving and training; the blocks only refer to them.
        self.modulations, self.updates = nn.ModuleDict(), nn.ModuleDict()
        self._modulate(width, blocks, bias=null == "learned")
        if rank:
            self._update(blocks, rank)

    def _modulate(self, width: int, blocks: str, *, bias: bool) -> None:
        """Let the genes reach every residual block, and modulate those that are chosen."""
        unet = self.unet
        names = [n for n, m in unet.named_modules() if hasattr(m, "time_emb_proj")]
        chosen = _chosen(names, blocks)
        if not chosen:
            raise InputError(
                "adapter settings", "blocks", found=blocks, expected=f"one of {', '.join(names)}"
            )
        time_width = unet.time_embedding.linear_2.out_features
        unet.time_embedding = _PaddedTimeEmbedding(unet.time_embedding, width)
        unet.class_embedding = _PaddedGenes(time_width)
        for name in names:
            block = unet.get_submodule(name)
            modulation = None
            if name in chosen:
                modulation = nn.Linear(width, block.time_emb_proj.out_features, bias=bias)
                for parameter in modulation.parameters():
                    nn.init.zeros_(parameter)
                self.modulations[name.replace(".", "/")] = modulation
            block.time_emb_proj = _ModulatedProjection(block.time_emb_proj, modulation)

    def _update(self, blocks: str, rank: int) -> None:
        """Add low-rank updates to the residual and attention blocks that are chosen."""
        units = [
            name
            for name, module in self.unet.named_modules()
            if hasattr(module, "time_emb_proj") or hasattr(module, "to_q")
        ]
        for name in _chosen(units, blocks):
            for inner, update in add_updates(self.unet.get_submodule(name), rank):
                self.updates[f"{name}.{inner}".replace(".", "/")] = update

    def adapter_state(self) -> dict[str, Tensor]:
        """Return the adapter's weights: all of this model that is not the central model."""
        kept = ("embedding.", "modulations.", "updates.")
        return {k: v for k, v in self.state_dict().items() if k.startswith(kept)}

    def load_adapter_state(self, state: dict[str, Tensor]) -> None:
        """Copy an adapter's weights in place.

        Raises
        ------
        InputError
            If a weight is missing, unexpected or of another shape.
        """
        own = self.adapter_state()
        odd = sorted(set(own) ^ set(state))
        odd += [k for k in own if k in state and own[k].shape != state[k].shape]
        if odd:
            raise InputError(
                "adapter_model.safetensors",
                f"weight {odd[0]!r} does not fit this central model or gene panel",
                remedy="load the adapter with the central model that it was made from",
            )
        with torch.no_grad():
            for name, value in state.items():
                own[name].copy_(value)

    def forward(
        self,
        noisy: Tensor,
        timesteps: Tensor | int,
        expression: Tensor,
        given: Tensor | None = None,
    ) -> Tensor:
        """Predict the target from noisy images.

        Parameters
        ----------
        noisy
            ``(B, 3, H, W)``.
        timesteps
            ``(B,)`` or one for all.
        expression
            Scaled expression ``(B, G)``; NaN where a gene was not measured.
        given
            ``(B,)`` booleans; False replaces the genes by the null condition.
        """
        genes = self.embedding(expression, given)
        output: Tensor = self.unet(noisy, timesteps, class_labels=genes).sample
        return output
