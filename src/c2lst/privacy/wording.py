"""What an audit found, in plain sentences, each with its verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from c2lst.privacy.intervals import FEWEST, Verdict

if TYPE_CHECKING:
    from c2lst.privacy.audit import PrivacyAudit
    from c2lst.privacy.copying import Copying
    from c2lst.privacy.membership import Attack

_SAYS = {
    "pass": "nothing large was found",
    "fail": "that is more than chance",
    "undecided": "too few spots to tell",
}


def sentences(audit: PrivacyAudit) -> list[tuple[Verdict, str]]:
    """Return a verdict and a sentence for each thing that was looked at."""
    found: list[tuple[Verdict, str]] = []
    if min(audit.training, audit.held_out) < FEWEST:
        found.append(
            (
                "undecided",
                f"{audit.training} training and {audit.held_out} held-out spots are too few to "
                f"tell; at least {FEWEST} of each are needed.",
            )
        )
    found += [(copying.verdict, _of_copying(copying)) for copying in audit.copying]
    found += [(attack.verdict, _of_attack(attack)) for attack in audit.membership]
    if audit.subject != "adapter":
        found += _of_profiles(audit)
    return found


def _of_copying(copying: Copying) -> str:
    if copying.near_copies:
        return (
            f"{copying.near_copies} of {copying.synthetic} synthetic images are near copies of a "
            f"training image ({copying.space})."
        )
    return (
        f"{copying.nearer.value:.0%} ({copying.nearer.low:.0%} to {copying.nearer.high:.0%}) of "
        f"{copying.synthetic} synthetic images are nearer to training than to held-out images "
        f"({copying.space}; 50% by chance): {_SAYS[copying.verdict]}."
    )


def _of_attack(attack: Attack) -> str:
    return (
        f"Telling training spots from held-out ones by the {attack.name}: AUC {attack.auc}, by "
        f"chance 0.50: {_SAYS[attack.verdict]}."
    )


def _of_profiles(audit: PrivacyAudit) -> list[tuple[Verdict, str]]:
    """Say what the profiles give away: they are measured ones, or lie near them."""
    if audit.carried:
        return [
            (
                "fail",
                "The set carries the measured expression profiles themselves of "
                f"{audit.carried:.0%} of the {audit.training} training spots.",
            )
        ]
    if audit.profiles is None:
        return []
    attack = audit.profiles
    return [
        (
            attack.verdict,
            "The set carries no measured profile, but profiles made from them; telling training "
            f"spots by the {attack.name}: AUC {attack.auc}: {_SAYS[attack.verdict]}.",
        )
    ]
