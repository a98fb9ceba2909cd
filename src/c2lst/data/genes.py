"""Which genes are modelled, and on which scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from c2lst.errors import InputError
from c2lst.storage import hash_strings

if TYPE_CHECKING:
    from c2lst.data.section import Section


@dataclass(frozen=True)
class GenePanel:
    """The ordered genes that are modelled.

    Parameters
    ----------
    genes
        Names, in order, each once.
    """

    genes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.genes:
            raise InputError("gene panel", "is empty", expected="at least one gene")
        seen: set[str] = set()
        for gene in self.genes:
            if gene in seen:
                raise InputError("gene panel", f"gene {gene!r} is listed twice")
            seen.add(gene)

    def __len__(self) -> int:
        return len(self.genes)

    @classmethod
    def top_mean(cls, train_section: Section, n: int = 250) -> GenePanel:
        """Choose the ``n`` genes of highest mean raw count over ``train_section``.

        The rule of C2L-ST. Equal means keep the order of the section, and a gene that no spot
        expresses is never chosen.

        Raises
        ------
        InputError
            If fewer than ``n`` genes are expressed.
        """
        means = np.asarray(train_section.counts.mean(axis=0), dtype=np.float64).ravel()
        expressed = int((means > 0).sum())
        if not 1 <= n <= expressed:
            raise InputError(
                f"section {train_section.name!r}",
                "the gene panel has no such size",
                found=f"{n} genes wanted",
                expected=f"1 to {expressed}, as many as the training spots express",
            )
        order = np.argsort(-means, kind="stable")[:n]
        return cls(tuple(train_section.genes[order].tolist()))

    @classmethod
    def from_list(cls, genes: Sequence[str], section: Section) -> GenePanel:
        """Take ``genes`` as they are.

        Raises
        ------
        InputError
            If the section lacks one, or one is listed twice.
        """
        panel = cls(tuple(str(gene) for gene in genes))
        panel.columns(section)
        return panel

    def columns(self, section: Section) -> np.ndarray:
        """Columns of the panel's genes in ``section.counts``, int (G,).

        Raises
        ------
        InputError
            If the section lacks one of them.
        """
        columns = section.adata.var_names.get_indexer(np.asarray(self.genes))
        missing = [gene for gene, column in zip(self.genes, columns, strict=True) if column < 0]
        if missing:
            shown = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
            raise InputError(
                f"section {section.name!r}",
                f"{len(missing)} of {len(self)} genes of the panel are not in it",
                found=shown,
                expected=f"gene names such as {str(section.genes[0])!r}",
                remedy="check that both use the same names (symbols or Ensembl ids)",
            )
        return columns

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the ordered names."""
        return hash_strings(self.genes)


@dataclass(frozen=True, eq=False)
class ExpressionScaler:
    """log1p of counts per ``target_sum``, standardised by training means and deviations.

    Parameters
    ----------
    target_sum
        Counts that every spot is brought to before the logarithm.
    mean, std
        Mean and standard deviation of the log-normalised values over training spots, float64
        (G,); a gene that does not vary has ``std`` 1.
    median_library_size
        Median counts of a training spot over all genes.
    """

    target_sum: float
    mean: np.ndarray
    std: np.ndarray
    median_library_size: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", np.asarray(self.mean, dtype=np.float64))
        object.__setattr__(self, "std", np.asarray(self.std, dtype=np.float64))
        if self.mean.ndim != 1 or self.mean.shape != self.std.shape:
            raise InputError(
                "expression scaler",
                "mean and std differ in shape",
                found=f"{self.mean.shape} and {self.std.shape}",
                expected="(genes,) both",
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all()):
            raise InputError("expression scaler", "mean or std is not finite")
        for field in ("std", "target_sum", "median_library_size"):
            if not np.all(np.asarray(getattr(self, field)) > 0):
                raise InputError("expression scaler", f"{field} must be above 0")

    @classmethod
    def fit(
        cls, train_section: Section, panel: GenePanel, target_sum: float = 1e4
    ) -> ExpressionScaler:
        """Fit to the spots of ``train_section``.

        Raises
        ------
        InputError
            If the section lacks a gene of the panel or has a spot without counts.
        """
        values = _lognorm(train_section, panel, target_sum)
        std = values.std(axis=0)
        std[std < 1e-8] = 1.0
        return cls(
            float(target_sum),
            values.mean(axis=0),
            std,
            float(np.median(train_section.library_size)),
        )

    def lognorm(self, section: Section, panel: GenePanel) -> np.ndarray:
        """log1p(counts / library size * ``target_sum``), float32 (n, G).

        The library size counts all genes of a spot, not the panel's alone.

        Raises
        ------
        InputError
            If the section lacks a gene of the panel or has a spot without counts.
        """
        return _lognorm(section, panel, self.target_sum).astype(np.float32)

    def scale(self, lognorm: np.ndarray) -> np.ndarray:
        """Standardise log-normalised values, float32 (n, G)."""
        return ((np.asarray(lognorm, dtype=np.float64) - self.mean) / self.std).astype(np.float32)

    def unscale(self, scaled: np.ndarray) -> np.ndarray:
        """Inverse of ``scale``, float32 (n, G)."""
        return (np.asarray(scaled, dtype=np.float64) * self.std + self.mean).astype(np.float32)

    def to_counts(
        self, lognorm: np.ndarray, library_size: np.ndarray | float | None = None
    ) -> np.ndarray:
        """Return the counts expected in a spot of ``library_size``, the inverse of ``lognorm``.

        Parameters
        ----------
        lognorm
            (n, G) log-normalised values.
        library_size
            Counts of each spot over all genes, (n,) or one number; the training median by
            default.

        Returns
        -------
        float64 (n, G), at least 0 and not rounded.
        """
        size = self.median_library_size if library_size is None else library_size
        libraries = np.asarray(size, dtype=np.float64).reshape(-1, 1)
        shares = np.expm1(np.asarray(lognorm, dtype=np.float64)) / self.target_sum
        return np.clip(shares, 0, None) * libraries

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; ``from_dict`` restores them exactly."""
        return {
            "target_sum": self.target_sum,
            "mean": self.mean.tolist(),
            "std": self.std.tolist(),
            "median_library_size": self.median_library_size,
        }

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> ExpressionScaler:
        """Inverse of ``to_dict``."""
        return cls(
            float(value["target_sum"]),
            np.asarray(value["mean"], dtype=np.float64),
            np.asarray(value["std"], dtype=np.float64),
            float(value["median_library_size"]),
        )


def _lognorm(section: Section, panel: GenePanel, target_sum: float) -> np.ndarray:
    library = section.library_size
    if (library == 0).any():
        empty = section.barcodes[library == 0]
        raise InputError(
            f"section {section.name!r}",
            f"{len(empty)} spots have no counts at all",
            found=f"{str(empty[0])!r}",
            remedy="drop them: their expression is unknown, not zero",
        )
    counts = section.counts[:, panel.columns(section)].toarray().astype(np.float64)
    return np.log1p(counts / library[:, None] * target_sum)
