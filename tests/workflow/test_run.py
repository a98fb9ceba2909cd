import dataclasses
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from c2lst import workflow
from c2lst.data.layout import HestPlace
from c2lst.data.section import Section
from c2lst.errors import InputError
from c2lst.evaluation.expression.names import LEFT_OUT
from c2lst.storage import one_writer
from c2lst.workflow import stages
from c2lst.workflow.rundir import STAGES
from children import exit_codes
from launched import run_far_away
from toy import TOML, toy_settings

ARTEFACTS = (
    "manifest.json",
    "split.json",
    "preprocessing.json",
    "section",
    "central",
    "adapter",
    "synthetic",
    "predictor",
    "predictor_real_only",
    "advice.json",
    "predictions.h5ad",
    "metrics.csv",
    "gene_metrics.csv",
    "comparisons.csv",
    "report.html",
)


@pytest.fixture(scope="module")
def whole(small_legacy, tmp_path_factory):
    """An uninterrupted toy run."""
    folder = tmp_path_factory.mktemp("run")
    return workflow.run(small_legacy, folder / "run", toy_settings(folder))


def test_a_run_leaves_every_artefact_and_no_scratch(whole):
    assert all((whole / name).exists() for name in ARTEFACTS)
    assert not [p.name for p in whole.iterdir() if p.name.startswith(".")]
    manifest = json.loads((whole / "manifest.json").read_text())
    assert [manifest["stages"][name]["status"] for name in STAGES] == ["done"] * len(STAGES)
    assert any("slide's own tissue" in note for note in manifest["notes"])


def test_the_metrics_hold_every_baseline_and_the_twin(whole):
    import pandas as pd

    metrics = pd.read_csv(whole / "metrics.csv").set_index("method")
    expected = {
        "c2lst (image + place)",
        "train_mean",
        "train_median",
        "knn",
        "inverse_distance",
        "kriging",
        "kriging_shared",
        "ridge",
        "ridge_coordinates",
        "network_cotrained",
        "network_real_only",
        "predicted_real_only",
    }
    assert expected <= set(metrics.index)
    assert metrics.loc["train_median", "skill"] == 0
    assert metrics[["mae", "pearson", "skill"]].notna().all().all()


def test_networks_are_added_to_the_baselines_of_a_run_that_is_there(
    whole, small_legacy, tmp_path, monkeypatch
):
    import pandas as pd

    from c2lst.prediction import network_baselines

    monkeypatch.setattr(network_baselines, "EPOCHS", 1)
    copy, done = Path(shutil.copytree(whole, tmp_path / "run")), []
    before = json.loads((copy / "manifest.json").read_text())["stages"]
    assert "--baselines resnet-50 densenet-121 adds" in before["baselines"]["summary"]["networks"]
    assert "--baselines resnet-50 densenet-121 adds" in (copy / "report.html").read_text()
    for name, work in stages.STAGE_FUNCTIONS.items():

        @functools.wraps(work)
        def noted(*arguments, name=name, work=work):
            done.append(name)
            return work(*arguments)

        monkeypatch.setitem(stages.STAGE_FUNCTIONS, name, noted)
    settings = toy_settings(tmp_path, baselines=("densenet-121", "resnet-50"))
    workflow.run(small_legacy, copy, settings)
    assert done == ["baselines", "predict", "evaluate", "report"]
    metrics = pd.read_csv(copy / "metrics.csv").set_index("method")
    names = ["resnet_50", "densenet_121"]
    assert metrics.loc[names, ["mae", "pearson", "skill"]].notna().all().all()
    old = pd.read_csv(whole / "metrics.csv").set_index("method")
    pd.testing.assert_frame_equal(metrics.drop(index=names), old, check_like=True)
    assert "DenseNet-121, real only" in (copy / "report.html").read_text()


def test_every_spot_can_be_learnt_from(small_legacy, tmp_path):
    """A lab that has no spot to spare: no test spots, no metrics that look like theirs, a map."""
    import anndata
    import pandas as pd

    frozen = {"network": "frozen", "encoder": "central"}
    settings = toy_settings(tmp_path, scheme="all", prediction=frozen, baselines=("resnet-50",))
    run = workflow.run(small_legacy, tmp_path / "run", settings)
    predictions = anndata.read_h5ad(run / "predictions.h5ad")
    assert set(predictions.obs["split"]) == {"train"}
    metrics = pd.read_csv(run / "metrics.csv")
    assert set(metrics["judged"]) == {LEFT_OUT}
    assert set(metrics["spots"]) == {predictions.n_obs}
    assert {"c2lst (image + place)", "kriging", "network_real_only"} <= set(metrics["method"])
    # A prediction that knew its spot would be nearly exact for the nearest neighbour.
    assert metrics.set_index("method").loc["knn", "mae"] > 0.05
    assert pd.read_csv(run / "coverage.csv")["group"].tolist() == ["all"]
    between = anndata.read_h5ad(run / "map.h5ad")
    assert between.n_obs > 2 * predictions.n_obs
    assert "no test spots exist" in (run / "report.html").read_text()
    # Its head remembers whose features it was trained on.
    known = json.loads((run / "predictor_real_only/networks/network.json").read_text())["encoder"]
    card = json.loads((run / "central" / "central.json").read_text())
    assert known["name"] == "central" and card["hash"][:12] in known["label"]
    # A network that is a baseline would have seen every spot that it is judged on.
    assert "resnet_50" not in set(metrics["method"])
    assert any(
        "has seen it" in note for note in json.loads((run / "manifest.json").read_text())["notes"]
    )


def test_interrupted_in_every_stage_a_run_ends_with_the_same_numbers(
    whole, small_legacy, tmp_path, monkeypatch
):
    settings, output = toy_settings(tmp_path), tmp_path / "run"
    functions = dict(stages.STAGE_FUNCTIONS)
    for name in STAGES:

        @functools.wraps(functions[name])
        def dying(*arguments, name=name):
            functions[name](*arguments)
            raise KeyboardInterrupt

        monkeypatch.setattr(stages, "STAGE_FUNCTIONS", functions | {name: dying})
        with pytest.raises(KeyboardInterrupt):
            workflow.run(small_legacy, output, settings)
        manifest = json.loads((output / "manifest.json").read_text())
        assert manifest["stages"][name]["status"] == "interrupted"
    monkeypatch.setattr(stages, "STAGE_FUNCTIONS", functions)
    workflow.run(small_legacy, output, settings)
    for name in ("metrics.csv", "gene_metrics.csv", "comparisons.csv"):
        assert (output / name).read_bytes() == (whole / name).read_bytes()


def test_a_killed_process_continues_to_the_same_numbers(whole, small_legacy, tmp_path):
    """SIGKILL at the first checkpoint of the central model, then the same command again."""
    (tmp_path / "toy.toml").write_text(TOML)
    output = tmp_path / "run"
    command = [sys.executable, "-m", "c2lst", "run", str(small_legacy), "-o", str(output)]
    command += ["--config", str(tmp_path / "toy.toml")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    try:
        while process.poll() is None and not list(output.glob(".work/central/checkpoint-*")):
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (output / "report.html").exists()
    (output / ".metrics.left").write_text("half a file, as a kill leaves it")
    (output / ".gitignore").write_text("the user's")
    subprocess.run(command, env=environment, check=True, capture_output=True)
    assert (output / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    assert [p.name for p in output.iterdir() if p.name.startswith(".")] == [".gitignore"]


def test_on_a_gpu_no_tensor_is_left_on_the_cpu(whole, small_legacy, tmp_path):
    import pandas as pd

    far = tmp_path / "run"
    call = (run_far_away, small_legacy, far, toy_settings(tmp_path))
    assert exit_codes([call], patience=600) == [0]
    assert json.loads((far / "manifest.json").read_text())["machine"]["device"] == "faraway"
    errors = [pd.read_csv(run / "metrics.csv").set_index("method")["mae"] for run in (whole, far)]
    pd.testing.assert_series_equal(*errors, rtol=0.01)  # sums are rounded in another order


def test_a_central_model_can_be_given(whole, small_legacy, tmp_path):
    central = whole / "central"
    output = workflow.run(small_legacy, tmp_path / "run", toy_settings(tmp_path), central=central)
    cards = [json.loads((p / "central" / "central.json").read_text()) for p in (whole, output)]
    assert cards[0]["hash"] == cards[1]["hash"]


def test_a_given_central_model_can_go_on_with_the_slide(whole, small_legacy, tmp_path):
    central = whole / "central"
    settings = toy_settings(tmp_path, slide_steps=2)
    output = workflow.run(small_legacy, tmp_path / "run", settings, central=central)
    cards = [json.loads((p / "central" / "central.json").read_text()) for p in (whole, output)]
    assert cards[1]["hash"] != cards[0]["hash"]
    assert cards[1]["provenance"]["started_from"]["hash"] == cards[0]["hash"]


def test_a_folder_of_something_else_is_left_alone(small_legacy, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="nothing in this one was touched"):
        workflow.run(small_legacy, tmp_path, toy_settings(tmp_path.parent))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_other_settings_do_not_overwrite_a_run(whole, small_legacy, tmp_path):
    before = (whole / "metrics.csv").read_bytes()
    with pytest.raises(InputError, match="another fraction"):
        workflow.run(small_legacy, whole, toy_settings(tmp_path, fraction=0.25))
    assert (whole / "metrics.csv").read_bytes() == before


def test_after_a_first_mistake_the_same_folder_will_do(small_legacy, tmp_path):
    output = tmp_path / "run"
    with pytest.raises(InputError, match="C9"):
        workflow.run(small_legacy, output, toy_settings(tmp_path), section="C9")
    short = toy_settings(tmp_path, fraction=0.25)
    with pytest.raises(InputError, match="genes"):
        workflow.run(small_legacy, output, short, genes=("NO-SUCH-GENE",))
    assert (output / "split.json").is_file()


def test_a_network_that_there_is_none_of_is_refused_before_anything_is_made(small_legacy, tmp_path):
    for given, problem in (
        ({"network": "vgg"}, "resnet-tiny.*frozen"),
        ({"encoder": "central"}, "is of a frozen network"),
        ({"network": "frozen", "encoder": "clip"}, "central, imagenet"),
    ):
        with pytest.raises(InputError, match=problem):
            workflow.run(small_legacy, tmp_path / "run", toy_settings(tmp_path, prediction=given))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("option", ["central", "collection"])
def test_missing_inputs_are_named_before_anything_is_made(small_legacy, tmp_path, option):
    with pytest.raises(InputError, match=option):
        workflow.run(
            small_legacy,
            tmp_path / "run",
            toy_settings(tmp_path),
            **{option: tmp_path / "absent"},
        )
    assert not (tmp_path / "run").exists()


def test_an_image_of_a_store_is_asked_for_by_its_name(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(stages, "run_stages", lambda run, inputs, settings: asked.append(inputs))
    (tmp_path / "slide.zarr").mkdir()
    workflow.run(tmp_path / "slide.zarr", tmp_path / "run", toy_settings(tmp_path), image="he")
    assert asked[0].image == Path("he")
    with pytest.raises(InputError, match="no such image"):
        workflow.run(tmp_path, tmp_path / "other", toy_settings(tmp_path), image="he")


def test_scanpy_and_squidpy_draw_the_predictions_unchanged(whole):
    import anndata
    import matplotlib

    matplotlib.use("Agg")
    import scanpy
    import squidpy

    predictions = anndata.read_h5ad(whole / "predictions.h5ad")
    gene = predictions.var_names[0]
    scanpy.pl.spatial(predictions, color=gene, show=False)
    squidpy.pl.spatial_scatter(predictions, color=gene)


def test_a_section_that_a_killed_attempt_left_is_not_taken_for_the_slide(
    small_legacy, small_section, tmp_path
):
    """Nothing was done, so that the folder may be given again, with another slide."""
    from c2lst.workflow.rundir import RunDirectory
    from c2lst.workflow.stages import RunInputs, read_stage

    run = RunDirectory(tmp_path / "run", {}, {}, "c2lst run")
    dataclasses.replace(small_section, name="OTHER").save(run.path("section"))
    theirs = HestPlace(run.path("section"), "OTHER").contours
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("contours")
    read_stage(run, RunInputs(small_legacy), toy_settings(tmp_path))
    assert Section.load(run.path("section")).name != "OTHER"
    assert theirs.read_text() == "contours"


def test_a_central_model_and_a_collection_contradict_each_other(small_legacy, tmp_path):
    with pytest.raises(InputError, match="so that none is pretrained"):
        workflow.run(
            small_legacy,
            tmp_path / "run",
            toy_settings(tmp_path),
            central="builtin",
            collection=tmp_path,
        )
    assert not (tmp_path / "run").exists()


def test_a_run_has_one_writer(small_legacy, tmp_path):
    with one_writer(tmp_path / "run"), pytest.raises(InputError, match="another c2lst works"):
        workflow.run(small_legacy, tmp_path / "run", toy_settings(tmp_path))
