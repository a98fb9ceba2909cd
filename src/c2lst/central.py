"""The central model: an unconditional diffusion prior of how tissue looks (paper §2.1)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from c2lst import __version__
from c2lst.data.stain import StainReference
from c2lst.diffusion.draws import Draws, mix_seed
from c2lst.diffusion.features import TIMESTEPS, denoiser_features
from c2lst.diffusion.noise import DenoisingLoss, NoiseProcess, dihedral, to_uint8, to_unit_range
from c2lst.diffusion.sampling import get_sampler, sample
from c2lst.diffusion.trainer import TrainSettings, train
from c2lst.diffusion.unet import UNetShape, build_unet
from c2lst.diffusion.weights import best_device, load_weights, weights_hash
from c2lst.errors import InputError
from c2lst.progress import logger, progress_bar
from c2lst.storage import read_json, whole_directory, write_json

if TYPE_CHECKING:
    from diffusers import UNet2DModel

FORMAT = 1
CENTRAL_JSON = "central.json"
STAIN_JSON = "stain_reference.json"
IN_MEMORY_BYTES = 1 << 30
READ_AT_ONCE = 256


class PatchSet(Protocol):
    """H&E patches without genes, such as a :class:`~c2lst.data.collections.PatchCollection`."""

    def __len__(self) -> int:
        """Return the number of patches."""

    def fetch(self, indices: np.ndarray) -> np.ndarray:
        """Return uint8 RGB patches ``(len(indices), size, size, 3)``."""

    def describe(self) -> dict[str, Any]:
        """Say where the patches come from, for the model card."""


@dataclass(frozen=True)
class CentralSettings:
    """How a central model is built and trained."""

    shape: UNetShape
    process: NoiseProcess
    training: TrainSettings


@dataclass
class CentralModel:
    """An unconditional denoiser of H&E patches with what is needed to use it on a slide.

    Parameters
    ----------
    unet
        The denoiser, with averaged weights.
    process
        The noise process it was trained on.
    patch_um
        Side of its patches in µm.
    stain
        The stain reference that its training patches were normalised to. Local patches are
        normalised to the same one (paper §2.4).
    provenance
        What it was trained on and how.
    """

    unet: UNet2DModel
    process: NoiseProcess
    patch_um: float
    stain: StainReference
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Side of the patches in px."""
        return int(self.unet.config.sample_size)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the weights, by which adapters name their base."""
        return weights_hash(self.unet)

    @classmethod
    def pretrain(
        cls,
        patches: PatchSet,
        settings: CentralSettings,
        *,
        patch_um: float,
        stain: StainReference,
        directory: Path | None = None,
    ) -> CentralModel:
        """Train a central model on H&E patches.

        Parameters
        ----------
        patches
            Unlabelled patches of ``settings.shape.size`` px, all brought to one colour
            (paper §2.4), such as by ``PatchCollection.recoloured``.
        settings
            Network, noise process, training.
        patch_um
            Side of a patch in µm.
        stain
            The stain that the patches have; local patches are normalised to it.
        directory
            Where checkpoints go, to resume an interrupted training.
        """
        source = _Images(patches)
        torch.manual_seed(mix_seed(settings.training.seed, 1))
        unet = build_unet(settings.shape)
        count = sum(p.numel() for p in unet.parameters())
        logger.info(
            "central: %.1f M parameters, %d patches of %d px, %d steps of %d",
            count / 1e6,
            len(patches),
            settings.shape.size,
            settings.training.steps,
            settings.training.batch_size,
        )
        history = train(
            unet,
            DenoisingObjective(settings.process),
            source,
            settings.training,
            directory=directory,
            label="central",
        )
        provenance = {
            "patches": patches.describe(),
            "settings": asdict(settings),
            "parameters": count,
            "final_loss": history.losses[-1],
        }
        return cls(unet, settings.process, patch_um, stain, provenance)

    def sample(
        self, n: int, *, seed: int = 0, sampler: str = "fast", batch_size: int = 64
    ) -> np.ndarray:
        """Draw unconditional patches.

        Returns
        -------
        numpy.ndarray
            uint8 RGB ``(n, size, size, 3)``; image *i* depends on (seed, i) alone.
        """
        device = best_device()
        unet = self.unet.to(device).eval()

        def denoise(noisy: Tensor, timestep: int, _: slice) -> Tensor:
            output: Tensor = unet(noisy, timestep).sample
            return output

        images = sample(
            denoise,
            [mix_seed(seed, index) for index in range(n)],
            (3, self.size, self.size),
            self.process,
            get_sampler(sampler),
            batch_size=batch_size,
            device=device,
        )
        return to_uint8(images).numpy()

    def encode(self, images: np.ndarray, *, timesteps: tuple[int, ...] = TIMESTEPS) -> np.ndarray:
        """Describe stain-normalised patches by the denoiser's activations.

        Parameters
        ----------
        images
            uint8 RGB ``(n, size, size, 3)``.

        Returns
        -------
        numpy.ndarray
            ``(n, features)``, learnt without a single gene.
        """
        self.unet.to(best_device())
        return denoiser_features(self.unet, self.process, images, timesteps=timesteps)

    def save(self, directory: str | Path) -> None:
        """Write a diffusers pipeline directory with the stain reference and a model card."""
        from diffusers import DDPMPipeline

        with whole_directory(directory) as partial:
            pipeline = DDPMPipeline(unet=self.unet.to("cpu"), scheduler=self.process.scheduler())
            pipeline.save_pretrained(partial, safe_serialization=True)
            write_json(partial / STAIN_JSON, self.stain.to_dict())
            write_json(
                partial / CENTRAL_JSON,
                {
                    "format": FORMAT,
                    "c2lst": __version__,
                    "hash": self.hash,
                    "patch_um": self.patch_um,
                    "size": self.size,
                    "process": asdict(self.process),
                    "provenance": self.provenance,
                },
            )
            (partial / "README.md").write_text(_card(self), encoding="utf-8")

    @classmethod
    def load(cls, directory: str | Path) -> CentralModel:
        """Read a central model.

        Raises
        ------
        InputError
            If a file is missing or a weight is missing, unexpected or of another shape, or if the
            weights are not those that the card names.
        """
        from diffusers import UNet2DModel

        directory = Path(directory)
        if not directory.is_dir():
            raise InputError(directory, "no such folder", expected="a central model")
        card = read_json(
            directory / CENTRAL_JSON, required=("format", "hash", "patch_um", "process")
        )
        if card["format"] != FORMAT:
            raise InputError(
                directory / CENTRAL_JSON, "format", found=card["format"], expected=FORMAT
            )
        config = read_json(directory / "unet" / "config.json", required=("sample_size",))
        unet = UNet2DModel.from_config(config)
        load_weights(unet, directory / "unet" / "diffusion_pytorch_model.safetensors")
        model = cls(
            unet.eval(),
            NoiseProcess(**card["process"]),
            float(card["patch_um"]),
            StainReference.from_dict(read_json(directory / STAIN_JSON)),
            card.get("provenance", {}),
        )
        if model.hash != card["hash"]:
            raise InputError(
                directory,
                "weights are not those named in central.json",
                found=model.hash[:12],
                expected=str(card["hash"])[:12],
                remedy="copy the whole folder of the central model again",
            )
        return model


class DenoisingObjective:
    """The unconditional loss (paper Eq. 6) on randomly turned and mirrored patches."""

    def __init__(self, process: NoiseProcess) -> None:
        self.loss = DenoisingLoss(process)

    def __call__(self, model: nn.Module, batch: dict[str, Tensor], draws: Draws) -> Tensor:
        """Return the loss per patch, shape ``(B,)``."""
        clean = dihedral(to_unit_range(batch["images"]), draws.integers(8))
        noise = draws.normal(tuple(clean.shape[1:]))
        timesteps = draws.integers(self.loss.process.steps)
        output = model(self.loss.add_noise(clean, noise, timesteps), timesteps).sample
        return self.loss(output, clean, noise, timesteps)


class _Images:
    """Patches as training samples: kept in memory where they fit, else fetched each time."""

    def __init__(self, patches: PatchSet) -> None:
        if len(patches) == 0:
            raise InputError("central collection", "holds no patches")
        self.patches = patches
        fits = len(patches) * patches.fetch(np.array([0])).nbytes <= IN_MEMORY_BYTES
        self.stored = self._read_all() if fits else None

    def _read_all(self) -> np.ndarray:
        parts = []
        with progress_bar("patches", len(self.patches)) as bar:
            for start in range(0, len(self.patches), READ_AT_ONCE):
                indices = np.arange(start, min(start + READ_AT_ONCE, len(self.patches)))
                parts.append(self.patches.fetch(indices))
                bar.advance(len(indices))
        return np.concatenate(parts)

    def __len__(self) -> int:
        return len(self.patches)

    def fetch(self, indices: np.ndarray) -> dict[str, Tensor]:
        stored = self.stored
        images = self.patches.fetch(indices) if stored is None else stored[indices]
        return {"images": torch.from_numpy(images)}


def _card(model: CentralModel) -> str:
    source = model.provenance.get("patches", {})
    settings = model.provenance.get("settings", {}).get("training", {})
    return f"""---
library_name: diffusers
tags: [histology, diffusion, spatial-transcriptomics, c2lst]
---
# Central model of H&E patches

An unconditional diffusion model of {model.size} px patches ({model.patch_um:g} µm wide), trained by
c2lst {__version__}. Open it with `diffusers.DDPMPipeline.from_pretrained`, or adapt it to a slide
with `c2lst adapt`.

- Trained on: {source.get("source", "unknown")} ({source.get("patches", "?")} patches)
- Steps: {settings.get("steps", "?")}, effective batch {settings.get("batch_size", "?")}
- Target: {model.process.prediction}, min-SNR γ {model.process.min_snr_gamma:g}
- Weights: SHA-256 {model.hash}

Intended use: a prior for gene-conditioned adaptation in research. Its images are synthetic and are
not for diagnosis. The licence of the training patches applies to what may be done with it.
"""
