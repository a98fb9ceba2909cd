"""The study of the evidence page: real sections, or a smoke test of the same on simulated tissue.

The grid ``baselines`` has no networks: all baselines and the predictor over image and place, at
every fraction. The grid ``pairs`` adds what synthetic pairs do to networks, at equal optimiser
steps, with controls. Both stand in one study.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from c2lst.errors import InputError
from c2lst.settings import RunSettings, load_settings
from c2lst.study import StudySettings

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


GRIDS = ("baselines", "pairs")
SECTIONS = ("C2", "C3", "C4", "C5")
FRACTIONS = (0.05, 0.1, 0.25, 0.5)
CONFIG = Path(__file__).with_name("evidence.toml")


def full(arguments: argparse.Namespace) -> Plan:
    """Plan the evidence on real sections."""
    fractions = tuple(arguments.fractions)
    grids = {
        "baselines": StudySettings(
            fractions=fractions, networks=(), seeds=arguments.seeds, baselines=arguments.baselines
        ),
        "pairs": StudySettings(
            fractions=fractions,
            ratios=tuple(arguments.ratios),
            controls=tuple(arguments.controls),
            networks=tuple(arguments.networks) if arguments.networks else None,
            advised=True,
            seeds=arguments.seeds,
        ),
    }
    asked = [grids[part] for part in GRIDS if part in arguments.parts]
    return Plan(
        [section_path(name) for name in arguments.sections] if asked else [],
        load_settings(arguments.preset, arguments.config),
        arguments.central,
        asked,
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
