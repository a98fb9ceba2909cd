from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import c2lst.benchmark.running as running
from c2lst.benchmark import BenchmarkSettings, leave_one_out, read_task, run_benchmark, summarise
from c2lst.cli.app import app
from c2lst.data.patches import Patches
from c2lst.errors import InputError
from c2lst.storage import one_writer
from toy_sections import NAMES, write_hest_bench

METHODS = ["c2lst (image)", "hest_bench", "ridge", "train_mean", "train_median"]


@pytest.fixture(scope="module")
def done(sections, quick, tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark") / "out"
    return run_benchmark(leave_one_out(sections), folder, quick), folder


def test_every_test_slide_is_judged_by_itself(done):
    table, folder = done
    assert sorted(table["method"].unique()) == METHODS
    slides = table[["fold", "section", "patient"]].drop_duplicates()
    assert slides.values.tolist() == [["P", "A", "P"], ["P", "B", "P"], ["Q", "C", "Q"]]
    assert set(table["spots"]) == {49}
    assert table.groupby("section")["train_spots"].first().to_dict() == {"A": 49, "B": 49, "C": 98}
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "benchmark.parquet"), table)
    genes = pd.read_parquet(folder / "genes.parquet")
    assert len(genes) == len(table) * 20
    for name in ("benchmark.csv", "table.csv"):
        assert len(pd.read_csv(folder / name)) in (len(table), len(METHODS))


def test_what_the_image_shows_is_predicted_on_other_slides(done):
    means = done[0].groupby("method")["mae"].mean()
    for method in ("c2lst (image)", "ridge"):
        assert means[method] < 0.95 * means["train_median"]


def test_a_mean_over_folds_is_of_slides_before_it_is_of_folds(done):
    table, _ = done
    process = table[table["method"] == "ridge"].set_index("section")["pearson"]
    expected = ((process["A"] + process["B"]) / 2 + process["C"]) / 2
    summary = summarise(table).set_index("method").loc["ridge"]
    assert summary["pearson"] == pytest.approx(expected)
    assert summary["runs"] == 2
    assert summary["train_spots"] == pytest.approx((49 + 98) / 2)
    assert "train_spots_low" not in summary and "train_sections_high" not in summary


def test_a_fold_that_is_done_is_not_done_again(sections, quick, tmp_path, monkeypatch):
    work, calls = running._Work.carry_out, []

    def fails_at_second(self, fold, folder):
        calls.append(fold.name)
        if len(calls) == 2:
            raise KeyboardInterrupt
        work(self, fold, folder)

    monkeypatch.setattr(running._Work, "carry_out", fails_at_second)
    task = leave_one_out(sections)
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(task, tmp_path / "out", quick)
    again = run_benchmark(task, tmp_path / "out", quick)
    assert calls == ["P", "Q", "Q"]
    monkeypatch.undo()
    pd.testing.assert_frame_equal(again, run_benchmark(task, tmp_path / "new", quick))


def test_another_request_or_folder_is_refused(done, sections, quick, tmp_path):
    _, folder = done
    with pytest.raises(InputError, match=r"another settings\.genes"):
        run_benchmark(leave_one_out(sections), folder, dataclasses.replace(quick, genes=5))
    with pytest.raises(InputError, match=r"another folds\.[APQ]"):
        run_benchmark(leave_one_out(sections, by="section"), folder, quick)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="holds no benchmark"):
        run_benchmark(leave_one_out(sections), tmp_path, quick)


def test_patches_that_were_cut_anew_are_another_request(done, sections, quick):
    """The counts are the same, and features of the old patches are kept in the folder."""
    for look in (lambda x: 255 - x, lambda x: x[:, ::2, ::2]):
        changed = [
            dataclasses.replace(s, patches=Patches(look(s.patches[:]), s.patches.patch_um))
            for s in sections
        ]
        with pytest.raises(InputError, match=r"another patches\.A\.hash"):
            run_benchmark(leave_one_out(changed), done[1], quick)


def test_other_weights_under_one_label_are_another_request(done, sections, quick, monkeypatch):
    from c2lst.evaluation.encoders import RandomEncoder

    monkeypatch.setattr(RandomEncoder, "identity", "fine-tuned since")
    with pytest.raises(InputError, match="another encoder"):
        run_benchmark(leave_one_out(sections), done[1], quick)


def test_a_record_without_patches_is_gone_on_with(done, sections, quick, tmp_path):
    """Earlier versions wrote none."""
    table, folder = done
    shutil.copytree(folder, tmp_path / "out")
    path = tmp_path / "out" / "benchmark.json"
    record = json.loads(path.read_text())
    del record["request"]["patches"], record["request"]["encoder"]
    path.write_text(json.dumps(record))
    again = run_benchmark(leave_one_out(sections), tmp_path / "out", quick)
    pd.testing.assert_frame_equal(again, table)


@pytest.mark.parametrize("network", ["resnet-tiny", "frozen"])
def test_networks_take_part(sections, tmp_path, network):
    settings = BenchmarkSettings(genes=12, encoder="random", network=network, steps=2)
    table = run_benchmark(leave_one_out(sections[1:]), tmp_path / "out", settings)
    assert "network_real_only" in set(table["method"])
    assert np.isfinite(table["mae"]).all()


def test_an_unknown_network_is_refused_before_anything_is_done(sections, quick, tmp_path):
    settings = dataclasses.replace(quick, network="resnet-1000")
    with pytest.raises(InputError, match="unknown network"):
        run_benchmark(leave_one_out(sections), tmp_path / "out", settings)
    assert not (tmp_path / "out").exists()


def test_a_hest_bench_task_is_run_on_its_own_genes(sections, quick, tmp_path):
    folder = write_hest_bench(tmp_path / "TOY", sections, [*NAMES[:5], NAMES[20]])
    table = run_benchmark(read_task(folder), tmp_path / "out", quick)
    assert set(table["genes"]) == {6}
    assert list(dict.fromkeys(table["fold"])) == ["split 0", "split 1", "split 2"]


def test_the_command_says_what_one_patient_is_worth(sections, tmp_path):
    for section in sections[:2]:
        section.save(tmp_path / section.name)
    folders = [str(tmp_path / section.name) for section in sections[:2]]
    options = ["--network", "none", "--encoder", "random", "--genes", "10"]
    refused = CliRunner().invoke(app, ["benchmark", *folders, "-o", str(tmp_path / "o"), *options])
    assert "all of one patient" in str(refused.exception)
    words = ["benchmark", "--hest-bench", folders[0], "-o", str(tmp_path / "o"), "--by", "section"]
    assert "--by" in str(CliRunner().invoke(app, words).exception)
    options += ["--by", "section", "-o", str(tmp_path / "out"), "--as-is"]
    result = CliRunner().invoke(app, ["benchmark", *folders, *options])
    assert result.exit_code == 0, result.output
    made = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert made["request"]["settings"]["normalise"] is False
    assert "no benchmark of other patients" in result.output
    assert "one patient" in json.loads((tmp_path / "out" / "benchmark.json").read_text())["caution"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "what is to be run"),
        (["nowhere"], "holds no section"),
        (["nowhere", "--hest-bench", "task"], "what is to be run"),
        (["--hest-bench", "task", "--patient", "A=P"], "has its own folds"),
        (["--hest-bench", "task"], "var_50genes.json"),
    ],
)
def test_the_command_refuses_what_it_cannot_run(tmp_path, arguments, words):
    result = CliRunner().invoke(app, ["benchmark", *arguments, "-o", str(tmp_path / "out")])
    assert isinstance(result.exception, InputError)
    assert words in str(result.exception)


def test_the_process_is_not_asked_for_variances_that_nothing_reads(monkeypatch):
    """They cost more than the means: a system of equations for every place."""
    from types import SimpleNamespace

    from c2lst.benchmark.methods import gaussian_process
    from c2lst.prediction.place import AdditiveGaussianProcess

    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 4))
    training = SimpleNamespace(
        features=features,
        expression=np.abs(features @ rng.normal(size=(4, 6))),
        section=SimpleNamespace(library_size=np.full(30, 100.0)),
        settings=SimpleNamespace(seed=0),
    )
    query = SimpleNamespace(features=rng.normal(size=(5, 4)))
    expected = gaussian_process(training, query)
    monkeypatch.setattr(AdditiveGaussianProcess, "predict", None)
    np.testing.assert_array_equal(gaussian_process(training, query), expected)
    assert expected.shape == (5, 6) and (expected >= 0).all()


def test_a_benchmark_has_one_writer(sections, quick, tmp_path):
    with one_writer(tmp_path / "b"), pytest.raises(InputError, match="another c2lst works"):
        run_benchmark(leave_one_out(sections), tmp_path / "b", quick)
