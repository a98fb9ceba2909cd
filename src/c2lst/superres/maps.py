"""Maps of expression on square bins, with the tissue image: what super-resolution learns from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from c2lst.errors import InputError
from c2lst.storage import hash_file, read_json, refuse_foreign, whole_directory, write_json
from c2lst.superres.about import read_names, read_samples, read_um
from c2lst.superres.pooling import Sampling, pool_sum, spot_counts
from c2lst.superres.sample import AGAIN, MapSample

FORMAT = 1
MAPS_JSON = "maps.json"
_KEYS = ("format", "genes", "bin_um", "lr_um", "sampling", "samples")


@dataclass(frozen=True, eq=False)
class SuperresMaps:
    """Maps of the same genes at the same resolution, of one or more patients.

    Parameters
    ----------
    genes
        Names, in the order of the maps.
    bin_um
        Side of a bin in µm.
    lr_um
        Side of the square that a spot stands for in µm, a whole number of bins.
    samples
        The areas.
    sampling
        What a spot counts: the whole ``squares`` or ``discs`` of 55 µm in squares of 100 µm, at
        that ratio.
    source
        Where the maps come from, for the card of a model.

    Raises
    ------
    InputError
        If samples differ in genes, names are repeated or the sizes are none.
    """

    genes: tuple[str, ...]
    bin_um: float
    lr_um: float
    samples: tuple[MapSample, ...]
    sampling: Sampling = "squares"
    source: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_scale(self.bin_um, self.lr_um)
        if self.sampling not in get_args(Sampling):
            raise InputError("maps", "sampling", found=self.sampling)
        names = [sample.name for sample in self.samples]
        if not names or len(set(names)) != len(names) or len(set(self.genes)) != len(self.genes):
            raise InputError("maps", "no sample, or a sample or gene is named twice", found=names)
        for sample in self.samples:
            if len(sample.counts) != len(self.genes):
                raise InputError(
                    f"sample {sample.name!r}", "has other genes",
                    found=f"{len(sample.counts)} genes", expected=len(self.genes), remedy=AGAIN,
                )  # fmt: skip
            grid = tuple(-(-side // self.scale) for side in sample.shape)
            if sample.spots is not None and sample.spots.shape != (len(self.genes), *grid):
                raise InputError(
                    f"sample {sample.name!r}", "spots and bins do not match",
                    found=f"spots of shape {sample.spots.shape[1:]}", expected=grid, remedy=AGAIN,
                )  # fmt: skip

    @property
    def scale(self) -> int:
        """Bins along the side of a spot's square."""
        return round(self.lr_um / self.bin_um)

    @property
    def patients(self) -> tuple[str, ...]:
        """Patients, sorted."""
        return tuple(sorted({sample.patient for sample in self.samples}))

    def spots(self, sample: MapSample) -> np.ndarray:
        """Return counts of the spots of a sample, float32 ``(G, h, w)``."""
        if sample.spots is not None:
            return sample.spots
        return spot_counts(sample.counts, self.scale, self.sampling)

    def of(self, patients: Iterable[str]) -> SuperresMaps:
        """Return the maps of some patients.

        Raises
        ------
        InputError
            If one of them is unknown.
        """
        wanted = set(patients)
        if unknown := sorted(wanted - set(self.patients)):
            raise InputError(
                "maps", f"there is no patient {unknown[0]!r}", expected=" or ".join(self.patients)
            )
        return replace(self, samples=tuple(s for s in self.samples if s.patient in wanted))

    def at_scale(self, scale: int) -> SuperresMaps:
        """Return the maps on coarser bins, ``scale`` of them along a spot; spots stay as they are.

        Raises
        ------
        InputError
            If no whole number of bins makes one of that size.
        """
        if scale < 2 or self.scale % scale:
            fitting = [str(s) for s in range(2, self.scale + 1) if self.scale % s == 0]
            raise InputError(
                "maps", f"bins of {self.bin_um:g} µm cannot be pooled to scale {scale}",
                expected=" or ".join(fitting), remedy="choose another --scale",
            )  # fmt: skip
        factor = self.scale // scale
        if factor == 1:
            return self
        samples = tuple(_coarser(sample, self.spots(sample), factor) for sample in self.samples)
        return replace(self, bin_um=self.bin_um * factor, samples=samples)

    def in_order(self, genes: Sequence[str]) -> SuperresMaps:
        """Return the maps of ``genes``, in that order.

        Raises
        ------
        InputError
            If one of them is unknown.
        """
        place = {gene: k for k, gene in enumerate(self.genes)}
        if unknown := [gene for gene in genes if gene not in place]:
            raise InputError(
                "maps", f"{len(unknown)} of {len(genes)} genes are unknown", found=unknown[0],
                expected=f"genes such as {self.genes[0]}", remedy="use maps of the same panel",
            )  # fmt: skip
        rows = [place[gene] for gene in genes]

        def chosen(values: np.ndarray | None) -> np.ndarray | None:
            return None if values is None else values[rows]

        samples = tuple(
            replace(s, counts=s.counts[rows], expected=chosen(s.expected), spots=chosen(s.spots))
            for s in self.samples
        )
        return replace(self, genes=tuple(genes), samples=samples)

    def save(self, directory: str | Path) -> None:
        """Write ``maps.json`` and a safetensors file a sample, whole or not at all.

        Earlier maps there are replaced, anything else is refused.
        """
        from safetensors.numpy import save_file

        path = Path(directory)
        check_output(path)
        with whole_directory(path) as folder:
            entries = []
            for sample in self.samples:
                arrays = {"counts": sample.counts, "image": sample.image,
                          "tissue": sample.tissue.astype(np.uint8)}  # fmt: skip
                for key in ("expected", "spots"):
                    if (values := getattr(sample, key)) is not None:
                        arrays[key] = values
                file = folder / f"{sample.name}.safetensors"
                save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, file)
                entries.append(
                    {"name": sample.name, "patient": sample.patient, "sha256": hash_file(file)}
                )
            write_json(
                folder / MAPS_JSON,
                {"format": FORMAT, "genes": list(self.genes), "bin_um": self.bin_um,
                 "lr_um": self.lr_um, "sampling": self.sampling,
                 "source": self.source, "samples": entries},
            )  # fmt: skip

    @classmethod
    def load(cls, directory: str | Path) -> SuperresMaps:
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            If a file is missing, damaged or not the one that was written.
        """
        path = Path(directory)
        where = path / MAPS_JSON
        about = read_json(where, required=_KEYS)
        if about["format"] != FORMAT:
            raise InputError(where, "format", found=about["format"], expected=FORMAT)
        return cls(
            genes=read_names(about, "genes", where),
            bin_um=read_um(about, "bin_um", where),
            lr_um=read_um(about, "lr_um", where),
            samples=tuple(_load_sample(path, entry) for entry in read_samples(about, where)),
            sampling=about["sampling"],
            source=about.get("source", {}),
        )  # fmt: skip


def is_maps(directory: Path) -> bool:
    """Whether a folder holds maps."""
    return (directory / MAPS_JSON).is_file()


def check_scale(bin_um: float, lr_um: float) -> None:
    """See that spots are two or more whole bins wide.

    Raises
    ------
    InputError
        If they are not.
    """
    ratio = lr_um / bin_um if bin_um > 0 and np.isfinite(lr_um) else 0.0
    if round(ratio) < 2 or abs(ratio - round(ratio)) > 1e-6:
        raise InputError(
            "maps", "spots are no whole number of bins wide",
            found=f"{lr_um:g} µm over {bin_um:g} µm",
            expected="2 or more", remedy="choose another --bin-um or --spot-um",
        )  # fmt: skip


def check_output(directory: Path) -> None:
    """See that a folder is new, empty, or holds maps alone, before others are made for it.

    Raises
    ------
    InputError
        If it holds anything else, which would be lost.
    """
    made: tuple[str, ...] = (MAPS_JSON,)
    if is_maps(directory):
        where = directory / MAPS_JSON
        entries = read_samples(read_json(where, required=("samples",)), where)
        made += tuple(f"{entry['name']}.safetensors" for entry in entries)
    refuse_foreign(directory, made)


def joined(parts: Sequence[SuperresMaps]) -> SuperresMaps:
    """Put maps of the same resolution and sampling together: the genes that all of them have.

    Raises
    ------
    InputError
        If they differ in one of those, or share no gene.
    """
    first = parts[0]
    for part in parts[1:]:
        for what in ("bin_um", "lr_um", "sampling"):
            if getattr(part, what) != getattr(first, what):
                raise InputError(
                    "maps", f"sources differ in {what}", found=getattr(part, what),
                    expected=getattr(first, what), remedy="build them alike",
                )  # fmt: skip
    shared = [gene for gene in first.genes if all(gene in part.genes for part in parts)]
    if not shared:
        raise InputError("maps", "sources share no gene", remedy="use sources of one panel")
    samples = tuple(s for part in parts for s in part.in_order(shared).samples)
    return replace(first, genes=tuple(shared), samples=samples, source=_sources(parts))


def _sources(parts: Sequence[SuperresMaps]) -> dict[str, Any]:
    """Say where joined maps come from: each kind once, and all that is known of each part."""
    sources = [part.source for part in parts]
    if all(source == sources[0] for source in sources):
        return sources[0]
    kinds = dict.fromkeys(str(source.get("kind", "maps")) for source in sources)
    return {"kind": "; ".join(kinds), "parts": sources}


def _coarser(sample: MapSample, spots: np.ndarray, factor: int) -> MapSample:
    """Pool bins; a last row or column that fills no whole bin is left out."""
    rows, columns = (side // factor for side in sample.shape)
    kept, k = (slice(rows * factor), slice(columns * factor)), sample.image_px
    tissue = pool_sum(sample.tissue[None].astype(np.float32)[:, *kept], factor)[0]
    expected = None if sample.expected is None else pool_sum(sample.expected[:, *kept], factor)
    return replace(
        sample,
        counts=pool_sum(sample.counts[:, *kept], factor),
        image=sample.image[: rows * factor * k, : columns * factor * k],
        tissue=tissue >= factor**2 / 2,
        expected=expected,
        spots=spots,
    )


def _load_sample(path: Path, entry: dict[str, str]) -> MapSample:
    from c2lst.diffusion.weights import read_tensors

    file = path / f"{entry['name']}.safetensors"
    arrays = {name: tensor.numpy() for name, tensor in read_tensors(file).items()}
    if hash_file(file) != entry["sha256"] or not {"counts", "image", "tissue"} <= arrays.keys():
        raise InputError(file, "is not the file that was written", remedy=AGAIN)
    return MapSample(
        entry["name"], entry["patient"], arrays["counts"], arrays["image"],
        arrays["tissue"].astype(bool), arrays.get("expected"), arrays.get("spots"),
    )  # fmt: skip
