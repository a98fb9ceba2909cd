"""The way out: an adapter or synthetic pairs are audited, and packed only if they pass.

Or if someone overrides the audit, whose word then stands in the bundle.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst import __version__
from c2lst.data.preprocessing import Preprocessing
from c2lst.data.synthetic import SyntheticPairs
from c2lst.errors import InputError
from c2lst.evaluation.sheets import write_png
from c2lst.privacy import contents
from c2lst.privacy.attacks import audit
from c2lst.privacy.audit import PrivacyAudit
from c2lst.privacy.bundle import ZIP, refuse_foreign, write_bundle
from c2lst.privacy.card import bundle_card

if TYPE_CHECKING:
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.local import LocalModel

PRIVACY_JSON, CARD = "privacy.json", "README.md"
_SHORTEST_REASON = 10


@dataclass(frozen=True)
class Export:
    """What an export wrote.

    Parameters
    ----------
    bundle
        What may leave.
    audit
        What the attacks came to.
    gallery
        Picture that stays: the most suspicious images beside patches of the patient.
    """

    bundle: Path
    audit: PrivacyAudit
    gallery: Path


@dataclass(frozen=True)
class _Subject:
    """What is to leave, with what it is audited by."""

    section: Section
    split: SpotSplit
    preprocessing: Preprocessing
    model: LocalModel | None
    pairs: SyntheticPairs | None

    def write(self, folder: Path) -> dict[str, str]:
        """Write what may leave; return what was left out, and why."""
        if self.pairs is not None:
            contents.write_pairs(self.pairs, folder)
            return contents.LEFT_OUT_OF_PAIRS | contents.LEFT_OUT_OF_BOTH
        assert self.model is not None
        contents.write_adapter(self.model, folder)
        return contents.LEFT_OUT_OF_ADAPTER | contents.LEFT_OUT_OF_BOTH


def export(
    artefact: str | Path,
    bundle: str | Path,
    *,
    section: Path | None = None,
    split: Path | None = None,
    central: Path | str | None = None,
    adapter: Path | None = None,
    override: str | None = None,
    encoder: str = "auto",
    seed: int = 0,
) -> Export:
    """Audit an adapter or synthetic pairs, and pack what may leave if the audit passes.

    Parameters
    ----------
    artefact
        Folder of the adapter, or of the synthetic pairs.
    bundle
        Folder to write, or a file that ends in ``.zip``.
    section, split, central
        What it was made from; by default, as noted with the adapter.
    adapter
        Of synthetic pairs: the adapter they were drawn from, to be attacked, too.
    override
        Who lets it leave although the audit did not pass, and why; it stands in the bundle.
    encoder, seed
        Of the audit.

    Raises
    ------
    InputError
        If the audit does not pass and is not overridden, or something belongs to other spots.
    """
    artefact, bundle = Path(artefact), Path(bundle)
    if override is not None and len(override.strip()) < _SHORTEST_REASON:
        raise InputError(
            "override", "is no reason", found=repr(override), expected="who decided it, and why"
        )
    if seed < 0:
        raise InputError("seed", "is out of range", found=seed, expected="0 or more")
    refuse_foreign(bundle)
    subject = _open(artefact, section, split, central, adapter)
    found, gallery = audit(
        subject.section,
        subject.split,
        subject.preprocessing,
        model=subject.model,
        pairs=subject.pairs,
        encoder=encoder,
        seed=seed,
    )
    stem = bundle.name.removesuffix(ZIP)
    picture = bundle.with_name(f"{stem}-gallery-stays-here.png")
    write_png(picture, gallery)
    found.save(bundle.with_name(f"{stem}-{PRIVACY_JSON}"))
    if os.access(artefact, os.W_OK):  # where the report of a run finds it
        found.save(artefact / PRIVACY_JSON)
    if found.verdict != "pass" and override is None:
        raise InputError(
            artefact,
            f"the privacy audit says {found.verdict!r}: {' '.join(found.reasons)} "
            f"Look at {picture.name}",
            remedy="keep it here, or give --override with who decides that it leaves, and why",
        )
    write_bundle(bundle, lambda folder: _fill(subject, folder, found, override))
    return Export(bundle, found, picture)


def _open(
    artefact: Path,
    section: Path | None,
    split: Path | None,
    central: Path | str | None,
    adapter: Path | None,
) -> _Subject:
    """Load what is to leave, and what it is audited by."""
    from c2lst.local.sources import open_adapter, open_spots

    is_adapter = (artefact / contents.ADAPTER_FILES[0]).is_file()
    if adapter is None and is_adapter:
        adapter = artefact
    pairs = None if is_adapter else SyntheticPairs.load(artefact)
    if adapter is None:
        assert pairs is not None
        return _open_pairs(pairs, section, split, central)
    model = open_adapter(adapter, central)
    if pairs is not None and pairs.provenance.get("adapter_hash", model.hash) != model.hash:
        raise InputError(
            adapter,
            "the synthetic pairs were drawn from another adapter",
            remedy="give the adapter that drew them with --adapter, or none",
        )
    return _Subject(*open_spots(adapter, model, section, split), model.preprocessing, model, pairs)


def _open_pairs(
    pairs: SyntheticPairs, section: Path | None, split: Path | None, central: Path | str | None
) -> _Subject:
    """Load section and split of pairs without their adapter; fit their preprocessing again."""
    from c2lst.central import CentralModel
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit

    if section is None or split is None or central is None:
        raise InputError(
            "synthetic pairs",
            "cannot be audited without what they were made from",
            expected="--section, --split and --central, or --adapter",
            remedy="give the adapter that drew them: then it is audited, too",
        )
    slide, spots = Section.load(section), SpotSplit.load(split)
    if pairs.provenance.get("train_hash", spots.train_hash) != spots.train_hash:
        raise InputError(
            split, "is not the split of these synthetic pairs", remedy="give the right --split"
        )
    stain = CentralModel.load(central).stain
    preprocessing = Preprocessing.fit(slide, spots, genes=pairs.genes, stain=stain)
    return _Subject(slide, spots, preprocessing, None, pairs)


def _fill(
    subject: _Subject, folder: Path, found: PrivacyAudit, override: str | None
) -> dict[str, Any]:
    """Write the files of a bundle; return what its manifest says of them."""
    left_out = subject.write(folder)
    overridden = None if found.verdict == "pass" else override
    found.save(folder / PRIVACY_JSON)
    (folder / CARD).write_text(bundle_card(found, overridden), encoding="utf-8")
    return {
        "kind": found.subject,
        "c2lst": __version__,
        "verdict": found.verdict,
        "override": overridden and {"reason": overridden, "of": found.reasons},
        "left_out": [{"what": what, "why": why} for what, why in left_out.items()],
    }
