"""The folder of a run: where each artefact is, and which stages are done."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import shutil
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from c2lst import __version__
from c2lst.devices import best_device, device_name
from c2lst.errors import InputError
from c2lst.progress import logger
from c2lst.storage import is_litter, read_json, write_json

FORMAT = 1
STAGES = (
    "read",
    "split",
    "fit",
    "central",
    "adapt",
    "synthesize",
    "train",
    "baselines",
    "predict",
    "evaluate",
    "report",
)

ARTEFACTS = (
    *("section", "split", "preprocessing", "central", "adapter", "synthetic"),
    *("predictor", "predictor_real_only", "predictor_cotrained", "advice", "baselines"),
    *("predictions", "map", "metrics", "gene_metrics"),
    *("comparisons", "coverage", "report", "manifest"),
)
GROWING = {"baselines": ("baselines", "predict", "evaluate", "report")}
"""Settings that may change in a run that is there, and the stages that are then done again."""

PARTIAL_NAMES = tuple(f".{name}." for name in ARTEFACTS)


class RunDirectory:
    """Paths of a run's artefacts and its manifest, the record of what was done.

    To open one changes nothing on disk, so that it can be read while another process works in it.

    Parameters
    ----------
    root
        The folder. A new one is made; one that holds a run of the same input and settings is
        continued.
    inputs
        What the run works on: paths and choices.
    settings
        What shapes its result.
    command
        How to repeat it.

    Raises
    ------
    InputError
        If the folder holds something else, or a run of other input or settings.
    """

    def __init__(
        self, root: Path, inputs: Mapping[str, Any], settings: Mapping[str, Any], command: str
    ) -> None:
        self.root = root
        if root.exists() and not root.is_dir():
            raise InputError(root, "is a file", expected="a folder for the results")
        # Looked at before the manifest is: another process may be about to write the first one.
        filled = root.is_dir() and not all(map(self._may_be_there, root.iterdir()))
        known = self.manifest_path.is_file()
        self.manifest = self._read_manifest() if known else {}
        if self.manifest:
            self._refuse_other_run(inputs, settings)
            self._grow(settings, command)
        elif filled and not known:
            raise InputError(
                root,
                "is not empty and holds no run of c2lst",
                remedy="choose a new folder; nothing in this one was touched",
            )
        else:
            self.manifest = {
                "format": FORMAT,
                "c2lst": __version__,
                "command": command,
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                "inputs": dict(inputs),
                "settings": dict(settings),
                "seed": settings.get("seed"),
                "machine": describe_machine(),
                "stages": {},
                "notes": [],
            }

    def _may_be_there(self, path: Path) -> bool:
        """Say whether a folder that holds this and no manifest may become a run's."""
        return _is_partial(path) or is_litter(path)

    @property
    def manifest_path(self) -> Path:
        """``manifest.json``."""
        return self.root / "manifest.json"

    def path(self, name: str) -> Path:
        """Return the path of an artefact."""
        return self.root / name

    def is_done(self, stage: str) -> bool:
        """Say whether a stage has been completed."""
        return bool(self.manifest["stages"].get(stage, {}).get("status") == "done")

    def summary(self, stage: str) -> dict[str, Any]:
        """Return what a completed stage reported."""
        return dict(self.manifest["stages"][stage]["summary"])

    def note(self, message: str) -> None:
        """Keep a message for the report, once."""
        if message not in self.manifest["notes"]:
            self.manifest["notes"].append(message)

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Record a stage: yields the summary to fill; done only if the block succeeds."""
        # Not when the folder is opened: whoever only reads it may do so while another writes.
        self._sweep()
        started = time.perf_counter()
        summary: dict[str, Any] = {}
        before = self.manifest["stages"].get(name, {}).get("seconds", 0.0)
        collector = _Notes(self)
        logger.addHandler(collector)
        self._record(name, "running", before, summary)
        try:
            yield summary
        except BaseException:
            self._record(name, "interrupted", before + time.perf_counter() - started, summary)
            raise
        finally:
            logger.removeHandler(collector)
        self._record(name, "done", before + time.perf_counter() - started, summary)
        shutil.rmtree(self.scratch(name), ignore_errors=True)

    def scratch(self, stage: str) -> Path:
        """Return the folder of a stage's checkpoints, which goes when the stage is done."""
        return self.root / ".work" / stage

    def _read_manifest(self) -> dict[str, Any]:
        """Read what was done here; a run that completed nothing has nothing to be kept."""
        required = ("format", "inputs", "settings", "stages", "notes")
        manifest = read_json(self.manifest_path, required=required)
        begun = any(stage["status"] == "done" for stage in manifest["stages"].values())
        return manifest if begun else {}

    def _sweep(self) -> None:
        """Remove the half-written files that a killed process left beside the artefacts."""
        for left in self.root.glob(".*"):
            if not _is_partial(left):
                continue
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)

    def finish(self) -> None:
        """Remove the empty scratch folder."""
        with contextlib.suppress(OSError):
            (self.root / ".work").rmdir()

    def _record(self, name: str, status: str, seconds: float, summary: dict[str, Any]) -> None:
        self.manifest["stages"][name] = {
            "status": status,
            "seconds": round(seconds, 2),
            "summary": summary,
        }
        write_json(self.manifest_path, self.manifest)

    def _refuse_other_run(self, inputs: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        if self.manifest["format"] != FORMAT:
            raise InputError(
                self.manifest_path, "format", found=self.manifest["format"], expected=FORMAT
            )
        for kind, wanted in (("inputs", inputs), ("settings", settings)):
            for name, found, expected in differences(self.manifest[kind], wanted):
                if name in GROWING:
                    continue
                raise InputError(
                    self.root,
                    f"holds a run with another {name}",
                    found=found,
                    expected=expected,
                    remedy="choose a new folder with -o, or give the same options to continue",
                )

    def _grow(self, settings: Mapping[str, Any], command: str) -> None:
        """Forget the stages that a setting shaped which has changed."""
        for name, stages in GROWING.items():
            if list(self.manifest["settings"].get(name, ())) == list(settings.get(name, ())):
                continue
            self.manifest["settings"][name] = settings[name]
            self.manifest["command"] = command
            for stage in stages:
                self.manifest["stages"].pop(stage, None)


class _Notes(logging.Handler):
    """Keeps warnings of a stage for the report."""

    def __init__(self, run: RunDirectory) -> None:
        super().__init__(logging.WARNING)
        self.run = run

    def emit(self, record: logging.LogRecord) -> None:
        self.run.note(record.getMessage())


def _is_partial(path: Path) -> bool:
    """Whether a file has a name that our own writers give: other hidden files are the user's."""
    return path.name.startswith(PARTIAL_NAMES)


def differences(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, object, object]]:
    """Yield the dotted name, the old and the new value of what differs between two requests."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted(set(old) | set(new)):
            path = f"{name}.{key}" if name else key
            yield from differences(old.get(key), new.get(key), path)
    elif _listed(old) != _listed(new):
        yield name, old, new


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, list | tuple) else value


def describe_machine() -> dict[str, Any]:
    """Say what the run was made on: system, processor count, device, versions."""
    packages = ("torch", "diffusers", "accelerate", "anndata", "numpy", "scikit-learn")
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "device": device_name(best_device()),
        "packages": {name: version(name) for name in packages},
    }
