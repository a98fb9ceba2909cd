"""Parts of the evidence that are commands of their own: what they print goes to the page."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from c2lst.progress import logger
from c2lst.storage import whole_file

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Part:
    """A script of this folder whose output is Markdown.

    Attributes
    ----------
    name
        Of the part, and of the file that its output is kept in.
    heading, about
        What the page says above the output.
    words
        Script and arguments; ``OUT`` is a folder for it to work in and to go on from.
    """

    name: str
    heading: str
    about: str
    words: tuple[str, ...]

    @property
    def command(self) -> str:
        """How to run it alone."""
        return shlex.join(["python", f"benchmarks/{self.words[0]}", *self.words[1:]])


PARTS = (
    Part(
        "splits",
        "Against the baselines, on six splits of each section",
        "c2lst without a network and all baselines, as above, but on six splits at each fraction: "
        "three hardly say how much hangs on which spots were drawn.",
        ("splits.py", "-o", "OUT"),
    ),
    Part(
        "simulated",
        "Simulated tissue, whose truth is known",
        "The preset `tiny` on another tissue and another split for each seed; mean absolute error "
        "in log1p of counts per 10,000 at the spots that were not sequenced.",
        ("simulated.py", "-o", "OUT", "--seeds", "3"),
    ),
    Part(
        "superres",
        "Super-resolution",
        "On simulated tissue, whose expectation is known: methods, then each arm of the ablation "
        "beside the full model. What the columns are, and what follows: [superres](superres.md).",
        ("superres_study.py", "OUT"),
    ),
    Part(
        "ingest",
        "Costs: cutting patches and normalising stains",
        "In turns with a plain loop, in one run.",
        ("ingest.py", "--repeats", "5"),
    ),
    Part(
        "training",
        "Costs: training and sampling",
        "Counted and measured for each preset. What it adds up to at other sizes: "
        "[scaling](scaling.md).",
        ("accelerator.py", "-o", "OUT", "--presets", "tiny", "small", "builtin", "base"),
    ),
)

TOY = Part("training", PARTS[-1].heading, PARTS[-1].about, ("accelerator.py", "-o", "OUT", "--toy"))
"""Stands for all of them in the smoke test."""


def measure(part: Part, folder: Path) -> None:
    """Run a part, unless what it printed is there."""
    kept, work = folder / f"{part.name}.md", folder / part.name
    if kept.is_file():
        logger.info("%s: done before; remove %s to repeat it", part.name, kept)
        return
    words = [str(work) if word == "OUT" else word for word in part.words[1:]]
    work.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, str(HERE / part.words[0]), *words],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with whole_file(kept) as partial:
        partial.write_text(done.stdout, encoding="utf-8")


def part_lines(folder: Path) -> Iterator[str]:
    """Yield the sections of the parts that are done."""
    for part in PARTS:
        kept = folder / f"{part.name}.md"
        if kept.is_file():
            yield from (f"## {part.heading}", "", part.about, "")
            yield from ("```bash", part.command, "```", "")
            yield from (*kept.read_text(encoding="utf-8").strip().splitlines(), "")
