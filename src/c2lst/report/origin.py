"""How the run was made: its stages, settings, versions and files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from c2lst.report.artefacts import RunArtefacts
from c2lst.report.wording import FILES, STAGES, duration, flatten

_SETTLED = {"done", "skipped", "reused"}


@dataclass(frozen=True)
class StageRow:
    """A stage of the run."""

    name: str
    label: str
    status: str
    settled: bool
    time: str
    share: float
    messages: tuple[str, ...]


@dataclass(frozen=True)
class FileRow:
    """A file or folder of the run."""

    path: str
    meaning: str


@dataclass(frozen=True)
class Provenance:
    """How the run was made, as (key, text) pairs."""

    facts: tuple[tuple[str, str], ...]
    settings: tuple[tuple[str, str], ...]
    hashes: tuple[tuple[str, str], ...]
    machine: tuple[tuple[str, str], ...]
    packages: tuple[tuple[str, str], ...]
    command: str


def stage_rows(artefacts: RunArtefacts) -> list[StageRow]:
    """Every stage in order, those unknown to this version last."""
    stages = artefacts.manifest["stages"]
    names = [*(name for name in STAGES if name in stages), *(n for n in stages if n not in STAGES)]
    seconds = {name: _seconds(artefacts.stage(name)) for name in names}
    longest = max((s for s in seconds.values() if math.isfinite(s)), default=0.0)
    return [
        StageRow(
            name=name,
            label=STAGES.get(name, name),
            status=str(artefacts.stage(name).get("status", "unknown")),
            settled=name == "report" or artefacts.stage(name).get("status") in _SETTLED,
            time=duration(seconds[name]),
            share=round(100 * seconds[name] / longest, 1) if seconds[name] > 0 else 0.0,
            messages=_messages(artefacts.stage(name)),
        )
        for name in names
        # The report's own duration is not known while it is being written.
        if name != "report"
    ]


def _seconds(stage: Mapping[str, Any]) -> float:
    value = stage.get("seconds")
    return float(value) if isinstance(value, int | float) else math.nan


def _messages(stage: Mapping[str, Any]) -> tuple[str, ...]:
    summary = stage.get("summary")
    pairs = flatten(summary) if isinstance(summary, dict) else []
    said = stage.get("messages") or stage.get("message") or ()
    lines = [said] if isinstance(said, str) else [str(line) for line in said]
    return (*lines, *(f"{key.replace('_', ' ')}: {text}" for key, text in pairs))


def provenance(artefacts: RunArtefacts) -> Provenance:
    """Version, seeds, settings, hashes, packages and machine, as the manifest has them."""
    manifest, split = artefacts.manifest, artefacts.split
    machine = dict(manifest.get("machine") or {})
    packages = dict(manifest.get("packages") or machine.pop("packages", None) or {})
    facts: dict[str, object] = {
        "c2lst version": manifest.get("c2lst"),
        "created": manifest.get("created"),
        "seed": manifest.get("seed"),
        "split": f"{split.get('scheme', '?')}, seed {split.get('seed', '?')}, "
        f"fraction {split.get('fraction', '?')}",
    }
    hashes = {"section": split.get("section_hash")} | {
        f"stage {name}": artefacts.stage(name).get("fingerprint") for name in manifest["stages"]
    }
    return Provenance(
        facts=tuple((key, str(value)) for key, value in facts.items() if value is not None),
        settings=tuple(
            flatten({**(manifest.get("inputs") or {}), **(manifest.get("settings") or {})})
        ),
        hashes=tuple((key, str(value)) for key, value in hashes.items() if value),
        machine=tuple(flatten(machine)),
        packages=tuple(flatten(packages)),
        command=str(manifest.get("command") or "c2lst run SLIDE -o RUN"),
    )


def file_rows(artefacts: RunArtefacts) -> list[FileRow]:
    """Name the files that this run has, and what each is."""
    return [
        FileRow(path + ("/" if (artefacts.run / path).is_dir() else ""), meaning)
        for path, meaning in FILES.items()
        if path == "report.html" or (artefacts.run / path).exists()
    ]
