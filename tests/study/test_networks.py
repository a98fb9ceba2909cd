"""Arms that train more than one network: a study grows by all of them, and its page shows them."""

import dataclasses
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from c2lst.errors import InputError
from c2lst.prediction import network_baselines
from c2lst.study import StudySettings, run_study, running
from c2lst.study.generators import HEADS, generator_lines
from c2lst.study.results import read_table
from toy import toy_settings

ARMS = ["ratio-0-frozen", "ratio-2-frozen", "advised-frozen"]
BASELINES = ["baseline-resnet-50", "baseline-densenet-121"]
GRID = StudySettings(
    fractions=(0.5,),
    ratios=(2,),
    controls=(),
    seeds=1,
    networks=("frozen",),
    baselines=("densenet-121", "resnet-50"),
    advised=True,
    generator=True,
)


def settings(folder, encoder="central"):
    return toy_settings(folder, prediction={"encoder": encoder})


@pytest.fixture(scope="module")
def grown(finished, small_legacy, tmp_path_factory):
    """The finished study with these arms; interrupted before each of them. And what was done."""
    folder = tmp_path_factory.mktemp("grown")
    copy, done = Path(shutil.copytree(finished, folder / "study")), []
    carry_out, stop = running.carry_out, iter([True, False] * 10)

    def interrupted(study, cell):
        if next(stop):
            raise KeyboardInterrupt
        carry_out(study, cell)
        done.append(cell.arm.title)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "carry_out", interrupted)
        patch.setattr(network_baselines, "EPOCHS", 1)
        for _ in GRID.arms():
            try:
                outcome = run_study([small_legacy], copy, settings(folder), GRID)
            except KeyboardInterrupt:
                continue
            assert outcome.failed == {}
            return copy, done
    raise AssertionError("it does not end")


def test_each_arm_is_trained_once(grown):
    assert grown[1] == [*ARMS, *BASELINES]


def test_every_arm_has_its_rows_beside_those_of_before(grown, finished):
    table, before = read_table(grown[0]), read_table(finished)
    rows = set(zip(table["arm"], table["network"], table["method"], strict=True))
    whole, alone = "c2lst (image + place)", "network"
    new = {(arm, "frozen", m) for arm in ("ratio-0", "ratio-2") for m in (whole, alone)}
    new |= {("advised", "frozen", whole)}  # a network alone is no advice
    new |= {("baseline", "", "resnet-50"), ("baseline", "", "densenet-121")}
    assert rows - set(zip(before["arm"], before["network"], before["method"], strict=True)) == new
    advised = table.set_index("arm").loc["advised"]
    assert (advised["networks"] > 0) == (advised["steps"] > 0)
    # An encoder is none of the business of networks that read pixels: their cells stay.
    same = table[(table["network"] == "resnet-tiny")].reset_index(drop=True)
    old = before[before["network"] == "resnet-tiny"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, old, check_like=True)
    baselines = table.set_index("method").loc[["resnet-50", "densenet-121"]]
    assert baselines[["mae", "skill", "pearson"]].notna().all().all()
    assert baselines["coverage"].isna().all()


def test_its_page_names_them_in_plain_words(grown):
    page = (grown[0] / "study.html").read_text(encoding="utf-8")
    for title in ("ResNet-50, real only", "DenseNet-121, real only", "c2lst + frozen: as advised"):
        assert title in page


def test_another_encoder_makes_other_cells(grown, small_legacy, tmp_path):
    copy = Path(shutil.copytree(grown[0], tmp_path / "study"))
    few = dataclasses.replace(GRID, ratios=(0,), controls=(), baselines=(), advised=False)
    run_study([small_legacy], copy, settings(tmp_path, "random"), few)
    cells = list(copy.glob("splits/*/*/cells/ratio-0-frozen-*"))
    assert len(cells) == 2
    found = [json.loads((cell / "cell.json").read_text())["prediction"] for cell in cells]
    assert {one["encoder"] for one in found} == {"central", "random"}


def test_an_encoder_that_is_unknown_or_that_nothing_reads_is_refused(small_legacy, tmp_path):
    pixels = dataclasses.replace(GRID, networks=("resnet-tiny",))
    for grid, encoder, problem in (
        (GRID, "clip", r"clip.*central, imagenet"),
        (pixels, "central", "is of a frozen network.*resnet-tiny"),
    ):
        with pytest.raises(InputError, match=problem):
            run_study([small_legacy], tmp_path / "study", settings(tmp_path, encoder), grid)
    assert not (tmp_path / "study").exists()


def test_the_generator_of_each_split_is_judged_and_shown(grown):
    (line,) = generator_lines(grown[0])
    assert line["fraction"].startswith("50") and line["seed"] == "0"
    assert len(line["values"]) == len(HEADS)
    page = (grown[0] / "study.html").read_text(encoding="utf-8")
    assert all(value in page for value, _ in line["values"])
