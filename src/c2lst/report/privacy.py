"""What the page says of privacy: audits that were made, and a quick look at the pairs at hand.

The quick look compares pixels and profiles in the run's files. It attacks no model: that is for
the audit of ``c2lst export``, which leaves its findings beside what it audited.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from c2lst.report import figures
from c2lst.report.artefacts import SPLIT, RunArtefacts
from c2lst.report.marks import Axis, Mark
from c2lst.report.pictures import Picture

if TYPE_CHECKING:
    from c2lst.privacy.audit import PrivacyAudit
    from c2lst.privacy.intervals import Interval

AUDIT = "privacy.json"
AXIS = Axis(tuple((25.0 * k, text) for k, text in enumerate(("0", "", "0.5", "", "1"))), 50.0)
VERDICTS = {
    "pass": "No large leak found",
    "fail": "Leak found",
    "undecided": "Undecided: too few spots",
}


@dataclass(frozen=True)
class Measured:
    """A share or AUC that is 0.5 by chance, as a mark on `AXIS`."""

    label: str
    mark: Mark


@dataclass(frozen=True)
class AuditView:
    """One audit: what of, what it came to, and what was measured."""

    title: str
    verdict: str
    outcome: str
    findings: tuple[tuple[str, str], ...]
    measured: tuple[Measured, ...]
    note: str


@dataclass(frozen=True)
class PrivacyPanel:
    """Audits, the pairs most like training patches, and the commands of audits not made yet."""

    audits: tuple[AuditView, ...]
    copies: Picture | None
    missing: tuple[str, ...]
    commands: tuple[str, ...]


def privacy_panel(artefacts: RunArtefacts) -> PrivacyPanel | None:
    """Say what is known of privacy; None where the run has neither adapter nor pairs."""
    adapter, pairs = artefacts.run / "adapter", artefacts.run / "synthetic"
    kinds = {"adapter": adapter, "synthetic pairs": pairs}
    there = {kind: folder for kind, folder in kinds.items() if folder.is_dir()}
    if not there:
        return None
    full = {kind: _full(kind, folder) for kind, folder in there.items()}
    views = [view for view in full.values() if view]
    copies = None
    if "synthetic pairs" in full and not full["synthetic pairs"]:
        found = _quick_look(artefacts)
        if found:
            audit, copies = found
            views.append(_view("Quick look at the synthetic pairs", audit, _of_spots(audit)))
    missing = tuple(kind for kind, view in full.items() if view is None)
    commands = tuple(_command(artefacts.folder, kinds[kind], adapter) for kind in missing)
    return PrivacyPanel(tuple(views), copies, missing, commands)


def _command(run: str, artefact: Path, adapter: Path) -> str:
    given = [] if artefact == adapter else ["--adapter", f"{run}/{adapter.name}"]
    words = ["c2lst", "export", f"{run}/{artefact.name}", "-o", "BUNDLE", *given]
    return shlex.join(words)


def _full(kind: str, folder: Path) -> AuditView | None:
    """Read the audit that an export left beside what it audited."""
    from c2lst.privacy.audit import PrivacyAudit

    if not (folder / AUDIT).is_file():
        return None
    audit = PrivacyAudit.load(folder / AUDIT)
    return _view(f"Audit of the {kind}", audit, f"{_of_spots(audit)} By c2lst {audit.c2lst}.")


def _of_spots(audit: PrivacyAudit) -> str:
    said = f"{audit.training:,} training spots against {audit.held_out:,} held-out spots."
    if audit.overlapping:
        said += (
            f" {audit.overlapping:,} held-out patches share pixels with training patches, which "
            "hides part of what was learnt by heart."
        )
    return said


def _view(title: str, audit: PrivacyAudit, note: str) -> AuditView:
    attacks = (*audit.membership, *([audit.profiles] if audit.profiles else []))
    measured = [
        *(_measured(f"Nearer to training: {c.space}", c.nearer) for c in audit.copying),
        *(_measured(f"AUC: {attack.name}", attack.auc) for attack in attacks),
    ]
    findings = tuple((VERDICTS[verdict], sentence) for verdict, sentence in audit.findings)
    return AuditView(title, VERDICTS[audit.verdict], audit.verdict, findings, tuple(measured), note)


def _measured(label: str, value: Interval) -> Measured:
    low, high = 100 * value.low, 100 * value.high
    return Measured(
        label, Mark(round(100 * value.value, 2), round(low, 2), round(high - low, 2), str(value))
    )


def _quick_look(artefacts: RunArtefacts) -> tuple[PrivacyAudit, Picture] | None:
    """Look for copied images and profiles; None without held-out spots, or without the section."""
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.synthetic import SyntheticPairs
    from c2lst.privacy import audit

    run, fitted = artefacts.run, artefacts.preprocessing
    held_out = (artefacts.role == "test").any()
    if not held_out or fitted is None or not (run / "section" / "st").is_dir():
        return None
    split = SpotSplit.load(run / SPLIT)
    pairs = SyntheticPairs.load(run / "synthetic")
    section = Section.load(run / "section")
    found, gallery = audit(section, split, fitted, pairs=pairs, encoder=None)
    words = (
        "Triples of patches in four columns, the most suspicious first: a synthetic patch, the "
        "training patch and the held-out patch nearest to it"
    )
    return found, Picture(figures.sheet(gallery), words)
