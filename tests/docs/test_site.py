"""The site builds without a warning, and what is generated is in it."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("sphinx", "myst_nb", "sphinx_book_theme", "sphinx_copybutton")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    missing = [tool for tool in TOOLS if importlib.util.find_spec(tool) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed (extra: docs)")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", folder / "trees"]
    built = subprocess.run(
        [*map(str, command), str(ROOT / "docs"), str(folder / "html")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder / "html"


def test_the_reference_is_written_from_the_code(site):
    from typer.main import get_command

    from c2lst.cli.app import app

    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    commands = " ".join(re.sub(r"<[^>]+>", "", page).split())  # words stand in tags of their own
    for name in get_command(app).commands:
        assert f"c2lst {name}" in commands
    assert "--guidance-interval" in commands
    reference = (site / "reference" / "api.html").read_text(encoding="utf-8")
    assert "c2lst.LocalModel.synthesize" in reference and "Raises" in reference


def test_the_notebook_is_shown_with_its_figures(site):
    page = (site / "notebooks" / "simulated_tissue.html").read_text(encoding="utf-8")
    assert page.count("<img") > 4
