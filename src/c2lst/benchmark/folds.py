"""Which sections are learnt from and which are predicted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from c2lst.data.duplicates import find_duplicates
from c2lst.data.pooling import UNKNOWN, patient_of, with_shared_genes
from c2lst.data.section import Section
from c2lst.errors import InputError
from c2lst.progress import logger

By = Literal["section", "patient"]


@dataclass(frozen=True)
class Fold:
    """Sections that are learnt from, and others that are predicted, by name.

    Raises
    ------
    InputError
        If one of the two is empty, or a section is in both or in one of them twice.
    """

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]

    def __post_init__(self) -> None:
        where = f"fold {self.name!r}"
        if not self.train or not self.test:
            raise InputError(
                where,
                "has no section to " + ("predict" if self.train else "learn from"),
                expected="at least one of each",
            )
        if both := sorted(set(self.train) & set(self.test)):
            raise InputError(where, "a section is in training and in test", found=", ".join(both))
        for side in (self.train, self.test):
            if twice := sorted({name for name in side if side.count(name) > 1}):
                raise InputError(
                    where,
                    "names a section more than once",
                    found=", ".join(twice),
                    expected="each once in training or in test",
                )


@dataclass(frozen=True, eq=False)
class Task:
    """Sections, and the folds that they are cut into.

    Parameters
    ----------
    sections
        By name, all with patches of one width in µm and in px.
    folds
        Of these sections.
    patients
        Name of a section to its patient; ``UNKNOWN`` where that is not known.
    genes
        The panel; none to choose one on the training sections of each fold.

    Raises
    ------
    InputError
        If there is no fold, two have one name, or one names a section that is not there.
    """

    sections: Mapping[str, Section]
    folds: tuple[Fold, ...]
    patients: Mapping[str, str]
    genes: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        names = [fold.name for fold in self.folds]
        if not names or len(set(names)) != len(names):
            raise InputError(
                "task",
                "has no folds of different names",
                found=", ".join(names) or "none",
                expected="one fold or more, each of its own name",
            )
        for fold in self.folds:
            if unknown := sorted({*fold.train, *fold.test} - set(self.sections)):
                raise InputError(
                    f"fold {fold.name!r}",
                    "names a section that is not there",
                    found=", ".join(unknown),
                    expected=", ".join(self.sections),
                )

    @property
    def caution(self) -> str | None:
        """What the figures can't say of other patients; none where folds keep patients apart."""
        if UNKNOWN in self.patients.values():
            return "not every section's patient is known: test patients may be in training too"
        if len(set(self.patients.values())) == 1:
            return "all sections are of one patient: this is no benchmark of other patients"
        for fold in self.folds:
            if {self.patients[n] for n in fold.train} & {self.patients[n] for n in fold.test}:
                return "sections of a test patient are learnt from: figures of new patients differ"
        return None

    def with_shared_genes(self) -> Task:
        """Keep the genes that all sections have, so that every library size counts the same.

        Which genes were measured is known before any is counted: this looks at no test count.
        """
        kept = with_shared_genes(list(self.sections.values()))
        return replace(self, sections={section.name: section for section in kept})

    def refuse_duplicates(self, *, allow: bool = False) -> None:
        """Make sure that no slide is on both sides of a fold.

        Parameters
        ----------
        allow
            Warn instead.

        Raises
        ------
        InputError
            If one is.
        """
        for found in find_duplicates(list(self.sections.values())):
            pair = {found.first, found.second}
            crossing = [
                fold.name for fold in self.folds if pair & set(fold.train) and pair & set(fold.test)
            ]
            if not (found.same_slide and crossing):
                logger.info("%s", found)
            elif allow:
                logger.warning("one slide in training and in test: %s", found)
            else:
                raise InputError(
                    f"fold {crossing[0]!r}",
                    "has one slide in training and in test",
                    found=str(found),
                    expected="different slides",
                    remedy="leave one of them out, give both one patient and use --by patient, or "
                    "--allow-duplicates",
                )


def leave_one_out(
    sections: Sequence[Section],
    by: By = "patient",
    patients: Mapping[str, str] | None = None,
) -> Task:
    """Predict each section, or each patient's sections, from all others.

    Parameters
    ----------
    sections
        Two or more, of different names.
    by
        ``patient``: all sections of a patient are left out together. ``section``: each alone, so
        that other sections of the same patient are learnt from.
    patients
        Section name to patient, over what the sections' metadata say.

    Raises
    ------
    InputError
        If there are not two sections or patients, a patient is not known, or one is named of a
        section that is not there.
    """
    found = {section.name: section for section in sections}
    if len(found) != len(sections):
        raise InputError(
            "sections", "two have the same name", found=", ".join(s.name for s in sections)
        )
    if unknown := sorted(set(patients or {}) - set(found)):
        raise InputError(
            "patients", "are named of sections that are not given", found=", ".join(unknown),
            expected=", ".join(found),
        )  # fmt: skip
    of = {name: patient_of(section) for name, section in found.items()} | dict(patients or {})
    groups = {name: name for name in found} if by == "section" else _by_patient(of)
    return Task(found, tuple(_folds(groups, by)), of)


def _by_patient(patients: Mapping[str, str]) -> Mapping[str, str]:
    if missing := [name for name, patient in patients.items() if patient == UNKNOWN]:
        raise InputError(
            "sections",
            "do not all say whose they are",
            found=f"no patient of {', '.join(missing)}",
            remedy=f"name them, as --patient {missing[0]}=P1, or use --by section, which says "
            "nothing about other patients",
        )
    return patients


def _folds(groups: Mapping[str, str], by: By) -> Iterator[Fold]:
    names = list(dict.fromkeys(groups.values()))
    if len(names) < 2:
        raise InputError(
            "sections",
            f"are all of one {by}",
            found=names[0] if names else "none",
            expected=f"at least two {by}s, to leave one out",
            remedy="add sections of other patients, or use --by section, which says nothing "
            "about other patients"
            if by == "patient"
            else "add sections",
        )
    for left_out in names:
        yield Fold(
            left_out,
            tuple(name for name, group in groups.items() if group != left_out),
            tuple(name for name, group in groups.items() if group == left_out),
        )
