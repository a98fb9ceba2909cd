"""That an option given to a command is the one that the work is asked for with."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from c2lst.cli.app import app


class AskedError(Exception):
    """The work is asked for: with what."""


@pytest.fixture
def asked(monkeypatch):
    """Replace the work that a command leads to; give its words, get what it asks for."""

    def ask(work, *words):
        def note(*arguments, **named):
            raise AskedError(arguments, named)

        monkeypatch.setattr(work, note)
        with pytest.raises(AskedError) as met:
            CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False)
        return met.value.args

    return ask


@pytest.fixture
def opened(monkeypatch, small_section, small_split):
    """An adapter, its section and its split, as far as a command looks at them."""
    local = SimpleNamespace(
        preprocessing=SimpleNamespace(
            panel=range(9),
            expression=lambda section: np.zeros((len(section), 9)),
            images=lambda section: np.zeros((len(section), 4, 4, 3), np.uint8),
        )
    )
    monkeypatch.setattr("c2lst.local.sources.open_adapter", lambda *_: local)
    monkeypatch.setattr("c2lst.local.sources.open_spots", lambda *_: (small_section, small_split))
    return local


def test_run(asked, tmp_path):
    (source, output, settings), named = asked(
        "c2lst.workflow.run", "run", tmp_path, "-o", tmp_path / "run", "--advise", "full",
        "--pitch", "50um", "--network", "none", "--baselines", "none", "--mpp", 0.5, "--seed", 3,
        "--section", "S", "--format", "visium", "--image", "i.tif", "--central", "builtin",
    )  # fmt: skip
    assert (source, output) == (tmp_path, tmp_path / "run")
    assert (settings.advise, settings.pitch_um, settings.seed) == ("full", 50.0, 3)
    assert (settings.prediction.network, settings.baselines) == ("none", ())
    assert (named["mpp"], named["section"], named["format"]) == (0.5, "S", "visium")
    assert (str(named["image"]), named["central"]) == ("i.tif", "builtin")


@pytest.mark.parametrize(
    ("words", "port", "browser"),
    [((), None, True), (("--port", 7999, "--no-browser"), 7999, False)],
)
def test_explore(asked, monkeypatch, words, port, browser):
    explorer = SimpleNamespace(name="S", spots=[])
    monkeypatch.setattr("c2lst.explorer.page.require", lambda: None)
    monkeypatch.setattr("c2lst.explorer.Explorer.open", lambda *_, **__: explorer)
    (given,), named = asked("c2lst.explorer.page.serve", "explore", "RUN", *words)
    assert given is explorer and named == {"port": port, "browser": browser}


def test_benchmark(asked, small_section, tmp_path):
    small_section.save(tmp_path / "S1")
    (sections, by, patients), _ = asked(
        "c2lst.benchmark.leave_one_out", "benchmark", tmp_path / "S1", "-o", tmp_path / "b",
        "--by", "section", "--patient", "S1=P1",
    )  # fmt: skip
    assert [section.name for section in sections] == ["S1"]
    assert (by, patients) == ("section", {"S1": "P1"})


def test_benchmark_of_a_task(asked, monkeypatch, tmp_path):
    monkeypatch.setattr("c2lst.benchmark.read_task", lambda folder: folder)
    (task, _, settings), named = asked(
        "c2lst.benchmark.run_benchmark", "benchmark", "--hest-bench", tmp_path, "-o", "b",
        "--genes", 9, "--encoder", "random", "--as-is", "--network", "resnet-10", "--steps", 7,
        "--seed", 3, "--central", "builtin", "--allow-duplicates",
    )  # fmt: skip
    assert task == tmp_path
    assert vars(settings) == {
        **{"genes": 9, "encoder": "random", "normalise": False},
        **{"network": "resnet-10", "steps": 7, "seed": 3},
    }
    assert named["central"] == "builtin" and named["allow_duplicates"]


def test_collect(asked, tmp_path):
    (sources, output, settings), named = asked(
        "c2lst.data.collections.collect.collect", "collect", "a", "b", "-o", tmp_path, "--size", 48,
        "--patch-um", 28.5, "--mpp", 0.5, "--stride-um", 14.0, "--context", "--groups", "g.csv",
        "--validation", 0.2, "--against", "c", "--copies", "flag", "--skip-unreadable",
        "--licence", "CC0", "--seed", 3,
    )  # fmt: skip
    assert (sources, output, str(named["groups"])) == (["a", "b"], tmp_path, "g.csv")
    assert named["against"] == ["c"]
    assert vars(settings) == {
        **{"size": 48, "patch_um": 28.5, "mpp": 0.5, "stride_um": 14.0, "context": True},
        **{"validation": 0.2, "seed": 3, "copies": "flag", "skip_unreadable": True},
        "licence": "CC0",
    }


def test_drop_genes(asked, opened, small_split, tmp_path):
    (local, drawn_for, real, settings), named = asked(
        "c2lst.local.missing.drop_genes", "drop-genes", tmp_path, "-o", tmp_path / "d", "--number",
        4, "--trials", 2, "--spots", 5, "--guidance", 2.5, "--sampler", "faithful", "--seed", 3,
    )  # fmt: skip
    assert local is opened
    assert len(drawn_for) == 5 and len(real) == len(small_split.train)
    assert (settings.guidance, settings.sampler, settings.seed) == (2.5, "faithful", 3)
    assert (named["number"], named["trials"]) == (4, 2)


def test_evaluate_generator(asked, opened, small_section, tmp_path):
    small_section.save(tmp_path / "other")
    (*given, settings), named = asked(
        "c2lst.workflow.generator.evaluate_generator", "evaluate-generator", tmp_path, "-o",
        tmp_path / "g", "--per-spot", 2, "--guidance", 2.5, "--sampler", "faithful", "--encoder",
        "random", "--nuclei", "hovernet", "--no-umap", "--drop-genes", 0, "--seed", 3, "--cache",
        tmp_path / "kept", "--held-out", tmp_path / "other",
    )  # fmt: skip
    assert given[0] is opened and given[1] is small_section
    assert list(vars(settings).values()) == [
        2, 2.5, "faithful", "random", "hovernet", False, 0, 3,
    ]  # fmt: skip
    assert named["cache"] == tmp_path / "kept" and named["held_out"].name == small_section.name
    assert named["truth"] is None
