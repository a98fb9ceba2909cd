"""Results of the evidence outlast a machine: packed, taken up elsewhere, and added to."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import pytest

from c2lst.central.builtin import BUILTIN
from c2lst.storage import write_json
from c2lst.study.record import read_record
from c2lst.study.results import collect, finished_cells
from toy_study import write_fake_study

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def kept_results(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("evidence_kept")
    for name in ("_kept", "_page", "_pairs", "_parts", "_tables", "_words"):
        sys.modules.pop(f"evidence{name}", None)


def evidence(folder, place="/data", **grid):
    """Write a folder of evidence of fake numbers, made from sections that lie in ``place``."""
    study = write_fake_study(folder / "study", **grid)
    record = read_record(study)
    names = list(record["sections"])
    chosen = {"fractions": (0.1, 0.5), "ratios": (0, 1, 5), "seeds": 3} | grid
    chosen.pop("sections", None)
    record["sections"] = {f"{place}/{name}": name for name in names}
    record["request"] |= {"sections": list(record["sections"]), "grid": chosen}
    record["tracebacks"] = {"a cell": f"in {place}"}
    write_json(study / "study.json", record)
    for split in record["cells"]:
        stages = {"adapt": {"status": "done", "seconds": 2.5}, "fit": {"seconds": 0.5}}
        write_json(study / "splits" / split / "manifest.json", {"stages": stages})
    (folder / "commands.txt").write_text("python a.py\n")
    (folder / "ingest.md").write_text("| 1 |\n")
    return folder


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_what_is_kept_is_taken_up_whole_and_kept_again_byte_for_byte(kept_results, tmp_path):
    first, there = evidence(tmp_path / "first"), tmp_path / "there"
    kept_results.keep(first, tmp_path / "kept")
    kept_results.take_up(tmp_path / "kept", there, [Path("/else/A")])
    cells = [c.relative_to(first) for c in finished_cells(first / "study")]
    assert [c.relative_to(there) for c in finished_cells(there / "study")] == cells
    for cell in cells:
        assert contents(there / cell) == contents(first / cell)
    record = read_record(there / "study")
    assert record["sections"] == {str(Path("/else/A").absolute()): "A", "B": "B"}
    assert set(record["seconds"].values()) == {3.0}
    assert (there / "ingest.md").read_text() == "| 1 |\n"
    kept_results.keep(there, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "kept")


def test_what_is_kept_names_no_folder_of_the_machine(kept_results, tmp_path):
    kept_results.keep(evidence(tmp_path / "first"), tmp_path / "kept")
    assert "/data" not in (tmp_path / "kept" / "study.json").read_text(encoding="utf-8")
    assert not list((tmp_path / "kept").glob(".*"))


def test_results_of_two_machines_are_joined_and_none_is_lost(kept_results, tmp_path):
    first = evidence(tmp_path / "first", sections=("A",), fractions=(0.1,))
    second = evidence(tmp_path / "second", "/else", sections=("B",), fractions=(0.5,))
    (second / "ingest.md").write_text("| 2 |\n")
    (second / "commands.txt").write_text("python b.py\n")
    before = contents(second / "study" / "splits")
    done = sum(len(finished_cells(folder / "study")) for folder in (first, second))
    kept_results.keep(first, tmp_path / "kept")
    kept_results.take_up(tmp_path / "kept", second, [])
    after = contents(second / "study" / "splits")
    assert all(after[name] == content for name, content in before.items())
    record = json.loads((second / "study" / "study.json").read_text())
    assert record["sections"] == {"A": "A", "/else/B": "B"}
    assert record["request"]["grid"]["fractions"] == [0.1, 0.5]
    assert len(finished_cells(second / "study")) == done
    assert (second / "ingest.md").read_text() == "| 2 |\n"
    assert kept_results.read_commands(second) == ["python a.py", "python b.py"]


def test_without_kept_results_nothing_happens(kept_results, tmp_path):
    kept_results.take_up(tmp_path / "none", tmp_path / "out", [])
    kept_results.keep(tmp_path / "out", tmp_path / "kept")
    assert not (tmp_path / "out").exists() and not (tmp_path / "kept").exists()


def test_the_page_in_the_repository_says_what_the_kept_results_say(
    kept_results, tmp_path, monkeypatch
):
    """No number of it is written by hand. Its pictures are taken as they are: they take long."""
    page = importlib.import_module("evidence_page")
    committed = BENCHMARKS.parent / "docs"
    text = (committed / "evidence.md").read_text(encoding="utf-8")
    assert page.KEPT in text

    def without_pictures(study):
        collect(study)
        shutil.copytree(committed / "evidence", study / "figures")

    monkeypatch.setattr(page, "write_study_page", without_pictures)
    kept_results.take_up(BENCHMARKS / "results", tmp_path, [])
    commands = kept_results.read_commands(tmp_path)
    found = page.write_evidence(tmp_path, tmp_path / "docs", commands, Path(BUILTIN), kept=True)
    assert found.read_text(encoding="utf-8") == text


def test_of_two_cells_of_one_arm_the_page_has_that_of_the_folder(kept_results, tmp_path):
    """They are of other settings: together, they would count as two seeds."""
    kept = evidence(tmp_path / "first", sections=("A",), fractions=(0.1,))
    own = evidence(tmp_path / "second", sections=("A",), fractions=(0.1,))
    kept_results.keep(kept, tmp_path / "kept")
    record = read_record(own / "study")
    split = next(iter(record["cells"]))
    cells = own / "study" / "splits" / split / "cells"
    old = record["cells"][split][0]
    new = f"{old.rpartition('-')[0]}-other"
    (cells / old).rename(cells / new)
    record["cells"][split][0] = new
    write_json(own / "study" / "study.json", record)
    kept_results.take_up(tmp_path / "kept", own, [])
    joined = read_record(own / "study")["cells"][split]
    assert new in joined and old not in joined and len(joined) == len(record["cells"][split])
