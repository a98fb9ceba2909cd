"""The card of a bundle: what it is, with its audit printed in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from c2lst import __version__

if TYPE_CHECKING:
    from c2lst.privacy.audit import PrivacyAudit

_READ_BY = {
    "adapter": 'LocalModel.load("THIS", CentralModel.load("CENTRAL"))',
    "synthetic pairs": 'SyntheticPairs.load("THIS")',
}


def bundle_card(audit: PrivacyAudit, override: str | None) -> str:
    """Return the ``README.md`` of a bundle.

    Parameters
    ----------
    audit
        Of what is in it.
    override
        Who let it leave although the audit did not pass, and why.
    """
    overridden = ""
    if override is not None:
        overridden = f"\n**The audit did not pass. It was overridden, in writing:** {override}\n"
    return f"""---
library_name: c2lst
tags: [histology, spatial-transcriptomics, synthetic, privacy-audit]
---
# {audit.subject.capitalize()} for release

Exported by c2lst {__version__}; `bundle.json` lists every file with its SHA-256, and what was left
out. It is read by `{_READ_BY[audit.subject]}`.

## Privacy audit
{overridden}
{as_markdown(audit)}
"""


def as_markdown(audit: PrivacyAudit) -> str:
    """Return the audit as it is printed in the card of a bundle."""
    lines = [
        f"**Verdict: {audit.verdict}.** {audit.training} training spots were compared with "
        f"{audit.held_out} held-out spots of the same section, by c2lst {audit.c2lst}.",
        "",
        *(f"- {verdict}: {sentence}" for verdict, sentence in audit.findings),
        "",
        *_remarks(audit),
        "",
        "An audit finds leaks of the kinds that it looks for, where they are large enough to be "
        "seen with these spots. It is no proof that there are none.",
    ]
    return "\n".join(lines)


def _remarks(audit: PrivacyAudit) -> list[str]:
    """Say what bears on the findings, and what was not looked at."""
    remarks = [
        f"- AuthPct ({copying.space}): {copying.authentic:.0f}; of held-out real images "
        f"{copying.authentic_real:.0f}. Median ratio of distances: {copying.ratio:.2f}."
        for copying in audit.copying
    ]
    for attack in (*audit.membership, *([audit.profiles] if audit.profiles else [])):
        rates = [
            f"{value:.0%} at {rate} % false alarms"
            for rate, value in ((1, attack.at_1_percent), (10, attack.at_10_percent))
            if value is not None
        ]
        if rates:
            remarks.append(f"- Told by the {attack.name}: {', '.join(rates)}.")
    if not audit.membership:
        remarks.append("- The adapter was not given: it was not attacked, the images alone were.")
    if audit.overlapping:
        remarks.append(
            f"- {audit.overlapping} held-out patches share pixels with training patches, which "
            "hides part of what was learnt by heart."
        )
    if audit.set_aside:
        remarks.append(
            f"- {audit.set_aside} held-out spots were set aside, since their patches share pixels "
            "with training patches."
        )
    if audit.private:
        remarks.append(
            "- Trained with differential privacy of one spot, not of the patient: "
            f"ε = {audit.private['epsilon']:g}, δ = {audit.private['delta']:.2g}. Gene panel, "
            "expression statistics, stain, and the SHA-256 of section and split are not covered"
            + (
                "."
                if audit.subject == "adapter"
                else ", nor the profiles in this set: the promise is of the adapter's weights, and "
                "each pair carries what it was drawn for."
            )
        )
    return remarks
