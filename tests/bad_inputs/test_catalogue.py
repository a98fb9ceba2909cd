"""Every malformed input ends in one line that helps, with exit code 2, and is left as it was."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bad_inputs.case import BadInput, fingerprint
from bad_inputs.catalogue import CATALOGUE
from c2lst.cli.app import app
from c2lst.errors import InputError


def test_the_catalogue_is_large_and_every_entry_is_another():
    assert len(CATALOGUE) >= 60
    assert len({case.name for case in CATALOGUE}) == len(CATALOGUE)


@pytest.mark.parametrize("case", CATALOGUE, ids=lambda case: case.name)
def test_a_bad_input_is_refused_in_one_line_and_left_alone(case: BadInput, tmp_path):
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    arguments = [*case.make(source), "-o", str(output)]
    before = fingerprint(source)
    with pytest.raises(InputError) as caught:
        app(arguments, standalone_mode=False)
    error = caught.value
    assert "\n" not in str(error) and "np." not in str(error)
    for words in case.says:
        assert words in str(error), f"{words!r} is not in: {error}"
    assert error.found is not None or error.expected is not None, f"what was there? {error}"
    assert error.remedy, f"what can be done? {error}"
    assert fingerprint(source) == before
    assert not output.exists()


@pytest.mark.parametrize("case", CATALOGUE[::10], ids=lambda case: case.name)
def test_the_command_ends_with_code_2_and_no_traceback(case: BadInput, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    command = [sys.executable, "-m", "c2lst", *case.make(source), "-o", str(tmp_path / "output")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.count("error:") == 1 and "Traceback" not in result.stderr
