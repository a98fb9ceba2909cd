from __future__ import annotations

from pathlib import Path

from c2lst.report.artefacts import read_artefacts
from c2lst.report.origin import file_rows


def test_files_are_those_that_exist(finished_run: Path) -> None:
    paths = [row.path for row in file_rows(read_artefacts(finished_run))]
    assert "synthetic/" in paths
    assert "predictor/" not in paths
