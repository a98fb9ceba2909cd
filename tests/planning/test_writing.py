import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from c2lst.cli.app import app
from c2lst.data.readers import read
from c2lst.data.split import SpotSplit
from c2lst.errors import InputError
from c2lst.planning.slide import SlideSpots, open_slide


def call(*arguments):
    return CliRunner().invoke(app, ["plan", *map(str, arguments)])


def test_a_plan_after_a_first_round_is_written_for_all_who_read_it(small_legacy, tmp_path):
    section = read(small_legacy, size=128)
    split = SpotSplit.draw(section, fraction=0.3, seed=0)
    split.save(tmp_path / "split.json")
    done = call(
        small_legacy, "--budget", 5, "--given", tmp_path / "split.json", "--encoder", "random",
        "-o", tmp_path / "plan",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    with (tmp_path / "plan" / "plan.csv").open() as file:
        rows = list(csv.DictReader(file))
    plan = json.loads((tmp_path / "plan" / "plan.json").read_text())
    shapes = json.loads((tmp_path / "plan" / "plan.geojson").read_text())["features"]
    assert [row["spot"] for row in rows] == plan["spots"]
    assert not set(plan["spots"]) & set(split.train)
    assert len(rows) == len(shapes) == 5
    assert plan["from_a_first_round"] and plan["given"] == len(split.train)
    position = {b: i for i, b in enumerate(section.barcodes.tolist())}
    for row, shape in zip(rows, shapes, strict=True):
        centre = section.centres_px[position[row["spot"]]]
        ring = np.array(shape["geometry"]["coordinates"][0])
        np.testing.assert_allclose(ring[:-1].mean(axis=0), centre, atol=1.0)
        np.testing.assert_allclose(float(row["x_um"]), centre[0] * section.mpp, atol=0.1)
    assert (tmp_path / "plan" / "plan.png").stat().st_size > 1000


def test_a_budget_is_refused_before_a_patch_is_looked_at(small_legacy, tmp_path, monkeypatch):
    monkeypatch.setattr(SlideSpots, "features", lambda *_: pytest.fail("patches were encoded"))
    done = call(small_legacy, "--budget", 5000, "--encoder", "random", "-o", tmp_path / "plan")
    assert isinstance(done.exception, InputError) and "budget, found 5000" in str(done.exception)


def test_regions_are_planned_where_regions_are_asked_for(small_legacy, tmp_path):
    done = call(
        small_legacy, "--budget", 18, "--shape", "roi", "--roi-um", 500, "--encoder", "random",
        "-o", tmp_path / "plan",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    plan = json.loads((tmp_path / "plan" / "plan.json").read_text())
    assert plan["shape"] == "roi" and plan["regions_um"]


def test_an_image_alone_gets_an_array_of_its_own(small_legacy, tmp_path):
    image = small_legacy / "S1.png"
    section = read(small_legacy, size=128)
    done = call(
        image, "--mpp", section.mpp, "--pitch", "150um", "--budget", 4, "--encoder", "random",
        "-o", tmp_path / "plan",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert len(json.loads((tmp_path / "plan" / "plan.json").read_text())["spots"]) == 4


def test_an_image_without_a_scale_or_counts_says_what_is_needed(small_legacy, tmp_path):
    image = small_legacy / "S1.png"
    with pytest.raises(InputError, match="how many µm"):
        open_slide(image)
    spots = open_slide(image, mpp=read(small_legacy, size=128).mpp)
    with pytest.raises(InputError, match="without counts"):
        spots.first_round(tmp_path / "split.json")


@pytest.mark.parametrize("option", ["section", "image"])
def test_what_is_of_a_slide_with_spots_is_refused_for_an_image(small_legacy, option):
    image = small_legacy / "S1.png"
    with pytest.raises(InputError, match=f"--{option}: is of a slide with spots"):
        open_slide(image, mpp=1.0, **{option: image})
