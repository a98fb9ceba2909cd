"""A central model with its adapter, as one object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst.local import adaptation, artefact, synthesis

if TYPE_CHECKING:
    import numpy as np

    from c2lst.central import CentralModel
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.synthetic import SyntheticPairs
    from c2lst.diffusion.film import GeneModulatedUNet
    from c2lst.local.adaptation import AdapterSettings
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
    ) -> SyntheticPairs:
        """Draw synthetic image-gene pairs from the profiles of the training spots.

        Parameters
        ----------
        section, split
            The slide and its split; only the training spots that the adapter saw are allowed.
        settings
            Images per spot, guidance, sampler, profiles.
        directory
            Where finished batches are kept, so that an interrupted synthesis continues.

        Raises
        ------
        InputError
            If the split's training spots are not those of the adapter.
        """
        return synthesis.synthesize(self, section, split, settings, directory=directory)

    def draw(
        self,
        profiles: np.ndarray,
        seeds: list[int],
        settings: SynthesisSettings,
        *,
        directory: Path | None = None,
    ) -> np.ndarray:
        """Draw one patch per scaled expression profile.

        Parameters
        ----------
        profiles
            ``(n, G)``, scaled as by this model's preprocessing.
        seeds
            One per patch.

        Returns
        -------
        numpy.ndarray
            uint8 RGB ``(n, size, size, 3)``.
        """
        return synthesis.draw(self, profiles, seeds, settings, directory=directory)

    def save(self, directory: str | Path) -> None:
        """Write the adapter: its configuration, its weights and a card, without the base."""
        artefact.save_adapter(self, directory)

    @classmethod
    def load(cls, directory: str | Path, central: CentralModel) -> LocalModel:
        """Read an adapter onto its central model.

        Raises
        ------
        InputError
            If the central model is not the one that the adapter was trained on, or the adapter's
            files do not fit together.
        """
        return cls(central, *artefact.load_adapter(directory, central))
