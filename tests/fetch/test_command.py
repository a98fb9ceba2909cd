import subprocess
import sys

import pytest
from typer.testing import CliRunner

from c2lst.cli.app import app
from c2lst.errors import InputError
from c2lst.fetch import registry


def call(*arguments, **options):
    command = ["fetch", *map(str, arguments)]
    return CliRunner().invoke(app, command, catch_exceptions=False, **options)


@pytest.mark.parametrize("arguments", [[], ["--list"]])
def test_what_there_is_is_shown(arguments, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = call(*arguments)
    assert result.exit_code == 0
    for name in ("her2st/A1", "mob", "hest/ID", "spider/breast", "CC BY-NC 4.0", "zenodo"):
        assert name in result.output


def test_terms_and_size_are_shown_and_asked_for(home, tmp_path):
    with pytest.raises(InputError, match="give --accept-licence"):
        call("her2st/C2", "-o", tmp_path / "out")
    assert home.asked == []


def test_accepted_terms_bring_the_files(home, tmp_path):
    result = call("her2st/C2", "-o", tmp_path / "out", "--accept-licence")
    shown = result.output
    assert result.exit_code == 0 and (tmp_path / "out/C2.jpg").is_file()
    assert shown.index("licence") < shown.index("fetching") and "1 kB in 3 files" in shown


@pytest.mark.parametrize(("answer", "fetched"), [("y", True), ("n", False)])
def test_a_person_is_asked(home, tmp_path, monkeypatch, answer, fetched):
    from c2lst.cli import fetch

    monkeypatch.setattr(fetch, "_is_asked", lambda: True)
    if fetched:
        call("her2st/C2", "-o", tmp_path / "out", input=answer)
    else:
        with pytest.raises(InputError, match="not accepted"):
            call("her2st/C2", "-o", tmp_path / "out", input=answer)
    assert (tmp_path / "out").exists() == fetched


def test_offline_the_command_ends_with_one_line_and_code_2(home, tmp_path):
    text = registry.REGISTRY.read_text().replace(home.address, "http://127.0.0.1:9")
    registry.REGISTRY.write_text(text)
    code = (
        "import sys; from pathlib import Path; from c2lst.fetch import registry, web; "
        f"registry.REGISTRY = Path({str(registry.REGISTRY)!r}); web.WAITS_S = (); "
        f"sys.argv = ['c2lst', '-q', 'fetch', 'her2st/C2', '-o', {str(tmp_path / 'out')!r}, "
        "'--accept-licence']; from c2lst.cli import main; main()"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 2
    errors = [line for line in result.stderr.splitlines() if "error:" in line]
    assert len(errors) == 1 and "cannot be reached" in errors[0]
    assert "Traceback" not in result.stderr
