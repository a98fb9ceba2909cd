"""Which spots may be learnt from: the one object that every fit goes through."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import hash_strings, read_json, write_json

if TYPE_CHECKING:
    from c2lst.data.section import Section

Scheme = Literal["random", "buffered", "blocks", "all"]
Part = Literal["train", "val", "test", "buffer"]

SCHEMES: tuple[Scheme, ...] = get_args(Scheme)
"""Ways to choose the sequenced spots."""

ALL: Scheme = "all"
HELD_OUT_SCHEMES: tuple[Scheme, ...] = tuple(scheme for scheme in SCHEMES if scheme != ALL)
"""Those that leave test spots."""

FORMAT = 1
_PARTS = get_args(Part)
_FIELDS = ("section", "section_hash", "scheme", "fraction", "seed", *_PARTS)
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "section": ((str,), "text"),
    "section_hash": ((str,), "text"),
    "scheme": ((str,), "text"),
    "fraction": ((int, float), "number"),
    "seed": ((int,), "whole number"),
}
_LEAST = 2
_TOUCHING = 1e-6  # of a patch's width: what rounding leaves of patches that lie side by side


@dataclass(frozen=True)
class SpotSplit:
    """Training, validation, test and buffer spots of one section, by barcode.

    Parameters
    ----------
    section, section_hash
        Name and content hash of the section.
    scheme
        ``random``: spots at random, as in C2L-ST. ``buffered``: the same, and training spots
        whose patch shares a pixel with a test spot's patch are set aside. ``blocks``: whole
        spatial blocks are sampled, with the same buffer at their borders. ``all``: every spot is
        sequenced, and nothing is left to judge by: what a lab has that predicts between its spots
        or other sections.
    fraction
        Share of the spots that counts as sequenced: train, val and buffer together; 1 for ``all``.
    seed
        Seed of the draw.
    train, val, test, buffer
        Barcodes, disjoint, each in the order of the section.
    """

    section: str
    section_hash: str
    scheme: Scheme
    fraction: float
    seed: int
    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    buffer: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        where = f"split of section {self.section!r}"
        if self.scheme not in SCHEMES:
            raise InputError(
                where, "unknown scheme", found=self.scheme, expected=", ".join(SCHEMES)
            )
        if self.scheme == ALL:
            self._check_all(where)
        else:
            _check_share(where, "fraction", self.fraction, zero=False)
        for part in ("train",) if self.scheme == ALL else ("train", "test"):
            if len(getattr(self, part)) < _LEAST:
                raise InputError(
                    where,
                    f"too few {part} spots",
                    found=len(getattr(self, part)),
                    expected=f"at least {_LEAST}",
                    remedy="change the fraction, or use scheme 'blocks' or smaller patches"
                    if self.buffer
                    else "change the fraction",
                )
        barcodes = [barcode for part in _PARTS for barcode in getattr(self, part)]
        if len(set(barcodes)) != len(barcodes):
            raise InputError(where, "a barcode stands in two parts, or twice in one")

    def _check_all(self, where: str) -> None:
        if self.fraction != 1:
            raise InputError(where, "fraction", found=self.fraction, expected="1 with scheme 'all'")
        if self.test or self.buffer:
            raise InputError(where, "has spots outside training", expected="none in scheme 'all'")

    @classmethod
    def draw(
        cls,
        section: Section,
        fraction: float = 0.25,
        scheme: Scheme = "random",
        seed: int = 0,
        val_fraction: float = 0.0,
    ) -> SpotSplit:
        """Draw the sequenced spots of ``section``.

        Parameters
        ----------
        section
            The section.
        fraction
            Share of its spots that counts as sequenced, in (0, 1); scheme ``all`` takes every
            spot whatever it says.
        scheme
            How they lie: see the class.
        seed
            Seed, 0 or more; the same seed gives the same spots.
        val_fraction
            Share of the training spots that is kept for model choice, in [0, 1).

        Raises
        ------
        InputError
            If a share or the seed is out of range, or fewer than two training or test spots are
            left.
        """
        where = f"split of section {section.name!r}"
        fraction = 1.0 if scheme == ALL else fraction
        if scheme != ALL:
            _check_share(where, "fraction", fraction, zero=False)
        _check_share(where, "val_fraction", val_fraction, zero=True)
        if seed < 0:
            raise InputError(where, "seed", found=seed, expected="0 or more")
        rng = np.random.default_rng(seed)
        if scheme == "blocks":
            sampled = _sample_blocks(section.centres_um, fraction, rng)
        else:
            sampled = np.zeros(len(section), dtype=bool)
            sampled[rng.permutation(len(section))[: round(fraction * len(section))]] = True
        parts = np.where(sampled, "train", "test").astype("<U6")
        if scheme in ("buffered", "blocks"):
            parts[sampled & _shares_pixels(section, ~sampled)] = "buffer"
        train = np.flatnonzero(parts == "train")
        wanted = min(int(np.ceil(val_fraction * len(train))), max(0, len(train) - _LEAST))
        parts[rng.permutation(train)[:wanted]] = "val"
        barcodes = section.barcodes
        named = {part: tuple(barcodes[parts == part].tolist()) for part in _PARTS}
        split = cls(section.name, section.content_hash, scheme, float(fraction), int(seed), **named)
        logger.info("%s", split.summary())
        return split

    def summary(self) -> str:
        """Return one line with the number of spots in each part."""
        counts = ", ".join(
            f"{len(getattr(self, part))} {part}" for part in _PARTS if getattr(self, part)
        )
        return f"{self.section}: {counts} ({self.scheme}, {self.fraction:.0%}, seed {self.seed})"

    def save(self, path: str | Path) -> None:
        """Write the split as JSON."""
        write_json(path, {"format": FORMAT, "kind": "spot_split", **asdict(self)})

    @classmethod
    def load(cls, path: str | Path) -> SpotSplit:
        """Read a split that ``save`` wrote.

        Raises
        ------
        InputError
            If the file is missing, damaged, or no split.
        """
        value = read_json(path, required=("format", *_FIELDS))
        if value["format"] != FORMAT:
            raise InputError(path, "unknown format", found=value["format"], expected=FORMAT)
        for field, (kinds, what) in _KINDS.items():
            if not isinstance(value[field], kinds) or isinstance(value[field], bool):
                raise InputError(
                    path,
                    f"{field!r} is no {what}",
                    found=repr(value[field])[:60],
                    remedy="draw the split again, or correct the file",
                )
        for part in _PARTS:
            names = value[part]
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise InputError(path, f"{part!r} is no list of barcodes")
            value[part] = tuple(names)
        try:
            return cls(**{field: value[field] for field in _FIELDS})
        except InputError as error:
            raise InputError(path, error.problem, found=error.found) from error

    def check(self, section: Section) -> None:
        """Make sure that this split was drawn from ``section``.

        Raises
        ------
        InputError
            If the section's barcodes, genes or counts are others.
        """
        if self.section_hash != section.content_hash:
            raise InputError(
                f"split of section {self.section!r}",
                f"does not belong to section {section.name!r}",
                found=f"content {self.section_hash[:12]}",
                expected=section.content_hash[:12],
                remedy="draw a new split for this section",
            )

    def of(self, section: Section) -> np.ndarray:
        """Part of every spot of ``section``: "train", "val", "test" or "buffer"; str (n,).

        Raises
        ------
        InputError
            If the split is of another section.
        """
        self.check(section)
        parts = np.full(len(section), "test", dtype="<U6")
        for part in _PARTS:
            parts[section.indices_of(getattr(self, part))] = part
        return parts

    def training(self, section: Section) -> Section:
        """Training spots of ``section``, the only ones that anything may be fitted to.

        Raises
        ------
        InputError
            If the split is of another section.
        """
        return self.part(section, "train")

    def part(self, section: Section, part: Part) -> Section:
        """Spots of one part of ``section``.

        Raises
        ------
        InputError
            If the split is of another section, or the part is empty.
        """
        self.check(section)
        if not getattr(self, part):
            raise InputError(
                f"split of section {self.section!r}",
                f"has no {part} spots",
                found=self.summary(),
                remedy="hold some out: another scheme than 'all'" if self.scheme == ALL else None,
            )
        return section.subset(getattr(self, part))

    @cached_property
    def train_hash(self) -> str:
        """SHA-256 of the training barcodes."""
        return hash_strings(self.train)


def _check_share(where: str, field: str, value: float, *, zero: bool) -> None:
    low = value >= 0 if zero else value > 0
    if not (low and value < 1):  # also refuses NaN
        raise InputError(
            where,
            f"{field} is out of range",
            found=value,
            expected="at least 0 and below 1" if zero else "between 0 and 1, both excluded",
        )


def _shares_pixels(section: Section, others: np.ndarray) -> np.ndarray:
    """Whether a spot's patch shares a pixel with a patch of ``others``; bool (n,)."""
    from scipy.spatial import KDTree

    centres = section.centres_um
    if not others.any():
        return np.zeros(len(centres), dtype=bool)
    nearest, _ = KDTree(centres[others]).query(centres, p=np.inf)
    return nearest < section.patches.patch_um * (1 - _TOUCHING)


def _sample_blocks(centres_um: np.ndarray, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Sample whole blocks until their spots come closest to ``fraction``; bool (n,)."""
    count = len(centres_um)
    # About four blocks in the smaller part: few enough to be wider than a patch, enough to vary.
    per_block = max(2, round(min(fraction, 1 - fraction) * count / 4))
    blocks = _halve(np.arange(count), centres_um, per_block)
    target = fraction * count
    sampled = np.zeros(count, dtype=bool)
    for index in rng.permutation(len(blocks)):
        block = blocks[index]
        if abs(sampled.sum() + len(block) - target) < abs(sampled.sum() - target):
            sampled[block] = True
    return sampled


def _halve(members: np.ndarray, centres_um: np.ndarray, per_block: int) -> list[np.ndarray]:
    """Halve at the median of the longer side until a block holds about ``per_block`` spots."""
    if len(members) < 1.5 * per_block or len(members) < 4:
        return [members]
    places = centres_um[members]
    order = members[np.argsort(places[:, np.argmax(np.ptp(places, axis=0))], kind="stable")]
    middle = len(order) // 2
    return _halve(order[:middle], centres_um, per_block) + _halve(
        order[middle:], centres_um, per_block
    )
