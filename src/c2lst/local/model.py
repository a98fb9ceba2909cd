"""A central model with its adapter, as one object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst.errors import InputError
from c2lst.local import adaptation, artefact, synthesis
from c2lst.local.profiles import draw_profiles

if TYPE_CHECKING:
    import numpy as np

    from c2lst.central import CentralModel
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.synthetic import SyntheticPairs
    from c2lst.diffusion.film import GeneModulatedUNet
    from c2lst.diffusion.processes import Processes
    from c2lst.local.adaptation import AdapterSettings
    from c2lst.local.profiles import Profiles
    from c2lst.local.sources import Sources
    from c2lst.local.synthesis import SynthesisSettings


@dataclass
class LocalModel:
    """A central model with a gene-conditioned adapter.

    Parameters
    ----------
    central
        The frozen base.
    preprocessing
        Genes, expression transform and stain that the adapter was trained with.
    network
        The modulated U-Net.
    provenance
        What it was trained on and how.
    """

    central: CentralModel
    preprocessing: Preprocessing
    network: GeneModulatedUNet
    provenance: dict[str, Any]

    @property
    def hash(self) -> str:
        """SHA-256 of the adapter's weights and preprocessing."""
        return artefact.adapter_hash(self.network.adapter_state(), self.preprocessing)

    @classmethod
    def adapt(
        cls,
        central: CentralModel,
        section: Section,
        split: SpotSplit,
        preprocessing: Preprocessing,
        settings: AdapterSettings,
        *,
        directory: Path | None = None,
    ) -> LocalModel:
        """Train the gene modulation on the training spots of a section.

        Parameters
        ----------
        central
            The base; its weights do not change (checked by hash).
        section, split
            The slide, and which of its spots may be seen.
        preprocessing
            Fitted on the same training spots.
        settings
            Width, blocks, training.
        directory
            Where checkpoints go, to resume an interrupted adaptation.

        Raises
        ------
        InputError
            If the split or the preprocessing belong to other spots, or the patches do not fit the
            central model.
        """
        network, provenance = adaptation.adapt(
            central, section, split, preprocessing, settings, directory=directory
        )
        return cls(central, preprocessing, network, provenance)

    def synthesize(
        self,
        section: Section,
        split: SpotSplit,
        settings: SynthesisSettings,
        *,
        directory: Path | None = None,
        processes: Processes | None = None,
    ) -> SyntheticPairs:
        """Draw synthetic image-gene pairs from the profiles of the training spots.

        Parameters
        ----------
        section, split
            The slide and its split; only the training spots that the adapter saw are allowed.
        settings
            Images per spot, guidance, sampler, profiles.
        directory, processes
            As in :meth:`synthesize_profiles`.

        Raises
        ------
        InputError
            If the split's training spots are not those of the adapter, or ``directory`` holds
            images of another request.
        """
        training = split.training(section)
        if split.train_hash != self.provenance["train_hash"]:
            raise InputError(
                "split",
                "training spots are not those that the adapter was trained on",
                found=split.train_hash[:12],
                expected=self.provenance["train_hash"][:12],
                remedy="use the split that was given to `c2lst adapt`",
            )
        profiles = draw_profiles(
            training,
            self.preprocessing,
            settings.policy,
            per_spot=settings.per_spot,
            mixup_by=settings.mixup_by,
            seed=settings.seed,
        )
        return self.synthesize_profiles(
            profiles, settings, directory=directory, processes=processes
        )

    def synthesize_profiles(
        self,
        profiles: Profiles,
        settings: SynthesisSettings,
        *,
        directory: Path | None = None,
        processes: Processes | None = None,
    ) -> SyntheticPairs:
        """Draw a synthetic patch for each of some expression profiles.

        Parameters
        ----------
        profiles
            Such as of :meth:`~c2lst.local.profile_file.ProfileFile.profiles`.
        settings
            Guidance, sampler, seed.
        directory
            Where finished batches are kept, so that an interrupted synthesis continues. The
            pairs read their images from there, and no more than a batch is held in memory.
        processes
            Those that share the work; they need a ``directory`` that all of them see. Each
            image is the same whoever draws it.

        Raises
        ------
        InputError
            If ``directory`` holds images of another request.
        """
        return synthesis.synthesize(
            self, profiles, settings, directory=directory, processes=processes
        )

    def draw(
        self, profiles: np.ndarray, seeds: list[int], settings: SynthesisSettings
    ) -> np.ndarray:
        """Draw one patch per scaled expression profile.

        Parameters
        ----------
        profiles
            ``(n, G)``, scaled as by this model's preprocessing; NaN for a gene that was not
            measured.
        seeds
            One per patch.

        Returns
        -------
        numpy.ndarray
            uint8 RGB ``(n, size, size, 3)``.
        """
        return synthesis.draw(self, profiles, seeds, settings)

    def compile(self, **options: Any) -> None:
        """Compile the U-Net by :func:`torch.compile`; the gene embedding stays outside.

        Parameters
        ----------
        options
            Of :func:`torch.compile`.
        """
        self.network.unet.compile(**options)

    def save(self, directory: str | Path, *, sources: Sources | None = None) -> None:
        """Write the adapter: configuration, preprocessing, weights and a card, without the base.

        Parameters
        ----------
        directory
            Where to; a folder that is there is replaced.
        sources
            Where section, split and central model are on this machine, for later commands.
        """
        artefact.save_adapter(self, directory, sources)

    @classmethod
    def load(cls, directory: str | Path, central: CentralModel) -> LocalModel:
        """Read an adapter onto its central model.

        Several adapters can be read onto one central model, whose weights they share.

        Raises
        ------
        InputError
            If the central model is not the one that the adapter was trained on, or the adapter's
            files are not those that were written together.
        """
        return cls(central, *artefact.load_adapter(directory, central))

    def swap(self, directory: str | Path) -> None:
        """Become another adapter of the same central model, in place.

        Weights are copied into those that are there, so that a compiled model is not compiled
        again. Genes may differ in names and number.

        Raises
        ------
        InputError
            If the adapter cannot be loaded (:meth:`load`), or is built otherwise; nothing is
            changed then.
        """
        preprocessing, network, provenance = artefact.load_adapter(directory, self.central)
        artefact.swap_weights(directory, self.network, network)
        self.preprocessing, self.provenance = preprocessing, provenance
