"""The central model: an unconditional diffusion prior of how tissue looks (paper §2.1)."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from c2lst.central.card import SHEET
from c2lst.central.continuing import bind_to_objective, bind_to_start, check_continues
from c2lst.central.files import CENTRAL_FILES, read_files, write_files
from c2lst.central.half import rounded
from c2lst.central.hub import model_folder
from c2lst.central.monitor import HeldOut, SampleMonitor, WatchSettings, last_look
from c2lst.central.pretraining import DenoisingObjective, PatchSamples, PatchSet
from c2lst.central.settings import CentralSettings
from c2lst.data.duplicates import LEAST_COPIES, PatchSketch
from c2lst.data.stain import StainJitter, StainReference
from c2lst.devices import best_device
from c2lst.diffusion.draws import mix_seed
from c2lst.diffusion.features import (
    BlockFeatures,
    candidate_views,
    denoiser_features,
    joined,
)
from c2lst.diffusion.noise import NoiseProcess, to_uint8
from c2lst.diffusion.sampling import get_sampler, sample_unconditional
from c2lst.diffusion.trainer import train
from c2lst.diffusion.unet import build_unet, shape_of
from c2lst.diffusion.watch import LOG
from c2lst.diffusion.weights import weights_hash
from c2lst.errors import InputError
from c2lst.evaluation.sheets import contact_sheet, write_png
from c2lst.progress import logger
from c2lst.storage import whole_directory

if TYPE_CHECKING:
    from diffusers import UNet2DModel

    from c2lst.data.section import Section

ON_CARD = 48


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
    sketch
        Hashes of its training patches, by which it knows a slide that it has seen; None of a model
        that was made without.
    """

    unet: UNet2DModel
    process: NoiseProcess
    patch_um: float
    stain: StainReference
    provenance: dict[str, Any] = field(default_factory=dict)
    sketch: PatchSketch | None = None

    @property
    def size(self) -> int:
        """Side of the patches in px."""
        return int(self.unet.config.sample_size)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the weights at 32 bit, however stored, by which adapters name their base."""
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
        watch: WatchSettings | None = None,
        held_out: HeldOut | None = None,
        start: CentralModel | None = None,
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
            Where checkpoints, the log and sample sheets go, to resume an interrupted training.
        watch
            How samples are watched during the training; by default they are not.
        held_out
            Patches of the same colour, of other slides, that those samples are compared with.
        start
            A central model whose training goes on, on a copy of it, such as with a laboratory's
            own unlabelled tissue; its network and noise process are kept.

        Raises
        ------
        InputError
            If the patches are not of the side and the colour that ``start`` was trained on.
        """
        if start is None:
            torch.manual_seed(mix_seed(settings.training.seed, 1))
            unet = build_unet(settings.shape)
        else:
            check_continues(start, patch_um, stain)
            unet = copy.deepcopy(start.unet)
            settings = replace(settings, shape=shape_of(unet), process=start.process)
        if directory is not None:
            bind_to_start(directory, start)
            bind_to_objective(directory, settings)
        watchers = (
            []
            if watch is None
            else [
                SampleMonitor(
                    settings.process,
                    settings.shape.size,
                    watch,
                    training=patches,
                    held_out=held_out,
                    directory=directory,
                )
            ]
        )
        objective = DenoisingObjective(
            settings.process,
            dihedral=settings.dihedral,
            jitter=StainJitter(stain, settings.stain_jitter),
            windows=settings.windows,
        )
        history = train(
            unet,
            objective,
            PatchSamples(patches),
            settings.training,
            directory=directory,
            label="central",
            watchers=watchers,
        )
        provenance = {
            "patches": patches.describe(),
            "settings": asdict(settings),
            "parameters": sum(p.numel() for p in unet.parameters()),
            "final_loss": history.losses[-1],
            "watched": last_look(directory) if directory else {},
        }
        if start is not None:
            provenance["started_from"] = {"hash": start.hash, "provenance": start.provenance}
        sketch = PatchSketch.of(patches.fetch, len(patches))
        if start is not None and start.sketch is not None:
            sketch = sketch.joined(start.sketch)
        return cls(unet, settings.process, patch_um, stain, provenance, sketch)

    def sample(
        self,
        images: int | Sequence[int],
        *,
        seed: int = 0,
        sampler: str = "fast",
        batch_size: int = 32,
    ) -> np.ndarray:
        """Draw unconditional patches.

        Parameters
        ----------
        images
            How many, or the numbers of those wanted.
        seed
            Image *i* depends on (seed, i) alone.
        sampler
            Sampler preset.
        batch_size
            Images at a time; memory, not result (up to rounding).

        Returns
        -------
        numpy.ndarray
            uint8 RGB ``(n, size, size, 3)``.
        """
        device = best_device()
        drawn = sample_unconditional(
            self.unet.to(device).eval(),
            self.process,
            self.size,
            range(images) if isinstance(images, int) else images,
            seed=seed,
            sampler=get_sampler(sampler),
            batch_size=batch_size,
            device=device,
        )
        return to_uint8(drawn).numpy()

    def warn_if_seen(self, section: Section) -> None:
        """Warn where patches of a section are among those that the model was trained on.

        Its tissue is then no news to the model, held-out spots included.
        """
        copies = 0 if self.sketch is None else self.sketch.copies_in(section)
        if copies >= LEAST_COPIES:
            logger.warning(
                "%s: the patches of %d of %d spots were among the training patches of the central "
                "model; what is held out here was not new to it",
                section.name,
                copies,
                len(section),
            )

    def encode(self, images: np.ndarray) -> np.ndarray:
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
        return joined(self._block_features(images))

    def encode_views(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Describe patches by all activations, and by those of each part and noise level alone.

        Parameters
        ----------
        images
            uint8 RGB ``(n, size, size, 3)``.

        Returns
        -------
        dict
            ``central`` as of :meth:`encode`, then ``central.down``, ``central.t50`` and so on (see
            :func:`~c2lst.diffusion.features.candidate_views`), all from one pass: candidates for
            :func:`~c2lst.prediction.views.choose_view`.
        """
        return candidate_views(self._block_features(images), "central")

    def _block_features(self, images: np.ndarray) -> BlockFeatures:
        self.unet.to(best_device())
        return denoiser_features(self.unet, self.process, images)

    def save(self, directory: str | Path, *, training: Path | None = None) -> None:
        """Write a diffusers pipeline directory with the stain reference and a model card.

        Weights that half precision holds as they are (of :meth:`in_half`) take half the bytes.

        Parameters
        ----------
        directory
            Where to; an earlier model there is replaced, anything else is refused.
        training
            Folder of the training, whose log is kept with the model.
        """
        with whole_directory(directory, CENTRAL_FILES) as partial:
            write_files(self, partial)
            if training is not None and (training / LOG).is_file():
                shutil.copyfile(training / LOG, partial / LOG)

    def in_half(self) -> CentralModel:
        """Return the model with its weights rounded to half precision: another, by its hash."""
        told = {"rounded": {"from": self.hash, "to": "float16"}}
        return replace(self, unet=rounded(self.unet), provenance=self.provenance | told)

    def publish(
        self,
        directory: str | Path,
        *,
        licence: str | None = None,
        recipe: str | None = None,
        half: bool = False,
    ) -> None:
        """Write what others get: the model with samples and a card that shows them.

        Parameters
        ----------
        directory
            Where to; an earlier model there is replaced, anything else is refused.
        licence
            Of the training patches, as the hub names it; by default what the collection says.
        recipe
            The commands that made it, for the card.
        half
            Round the weights to half precision, for half the bytes (:meth:`in_half`).
        """
        model = self.in_half() if half else self
        patches = self.provenance.get("patches", {})
        told = {"patches": patches | {"licence": licence or patches.get("licence")}}
        told |= {} if recipe is None else {"recipe": recipe}
        model = replace(model, provenance=model.provenance | told)
        with whole_directory(directory, CENTRAL_FILES) as partial:
            write_png(partial / SHEET, contact_sheet(model.sample(ON_CARD), columns=12))
            write_files(model, partial)

    @classmethod
    def load(cls, where: str | Path, *, revision: str | None = None) -> CentralModel:
        """Read a central model.

        Parameters
        ----------
        where
            Its folder, ``builtin``, or its id on the Hugging Face hub.
        revision
            Branch, tag or commit on the hub.

        Raises
        ------
        InputError
            If a file is missing or a weight is missing, unexpected or of another shape, if the
            weights are not those that ``central.json`` names, or are pickled.
        """
        directory = model_folder(where, "a central model", revision)
        parts, known = read_files(directory)
        model = cls(**parts)
        if model.hash != known:
            raise InputError(
                directory,
                "weights are not those named in central.json",
                found=model.hash[:12],
                expected=known[:12],
                remedy="copy the whole folder of the central model again",
            )
        return model
