from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bad_inputs.case import fingerprint
from c2lst.cli.app import app
from c2lst.data.section import Section
from c2lst.errors import InputError
from miniatures.hest import write_hest
from miniatures.spaceranger import write_visium

runner = CliRunner()


def ingest(*arguments):
    return runner.invoke(app, ["ingest", *map(str, arguments)], catch_exceptions=False)


def test_the_summary_says_what_was_read_and_how(small_legacy, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    result = ingest(small_legacy, "-o", tmp_path / "out", "--size", 16)
    assert result.exit_code == 0
    for words in (
        "legacy Spatial Transcriptomics: it has S1.png", "72", "60", "2, from the spots' pitch",
        "112 µm in 16 px", "0% with other patches", "of 72 spots", "none", "out",
        "S1_spatial_plots.png",
    ):  # fmt: skip
        assert words in result.output, words
    assert (tmp_path / "out/spatial_plots/S1_spatial_plots.png").is_file()


@pytest.mark.parametrize("write", [write_hest, write_visium])
def test_the_source_is_left_as_it_was(write, tmp_path):
    truth = write(tmp_path / "source")
    before = fingerprint(tmp_path / "source")
    source = getattr(truth, "source", tmp_path / "source")
    assert ingest(source, "-o", tmp_path / "out", "--size", 32).exit_code == 0
    assert fingerprint(tmp_path / "source") == before
    assert len(Section.load(tmp_path / "out")) > 20


def test_options_reach_the_reader(tmp_path):
    truth = write_visium(tmp_path / "source", fullres=True)
    image = truth.image.rename(tmp_path / "slide.tif")
    result = ingest(
        *(truth.source, "-o", tmp_path / "out", "--format", "visium", "--image", image),
        *("--section", "mine", "--mpp", 2.02, "--patch-um", 100, "--size", 24),
    )
    assert result.exit_code == 0
    section = Section.load(tmp_path / "out", "mine")
    assert (section.mpp, section.image_path) == (2.02, image)
    assert (section.patches.patch_um, section.patches.size) == (100.0, 24)


@pytest.fixture
def mirrored(small_legacy, tmp_path):
    """A slide whose tissue lies in a corner, mirrored."""
    folder = shutil.copytree(small_legacy, tmp_path / "source")
    with Image.open(folder / "S1.png") as image:
        wide = Image.new("RGB", (image.width * 2, image.height), (250, 248, 250))
        wide.paste(image, (image.width, 0))
    wide.save(folder / "S1.png")
    return folder


def test_a_misaligned_slide_leaves_a_picture_beside_the_output(mirrored, tmp_path):
    before = fingerprint(mirrored)
    with pytest.raises(InputError, match="mirror the image left to right") as caught:
        ingest(mirrored, "-o", tmp_path / "out")
    overlay = tmp_path / "out.overlay.png"
    assert str(overlay) in str(caught.value)
    with Image.open(overlay) as picture:
        assert np.asarray(picture).std() > 10
    assert not (tmp_path / "out").exists()
    assert fingerprint(mirrored) == before


def test_the_picture_goes_once_the_slide_is_mended(mirrored, tmp_path):
    with pytest.raises(InputError):
        ingest(mirrored, "-o", tmp_path / "out")
    with Image.open(mirrored / "S1.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored / "S1.png")
    with Image.open(mirrored / "S1.png") as image:
        image.crop((0, 0, image.width // 2, image.height)).transpose(
            Image.Transpose.FLIP_LEFT_RIGHT
        ).save(mirrored / "S1.png")
    assert ingest(mirrored, "-o", tmp_path / "out", "--size", 16).exit_code == 0
    assert not (tmp_path / "out.overlay.png").exists()


def test_bad_input_ends_with_exit_code_2_and_one_line(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    command = [sys.executable, "-m", "c2lst", "ingest", str(tmp_path), "-o", str(tmp_path / "out")]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("section", ["her2st/C2", "her2st/C3", "her2st/C4", "her2st/C5"])
def test_the_breast_sections_are_ingested(real_data, tmp_path, section):
    assert ingest(real_data / section, "-o", tmp_path / "out", "--size", 32).exit_code == 0
    found = Section.load(tmp_path / "out")
    assert found.mpp == pytest.approx(0.69, abs=0.01)
    assert found.reading["spots_on_tissue"] > 0.9 * len(found)


@pytest.mark.parametrize("section", ["mob/MOB1", "mob/MOB2"])
def test_the_olfactory_bulbs_are_ingested(real_data, tmp_path, section):
    assert ingest(real_data / section, "-o", tmp_path / "out", "--size", 32).exit_code == 0
    assert Section.load(tmp_path / "out").pitch_um == 141.0


@pytest.mark.parametrize(
    "source", ["crchisto", "slides", "slides/cmu-1-small-region.svs", "crchisto/img1.png"]
)
def test_images_without_counts_are_sent_to_collect(real_data, tmp_path, source):
    with pytest.raises(InputError, match="c2lst collect"):
        ingest(real_data / source, "-o", tmp_path / "out")
