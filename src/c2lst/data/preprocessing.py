"""Everything that is fitted before a model: genes, expression scale and stain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.data.genes import ExpressionScaler, GenePanel
from c2lst.data.section import Section
from c2lst.data.stain import StainNormaliser, StainReference, even_rows
from c2lst.errors import InputError
from c2lst.storage import hash_strings, read_json, write_json

if TYPE_CHECKING:
    from c2lst.data.split import SpotSplit

FORMAT = 1
_REQUIRED = (
    "format",
    "section",
    "section_hash",
    "train_hash",
    "patch_um",
    "size",
    "genes",
    "scaler",
    "stain",
    "source_stain",
)


@dataclass(frozen=True, eq=False)
class Preprocessing:
    """Gene panel, expression scale and stain, all fitted to training spots alone.

    Parameters
    ----------
    panel, scaler
        Which genes, and how their counts become model values.
    stain
        The stain that patches get.
    train_hash, section_hash, section
        Training barcodes, content and name of the section that it was fitted to.
    patch_um, size
        Width of a patch in µm and in px.
    source_stain
        The stain that the section's patches have, from its training spots.
    """

    panel: GenePanel
    scaler: ExpressionScaler
    stain: StainReference
    train_hash: str
    section_hash: str
    section: str
    patch_um: float
    size: int
    source_stain: StainReference

    @classmethod
    def fit(
        cls,
        section: Section,
        split: SpotSplit,
        *,
        n_genes: int = 250,
        genes: Sequence[str] | None = None,
        stain: StainReference | None = None,
    ) -> Preprocessing:
        """Fit to the training spots of ``split``; no other spot is looked at.

        Parameters
        ----------
        section, split
            The section and its split.
        n_genes
            Size of the panel of highest mean counts, where ``genes`` is not given.
        genes
            The panel itself.
        stain
            Stain to bring patches to, such as a central model's; the section's own by default,
            which leaves its patches as they are.

        Raises
        ------
        InputError
            If the split is of another section, or a gene is unknown.
        """
        train = split.training(section)
        panel = (
            GenePanel.top_mean(train, n_genes)
            if genes is None
            else GenePanel.from_list(genes, section)
        )
        source = StainReference.fit(train.patches[even_rows(len(train))], fallback=stain)
        return cls(
            panel=panel,
            scaler=ExpressionScaler.fit(train, panel),
            stain=source if stain is None else stain,
            train_hash=split.train_hash,
            section_hash=section.content_hash,
            section=section.name,
            patch_um=section.patches.patch_um,
            size=section.patches.size,
            source_stain=source,
        )

    def save(self, path: str | Path) -> None:
        """Write everything as JSON."""
        write_json(path, {"format": FORMAT, "kind": "preprocessing", **self._to_dict()})

    @classmethod
    def load(cls, path: str | Path) -> Preprocessing:
        """Read what ``save`` wrote.

        Raises
        ------
        InputError
            If the file is missing, damaged, or something else.
        """
        value = read_json(path, required=_REQUIRED)
        if value["format"] != FORMAT:
            raise InputError(path, "unknown format", found=value["format"], expected=FORMAT)
        try:
            loaded = cls(
                panel=GenePanel(tuple(value["genes"])),
                scaler=ExpressionScaler.from_dict(value["scaler"]),
                stain=StainReference.from_dict(value["stain"]),
                train_hash=str(value["train_hash"]),
                section_hash=str(value["section_hash"]),
                section=str(value["section"]),
                patch_um=float(value["patch_um"]),
                size=int(value["size"]),
                source_stain=StainReference.from_dict(value["source_stain"]),
            )
        except (InputError, KeyError, TypeError, ValueError) as error:
            raise InputError(path, f"is no preprocessing ({error})") from error
        if len(loaded.panel) != len(loaded.scaler.mean):
            raise InputError(
                path,
                "genes and scaler differ in number",
                found=len(loaded.scaler.mean),
                expected=len(loaded.panel),
            )
        return loaded

    def check(self, section: Section) -> None:
        """Make sure that ``section`` has the same patches and all genes.

        Raises
        ------
        InputError
            If its patches have another width in µm or px, or it lacks a gene of the panel.
        """
        patches = section.patches
        same_um = abs(patches.patch_um - self.patch_um) <= 0.01 * self.patch_um
        if patches.size != self.size or not same_um:
            raise InputError(
                f"section {section.name!r}",
                "its patches have another size",
                found=f"{patches.patch_um:g} µm in {patches.size} px",
                expected=f"{self.patch_um:g} µm in {self.size} px",
                remedy="read the section with that patch_um and size",
            )
        self.panel.columns(section)

    def check_fitted_to(self, section: Section, split: SpotSplit) -> None:
        """Make sure that this was fitted to the training spots of ``split``, and to no others.

        Barcodes alone do not tell: arrays of one kind have the same ones on every slide.

        Raises
        ------
        InputError
            If it was fitted to other spots, or to those of another section.
        """
        if self.train_hash != split.train_hash:
            raise InputError(
                "preprocessing",
                "was fitted to other training spots than the split's",
                found=self.train_hash[:12],
                expected=split.train_hash[:12],
                remedy="fit genes, scales and stain to this split",
            )
        if self.section_hash != section.content_hash:
            raise InputError(
                "preprocessing",
                "was fitted to another section",
                found=f"{self.section!r}, content {self.section_hash[:12]}",
                expected=f"{section.name!r}, content {section.content_hash[:12]}",
                remedy="fit genes, scales and stain to this section",
            )

    def for_section(self, section: Section) -> Preprocessing:
        """Return this for the patches of another section, whose stain is estimated from them.

        Genes, expression scale and target stain stay as they were fitted.

        Raises
        ------
        InputError
            If the section has other patches or lacks a gene.
        """
        self.check(section)
        patches = section.patches[even_rows(len(section))]
        return replace(self, source_stain=StainReference.fit(patches, fallback=self.stain))

    def lognorm(self, section: Section) -> np.ndarray:
        """log1p of counts per ``scaler.target_sum`` of the panel's genes, float32 (n, G)."""
        return self.scaler.lognorm(section, self.panel)

    def expression(self, section: Section) -> np.ndarray:
        """Standardised expression of the panel's genes, float32 (n, G)."""
        return self.scaler.scale(self.lognorm(section))

    def images(self, section_or_images: Section | np.ndarray) -> np.ndarray:
        """Stain-normalised patches, uint8 (n, S, S, 3).

        Parameters
        ----------
        section_or_images
            The section, some of its spots, or patches of it as uint8 (n, S, S, 3).

        Raises
        ------
        InputError
            If a section's patches have another size.
        """
        if isinstance(section_or_images, Section):
            self.check(section_or_images)
            images = section_or_images.patches[np.arange(len(section_or_images))]
        else:
            images = np.asarray(section_or_images)
        return self._normaliser.apply(images)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of everything that was fitted."""
        return hash_strings([repr(self._to_dict())])

    @cached_property
    def _normaliser(self) -> StainNormaliser:
        return StainNormaliser(self.source_stain, self.stain)

    def _to_dict(self) -> dict[str, Any]:
        return {
            "section": self.section,
            "section_hash": self.section_hash,
            "train_hash": self.train_hash,
            "patch_um": float(self.patch_um),
            "size": int(self.size),
            "genes": list(self.panel.genes),
            "scaler": self.scaler.to_dict(),
            "stain": self.stain.to_dict(),
            "source_stain": self.source_stain.to_dict(),
        }
