"""The evidence page of the benchmarks, from fake numbers: its words follow them."""

import importlib
import sys
from pathlib import Path

import pandas as pd
import pytest

from c2lst.study.contenders import Contender
from c2lst.study.regimes import Standing
from toy_study import write_fake_study

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def evidence(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    for name in ("", "_kept", "_page", "_pairs", "_parts", "_study", "_tables", "_words"):
        sys.modules.pop(f"evidence{name}", None)
    sys.modules.pop("splits", None)


@pytest.fixture
def page(evidence, tmp_path, monkeypatch):
    """Write the page of a fake study; return its text and its folder."""
    writer = evidence("evidence_page")
    monkeypatch.setattr(writer, "_made", lambda *arguments: iter(()))

    def write(**grid):
        write_fake_study(tmp_path / "study", **grid)
        path = writer.write_evidence(tmp_path, tmp_path / "docs", ["python evidence.py"], None)
        return path.read_text(encoding="utf-8"), path.parent

    return write


def test_the_page_says_what_the_numbers_say(page, evidence):
    text, docs = page()
    assert "c2lst + resnet-tiny: real + 5× synthetic: best in 4, tied in 0, behind in 0" in text
    pairs = "| c2lst + resnet-tiny | real + 5× synthetic |"
    assert f"{pairs} real only, same steps | 4 | 0 | 0 |" in text
    assert f"{pairs} synthetic, genes shuffled | 4 | 0 | 0 |" in text
    places = text.split("Change of error")[1].split("##")[0].splitlines()
    whole = [line.split("|") for line in places if "| c2lst + resnet-tiny |" in line]
    # Of ratios 1 and 5, the second column.
    assert len(whole) == 4 and all(cells[5].startswith(" **−") for cells in whole)
    assert "In no place does a baseline err less" in text
    assert "of one patient:" not in text  # who they are of is not known to a study
    for word in text.split("](")[1:]:
        name = word.split(")")[0]
        assert name == "metrics.md" or (docs / name).is_file()
    # Many splits are told as the page tells few.
    told = "\n".join(evidence("splits").shown(docs.parent / "study"))
    assert told.splitlines()[0] in text and told[told.index("| section") :].strip() in text


def test_a_study_that_is_not_whole_says_so(page, evidence, monkeypatch):
    writer = evidence("evidence_page")
    whole = writer.finished_cells
    monkeypatch.setattr(writer, "finished_cells", lambda study: whole(study)[1:])
    assert "1 cells of the grid are not done" in page(sections=("A",))[0]


def test_one_seed_bears_nothing_out(page):
    text, _ = page(sections=("A",), seeds=1)
    assert "undecided in 2 of 2 places" in text
    assert "| real + 5× synthetic | real only, same steps | – | – | – | −" in text
    assert "one seed, which bears nothing out" in text
    assert "**−" not in text.split("## What synthetic pairs add")[1].split("## Where")[0]


def test_means_over_other_seeds_are_not_held_against_each_other(evidence):
    means = pd.DataFrame(
        {"section": list("AAAB"), "scheme": "random", "fraction": 0.1,
         "method": ["a", "b", "c", "a"], "runs": [3, 3, 1, 1]}
    )  # fmt: skip
    kept = evidence("evidence_words")._complete(means)
    assert list(zip(kept["section"], kept["method"], strict=True)) == [
        ("A", "a"), ("A", "b"), ("B", "a"),
    ]  # fmt: skip


def test_without_networks_nothing_is_said_of_synthetic_pairs(page):
    text, _ = page(sections=("A",), networks=())
    assert "What synthetic pairs add" not in text and "Error by ratio" not in text


def test_ties_are_named_by_place(evidence):
    ours = Contender("no-network", "", "predicted")
    tied = [
        Standing(section, "random", fraction, ours, "tied", ())
        for section, fraction in (("A", 0.05), ("A", 0.5), ("B", 0.1))
    ]
    told = list(evidence("evidence_words")._ties(tied))
    assert len(told) == 1
    assert told[0].endswith(
        "in A, random spots (5\u00a0%, 50\u00a0%); B, random spots (10\u00a0%)."
    )


def test_the_command_names_no_folder_of_this_machine(evidence):
    script = evidence("evidence")
    words = ["-o", "/tmp/x", "--central", "/tmp/m", "--sections", "/data/C2", "--seeds", "5"]
    command = script.repeatable(script.parser().parse_args(words))
    assert "/tmp" not in command and "/data" not in command
    assert "--sections C2" in command and "--seeds 5" in command
    assert "--ratios" not in command and "--parts" not in command
    words += ["--parts", "pairs", "--ratios", "3"]
    command = script.repeatable(script.parser().parse_args(words))
    assert "--parts pairs" in command and "--ratios 3" in command


def test_a_page_names_every_command_that_made_it(evidence, tmp_path):
    remembered = evidence("evidence").remembered
    path = tmp_path / "commands.txt"
    for command, known in (("a", ["a"]), ("b", ["a", "b"]), ("a", ["a", "b"])):
        assert remembered(path, command) == known


def test_grids_fit_together(evidence, tmp_path):
    script = evidence("evidence")
    words = ["-o", str(tmp_path), "--sections", str(tmp_path), "--networks", "resnet-tiny"]
    first, second = script.full(script.parser().parse_args(words)).grids
    both = first.merged(second)
    assert first.networks == () and len(first.arms()) == 1
    assert both.fractions == (0.05, 0.1, 0.25, 0.5) and both.advised and both.largest == 3


def test_a_part_is_measured_once_and_its_output_is_on_the_page(evidence, tmp_path, monkeypatch):
    parts, writer = evidence("evidence_parts"), evidence("evidence_page")
    script = "import sys; open(sys.argv[1] + '/ran', 'a').write('x'); print('| 1 |')"
    (tmp_path / "part.py").write_text(script, encoding="utf-8")
    monkeypatch.setattr(parts, "HERE", tmp_path)
    part = parts.Part("ingest", "Costs of a part", "In seconds.", ("part.py", "OUT"))
    for _ in range(2):
        parts.measure(part, tmp_path / "out")
    assert (tmp_path / "out" / "ingest" / "ran").read_text() == "x"
    monkeypatch.setattr(parts, "PARTS", (part,))
    page = writer.write_evidence(tmp_path / "out", tmp_path / "docs", ["a command"], None)
    text = page.read_text(encoding="utf-8")
    assert "a command" in text and "| 1 |" in text and str(tmp_path) not in text


def test_the_smoke_run_leaves_a_page_with_every_part(evidence, tmp_path):
    evidence("evidence").main(["-o", str(tmp_path), "--smoke"])
    text = (tmp_path / "docs" / "evidence.md").read_text(encoding="utf-8")
    for part in (
        "Against the baselines",
        "Error by ratio",
        "noise floor",
        "## Maps",
        "8 of 8 done",
        "Costs: training and sampling",
    ):
        assert part in text
    assert str(tmp_path) not in text
