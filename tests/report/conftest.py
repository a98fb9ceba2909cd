from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def _load(name: str) -> ModuleType:
    # Tests are imported by path, not as a package, so a helper beside them is too.
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


fake_run = _load("fake_run")


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a fake run; keywords are those of FakeRun."""

    def make(**choices: object) -> Path:
        folder = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        return fake_run.FakeRun(**choices).write(folder)

    return make


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a complete run that tests only read, with its report."""
    from c2lst.report import write_report

    run = fake_run.FakeRun().write(tmp_path_factory.mktemp("finished") / "run")
    write_report(run)
    return run
