"""The privacy audit: the attacks of an outsider, run by the institution before anything leaves.

It finds leaks of known kinds where they are large enough to be seen with the spots at hand. It is
no proof that there are none; a bound for every attack is what differential privacy gives
(:mod:`c2lst.diffusion.private`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from c2lst import __version__
from c2lst.errors import InputError
from c2lst.privacy.copying import Copying
from c2lst.privacy.intervals import CLEAR_BELOW, FAIL_ABOVE, FEWEST, Interval, Verdict
from c2lst.privacy.membership import Attack
from c2lst.privacy.wording import sentences
from c2lst.storage import read_json, write_json

FORMAT = 1
LIMITS = {"fail_above": FAIL_ABOVE, "clear_below": CLEAR_BELOW, "fewest_spots": FEWEST}


@dataclass(frozen=True)
class PrivacyAudit:
    """What the attacks on an adapter, or on synthetic pairs, came to.

    Parameters
    ----------
    subject
        ``adapter`` or ``synthetic pairs``.
    training, held_out, overlapping, set_aside
        Numbers of spots (:class:`~c2lst.privacy.spots.AuditSpots`).
    copying
        Of images, in each space.
    membership
        Attacks through the adapter's loss; none where there was no adapter.
    profiles
        The attack through the profiles; none of an adapter.
    carried
        Share of training spots whose measured profile is in the set.
    private
        What differential privacy promises, where the adapter was trained with it.
    seed
        Of everything that was drawn.
    c2lst
        Version that ran it.
    """

    subject: str
    training: int
    held_out: int
    overlapping: int
    set_aside: int
    copying: tuple[Copying, ...]
    membership: tuple[Attack, ...]
    profiles: Attack | None
    carried: float
    private: dict[str, Any] | None
    seed: int
    c2lst: str = __version__

    @property
    def findings(self) -> list[tuple[Verdict, str]]:
        """A verdict and a plain sentence for each thing that was looked at."""
        return sentences(self)

    @property
    def verdict(self) -> Verdict:
        """``pass`` only if every finding passes; one that is undecided is no pass."""
        found = {verdict for verdict, _ in self.findings}
        return "fail" if "fail" in found else "undecided" if "undecided" in found else "pass"

    @property
    def reasons(self) -> list[str]:
        """The sentences of what did not pass."""
        return [sentence for verdict, sentence in self.findings if verdict != "pass"]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with verdict, findings and the limits they follow from."""
        findings = [{"verdict": v, "finding": sentence} for v, sentence in self.findings]
        said = {"verdict": self.verdict, "findings": findings, "limits": LIMITS}
        return {"format": FORMAT, "kind": "privacy_audit", **said, **asdict(self)}

    def save(self, path: str | Path) -> None:
        """Write :meth:`to_dict`."""
        write_json(path, self.to_dict())

    @classmethod
    def load(cls, path: str | Path) -> PrivacyAudit:
        """Read what ``save`` wrote.

        Raises
        ------
        InputError
            If the file is missing, damaged, or no audit.
        """
        value = read_json(path, required=("format", "verdict", "findings"))
        if value["format"] != FORMAT:
            raise InputError(path, "unknown format", found=value["format"], expected=FORMAT)
        fields = {k: v for k, v in value.items() if k in cls.__dataclass_fields__}
        try:
            return cls(
                **fields
                | {
                    "copying": tuple(
                        Copying(**c | {"nearer": Interval(**c["nearer"])}) for c in value["copying"]
                    ),
                    "membership": tuple(_attack(a) for a in value["membership"]),
                    "profiles": value["profiles"] and _attack(value["profiles"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise InputError(path, f"is no privacy audit ({error})") from error


def _attack(value: dict[str, Any]) -> Attack:
    return Attack(**value | {"auc": Interval(**value["auc"])})
