"""How good the generator of each split is, beside what its synthetic pairs add to predictors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from c2lst.report.wording import number, percent, span

if TYPE_CHECKING:
    from c2lst.study.shared import SplitDirectory

JUDGE = "judge"
"""Stage of a split, and in its manifest what came out."""

HEADS = (
    "Kernel distance, ×10⁻³",
    "Real",
    "Precision",
    "Coverage",
    "Nuclei per mm²",
    "Real",
    "Likeness to its own patch less to another's",
)


def judge(directory: SplitDirectory) -> dict[str, Any]:
    """Judge the generator of a split by its pool (:func:`c2lst.workflow.generator.judge_pairs`)."""
    from c2lst.data.preprocessing import Preprocessing
    from c2lst.data.section import Section
    from c2lst.data.split import SpotSplit
    from c2lst.data.synthetic import SyntheticPairs
    from c2lst.workflow.generator import judge_pairs

    return judge_pairs(
        SyntheticPairs.load(directory.path("synthetic")),
        Section.load(directory.path("section")),
        SpotSplit.load(directory.path("split.json")),
        Preprocessing.load(directory.path("preprocessing.json")),
        seed=directory.wanted.seed,
    )


def generator_lines(study: Path) -> Iterator[dict[str, Any]]:
    """Yield a line of text for each split whose generator was judged, in order."""
    from c2lst.storage import read_json

    for path in sorted(study.glob("splits/*/*/manifest.json")):
        manifest = read_json(path, required=("stages", "settings"))
        stage = manifest["stages"].get(JUDGE, {})
        if stage.get("status") != "done":
            continue
        found, settings = stage["summary"], manifest["settings"]
        yield {
            "place": f"{path.parent.parent.name}, {settings['scheme']}",
            "fraction": percent(settings["fraction"]),
            "seed": str(settings["seed"]),
            "values": _values(found),
        }


def _values(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Write what was found, in the order of `HEADS`, each with its interval if it has one."""
    margin, low, high = (found[f"likeness_margin{end}"] for end in ("", "_low", "_high"))
    distance = [1000 * found[f"kernel_distance{end}"] for end in ("", "_real")]
    shares = [(found[name], found[f"{name}_real"]) for name in ("precision", "coverage")]
    nuclei = [found[f"nuclei_per_mm2{end}"] for end in ("", "_real")]
    return [
        *((number(value, 0), "") for value in distance),
        *((number(mine, 2), f"real {number(real, 2)}") for mine, real in shares),
        *((number(value, 0), "") for value in nuclei),
        (number(margin, 3, signed=True), span(low, high, 3, signed=True)),
    ]
