"""Run the study of the evidence page on real sections, and write docs/evidence.md from it.

Part 1 has no networks: all baselines and the predictor over image and place, at every fraction.
Part 2 adds what synthetic pairs do to networks, at equal optimiser steps, with controls. Both stand
in one study, which goes on where it stopped; the page is written anew after each part from what is
done. The full evidence takes hours, the smoke test about a minute on simulated tissue.

    C2LST_DATA=DATA python benchmarks/evidence.py -o OUT --central MODEL
    python benchmarks/evidence.py -o OUT --smoke
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evidence_page import write_evidence

from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.settings import RunSettings, load_settings
from c2lst.study import StudySettings, run_study

SECTIONS = ("C2", "C3", "C4", "C5")
FRACTIONS = (0.05, 0.1, 0.25, 0.5)
REPEATED = ("sections", "parts", "preset", "seeds", "fractions", "ratios", "controls", "networks")
CONFIG = Path(__file__).with_name("evidence.toml")
SMOKE = """
genes = 20
[central.shape]
size = 16
widths = [8, 16]
layers = 1
groups = 4
[central.training]
steps = 6
batch_size = 4
precision = "fp32"
[adapter]
width = 8
[adapter.training]
steps = 6
batch_size = 4
precision = "fp32"
[prediction]
steps = 4
batch_size = 8
folds = 2
precision = "fp32"
"""


@dataclass(frozen=True)
class Plan:
    """What is run: sections, settings, central model, and a grid for each part."""

    sections: Sequence[Path]
    settings: RunSettings
    central: Path | None
    grids: Sequence[StudySettings]


def main(words: Sequence[str] | None = None) -> None:
    arguments = parser().parse_args(words)
    plan = smoke(arguments.output) if arguments.smoke else full(arguments)
    study, command = arguments.output / "study", repeatable(arguments)
    for grid in plan.grids:
        outcome = run_study(
            plan.sections, study, plan.settings, grid,
            central=plan.central, jobs=arguments.jobs, command=command,
        )  # fmt: skip
        if outcome.failed:
            logger.warning("%d of %d cells failed", len(outcome.failed), outcome.cells)
        page = arguments.docs or arguments.output / "docs"
        logger.info("%s", write_evidence(study, page, command, plan.central))


def parser() -> argparse.ArgumentParser:
    parsed = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parsed.add_argument("-o", "--output", type=Path, required=True)
    parsed.add_argument("--central", type=Path, help="folder of the central model")
    parsed.add_argument("--sections", nargs="+", default=list(SECTIONS), help="of her2st, or paths")
    parsed.add_argument("--parts", nargs="+", type=int, choices=(1, 2), default=[1, 2])
    parsed.add_argument("--preset", default="small")
    parsed.add_argument("--config", type=Path, default=CONFIG, help="TOML file with settings")
    parsed.add_argument("--seeds", type=int, default=3)
    parsed.add_argument("--fractions", nargs="+", type=float, default=list(FRACTIONS))
    parsed.add_argument("--ratios", nargs="+", type=int, default=[1, 3], help="of part 2")
    parsed.add_argument("--controls", nargs="*", default=["shuffled", "unconditional"])
    parsed.add_argument("--networks", nargs="+", help="of part 2; that of the preset by default")
    parsed.add_argument("--baselines", nargs="*", default=[], help="resnet-50, densenet-121")
    parsed.add_argument("--jobs", type=int, default=1)
    parsed.add_argument("--docs", type=Path, help="where evidence.md goes; OUT/docs by default")
    parsed.add_argument("--smoke", action="store_true", help="a minute, on simulated tissue")
    return parsed


def full(arguments: argparse.Namespace) -> Plan:
    """Plan the evidence on real sections."""
    fractions = tuple(arguments.fractions)
    first = StudySettings(
        fractions=fractions, networks=(), seeds=arguments.seeds, baselines=arguments.baselines
    )
    second = StudySettings(
        fractions=fractions,
        ratios=tuple(arguments.ratios),
        controls=tuple(arguments.controls),
        networks=tuple(arguments.networks) if arguments.networks else None,
        advised=True,
        seeds=arguments.seeds,
    )
    if arguments.central is None:
        raise InputError("evidence", "no central model is given", remedy="give --central FOLDER")
    return Plan(
        [section_path(name) for name in arguments.sections],
        load_settings(arguments.preset, arguments.config),
        arguments.central,
        [{1: first, 2: second}[part] for part in sorted(set(arguments.parts))],
    )


def section_path(name: str) -> Path:
    """Find a section of her2st by its name, or take a path as it is."""
    if Path(name).exists():
        return Path(name)
    root = os.environ.get("C2LST_DATA")
    if not root:
        raise InputError("evidence", "C2LST_DATA is not set", expected="a folder with her2st in it")
    return Path(root) / "her2st" / name


def smoke(output: Path) -> Plan:
    """Plan the same on simulated tissue, with networks that learn next to nothing."""
    from c2lst.data.simulate import simulate_tissue

    config, slide = output / "smoke.toml", output / "slide"
    output.mkdir(parents=True, exist_ok=True)
    config.write_text(SMOKE, encoding="utf-8")
    if not (slide / "SIM_truth.json").is_file():
        simulate_tissue(slide, spots=(9, 9), genes=40)
    some = {"fractions": (0.25,), "seeds": 2}
    return Plan(
        [slide],
        load_settings("tiny", config),
        None,
        [StudySettings(**some, networks=()), StudySettings(**some, ratios=(1,))],
    )


def repeatable(arguments: argparse.Namespace) -> str:
    """Write the command without the folders of this machine."""
    if arguments.smoke:
        return "python benchmarks/evidence.py -o OUT --smoke"
    words = ["python", "benchmarks/evidence.py", "-o", "OUT", "--central", "MODEL"]
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
