"""c2lst without a network beside every baseline, on many splits of each section.

Whether a method errs less in a place (a section at a fraction) hangs on which spots were drawn, and
three splits hardly say how much. Networks are too dear for many splits; the rest is not.

    C2LST_DATA=DATA python benchmarks/splits.py -o OUT

Fifty minutes on two cores with ``--jobs 2``; interrupted, the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from evidence_study import CONFIG, FRACTIONS, SECTIONS, section_path
from evidence_tables import standing_grid
from evidence_words import against_baselines

from c2lst.central.builtin import BUILTIN
from c2lst.settings import load_settings
from c2lst.study import StudySettings, run_study
from c2lst.study.regimes import standings
from c2lst.study.results import BLOCK_TABLE, read_means, read_table
from c2lst.study.tables import standing_table


def main(words: Sequence[str] | None = None) -> None:
    parsed = argparse.ArgumentParser(description=__doc__)
    parsed.add_argument("-o", "--output", type=Path, required=True)
    parsed.add_argument("--central", default=BUILTIN, help="folder, or builtin (the default)")
    parsed.add_argument("--sections", nargs="+", default=list(SECTIONS), help="of her2st, or paths")
    parsed.add_argument("--fractions", nargs="+", type=float, default=list(FRACTIONS))
    parsed.add_argument("--seeds", type=int, default=6)
    parsed.add_argument("--config", type=Path, default=CONFIG, help="TOML file with settings")
    parsed.add_argument("--jobs", type=int, default=1)
    arguments = parsed.parse_args(words)
    study = arguments.output / "study"
    outcome = run_study(
        [section_path(name) for name in arguments.sections],
        study,
        load_settings("small", arguments.config),
        StudySettings(fractions=tuple(arguments.fractions), networks=(), seeds=arguments.seeds),
        central=arguments.central,
        jobs=arguments.jobs,
    )
    if outcome.failed:
        # What is printed goes to the page: never without a split that the others have.
        raise SystemExit(f"{len(outcome.failed)} cells failed; the same command tries them again")
    print("\n".join(shown(study)))


def shown(study: Path) -> Iterator[str]:
    """Yield what the study says of c2lst and the baselines, line by line."""
    standing = standings(read_table(study, BLOCK_TABLE))
    for sentence in against_baselines(read_means(study), standing):
        yield f"- {sentence}"
    yield ""
    yield from standing_grid(standing_table(standing))


if __name__ == "__main__":
    main()
