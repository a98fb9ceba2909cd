"""Gene modulation of a frozen U-Net: h ← γ(g)·Norm(h) + β(g) (paper Eq. 9).

Every residual block of the central U-Net turns its time embedding into a scale s and a shift b and
computes Norm(h)·(1 + s) + b. The adapter composes that with the gene's scale γ and shift β:

    (Norm(h)·(1 + s) + b)·(1 + γ) + β  =  Norm(h)·(1 + s') + b',
    s' = s + γ·(1 + s),   b' = b + γ·b + β,

so that it changes only the output of ``time_emb_proj``. The gene embedding travels to the blocks
inside the time embedding, an explicit argument that gradient checkpointing and ``torch.compile``
see. γ and β start at zero: an untrained local model is the central model bit for bit.
"""

from __future__ import annotations

import copy
import fnmatch
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from c2lst.errors import InputError

if TYPE_CHECKING:
    from diffusers import UNet2DModel


class GeneEmbedding(nn.Module):
    """One-layer projection of a scaled expression vector, with a learnt null condition.

    Parameters
    ----------
    n_genes
        Length of the expression vector.
    width
        Length of the embedding.
    """

    def __init__(self, n_genes: int, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(n_genes, width)
        self.null = nn.Parameter(torch.zeros(width))

    def forward(self, expression: Tensor, given: Tensor | None = None) -> Tensor:
        """Embed expression ``(B, G)``; rows with ``given`` False get the null embedding."""
        embedded = self.projection(expression)
        if given is None:
            return embedded
        return torch.where(given[:, None], embedded, self.null.to(embedded.dtype))


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
        modulated: Tensor = self.projection(time)
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
        Shell-style pattern of the residual blocks to modulate, matched against their names
        (``down_blocks.0.resnets.1``); ``*`` for all.

    Raises
    ------
    InputError
        If no block matches, or the U-Net has no scale-shift blocks.
    """

    def __init__(
        self, central: UNet2DModel, n_genes: int, width: int = 128, blocks: str = "*"
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
        self.width, self.blocks = width, blocks
        # The same storage under frozen names: no second copy, no flag changed on the central model.
        frozen: dict[int, object] = {
            id(p): nn.Parameter(p.detach(), requires_grad=False) for p in central.parameters()
        }
        self.unet = copy.deepcopy(central, frozen)
        self.embedding = GeneEmbedding(n_genes, width)
        self.modulations = nn.ModuleDict()
        self._insert()

    def _insert(self) -> None:
        unet = self.unet
        time_width = unet.time_embedding.linear_2.out_features
        unet.time_embedding = _PaddedTimeEmbedding(unet.time_embedding, self.width)
        unet.class_embedding = _PaddedGenes(time_width)
        names = [n for n, m in unet.named_modules() if hasattr(m, "time_emb_proj")]
        chosen = fnmatch.filter(names, self.blocks)
        if not chosen:
            raise InputError(
                "adapter settings",
                "blocks",
                found=self.blocks,
                expected=f"one of {', '.join(names)}",
            )
        for name in names:
            block = unet.get_submodule(name)
            modulation = None
            if name in chosen:
                modulation = nn.Linear(self.width, block.time_emb_proj.out_features)
                nn.init.zeros_(modulation.weight)
                nn.init.zeros_(modulation.bias)
                # Held by this module for saving and training; the block only refers to it.
                self.modulations[name.replace(".", "/")] = modulation
            block.time_emb_proj = _ModulatedProjection(block.time_emb_proj, modulation)

    def adapter_state(self) -> dict[str, Tensor]:
        """Return the adapter's weights: all of this model that is not the central model."""
        kept = ("embedding.", "modulations.")
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
            Scaled expression ``(B, G)``.
        given
            ``(B,)`` booleans; False replaces the genes by the null condition.
        """
        genes = self.embedding(expression, given)
        output: Tensor = self.unet(noisy, timesteps, class_labels=genes).sample
        return output
