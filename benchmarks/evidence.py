"""Make the evidence, and write docs/evidence.md from it.

Parts: ``baselines`` and ``pairs``, a study of real sections that goes on where it stopped (without
networks, then with what synthetic pairs do to them); ``splits``, ``simulated``, ``superres``,
``ingest`` and ``training``, scripts of this folder whose tables go to the page. The page is
written anew after each part from what is done. All of it takes hours, the smoke test less than a
minute. What was computed for the page in the repository is kept in ``results`` of this folder:
``--results`` goes on from there and adds to it, and without parts writes the page alone.

    C2LST_DATA=DATA python benchmarks/evidence.py -o OUT
    python benchmarks/evidence.py -o OUT --results benchmarks/results --parts
    python benchmarks/evidence.py -o OUT --smoke
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from evidence_kept import COMMANDS, keep, read_commands, take_up
from evidence_page import write_evidence
from evidence_parts import PARTS, TOY, measure
from evidence_study import CONFIG, FRACTIONS, GRIDS, SECTIONS, full, smoke

from c2lst.central.builtin import BUILTIN
from c2lst.progress import logger
from c2lst.storage import whole_file
from c2lst.study import run_study

REPEATED = ("sections", "parts", "preset", "seeds", "fractions", "ratios", "controls", "networks")


def main(words: Sequence[str] | None = None) -> None:
    arguments = parser().parse_args(words)
    output, docs = arguments.output, arguments.docs or arguments.output / "docs"
    plan = smoke(output) if arguments.smoke else full(arguments)
    measured = (TOY,) if arguments.smoke else [p for p in PARTS if p.name in arguments.parts]
    command = repeatable(arguments)
    if arguments.results:
        take_up(arguments.results, output, plan.sections)
    commands = remembered(output / COMMANDS, command if plan.grids or measured else None)

    def write() -> None:
        kept = arguments.results is not None
        logger.info("%s", write_evidence(output, docs, commands, plan.central, kept=kept))
        if kept:
            keep(output, arguments.results)

    if not plan.grids and not measured:
        write()

    for grid in plan.grids:
        outcome = run_study(
            plan.sections, output / "study", plan.settings, grid,
            central=plan.central, jobs=arguments.jobs, command=command,
        )  # fmt: skip
        if outcome.failed:
            logger.warning("%d of %d cells failed", len(outcome.failed), outcome.cells)
        write()
    for part in measured:
        measure(part, output)
        write()


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*GRIDS, *(part.name for part in PARTS)]
    parsed.add_argument("-o", "--output", type=Path, required=True)
    parsed.add_argument(
        "--central", type=Path, default=Path(BUILTIN), help="folder, or builtin (the default)"
    )
    parsed.add_argument("--sections", nargs="+", default=list(SECTIONS), help="of her2st, or paths")
    parsed.add_argument("--parts", nargs="*", choices=names, default=names)
    parsed.add_argument("--preset", default="small")
    parsed.add_argument("--config", type=Path, default=CONFIG, help="TOML file with settings")
    parsed.add_argument("--seeds", type=int, default=3)
    parsed.add_argument("--fractions", nargs="+", type=float, default=list(FRACTIONS))
    parsed.add_argument("--ratios", nargs="+", type=int, default=[1, 3], help="of pairs")
    parsed.add_argument("--controls", nargs="*", default=["shuffled", "unconditional"])
    parsed.add_argument("--networks", nargs="+", help="of pairs; that of the preset by default")
    parsed.add_argument("--baselines", nargs="*", default=[], help="resnet-50, densenet-121")
    parsed.add_argument("--jobs", type=int, default=1)
    parsed.add_argument("--docs", type=Path, help="where evidence.md goes; OUT/docs by default")
    parsed.add_argument("--results", type=Path, help="folder of kept results, gone on from")
    parsed.add_argument("--smoke", action="store_true", help="a minute, on simulated tissue")
    return parsed


def remembered(path: Path, command: str | None) -> list[str]:
    """Return the commands that made this folder, in order, this one among them."""
    known = read_commands(path.parent)
    if command and command not in known:
        known.append(command)
        with whole_file(path) as partial:
            partial.write_text("\n".join(known) + "\n", encoding="utf-8")
    return known


def repeatable(arguments: argparse.Namespace) -> str:
    """Write the command without the folders of this machine."""
    if arguments.smoke:
        return "python benchmarks/evidence.py -o OUT --smoke"
    words = ["python", "benchmarks/evidence.py", "-o", "OUT"]
    if str(arguments.central) != BUILTIN:
        words += ["--central", "MODEL"]
    defaults = vars(parser().parse_args(["-o", "OUT"]))
    for name in REPEATED:
        value = getattr(arguments, name)
        if value != defaults[name]:
            given = value if isinstance(value, list) else [value]
            words += [f"--{name}", *(Path(str(word)).name for word in given)]
    if arguments.baselines:
        words += ["--baselines", *arguments.baselines]
    if arguments.config != CONFIG:
        words += ["--config", arguments.config.name]
    return f"C2LST_DATA=DATA {shlex.join(words)}"


if __name__ == "__main__":
    main()
