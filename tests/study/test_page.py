import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from c2lst.cli.app import app
from c2lst.errors import InputError
from c2lst.study import is_study, write_study_page
from toy_study import write_fake_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of fake numbers, drawn."""
    folder = write_fake_study(tmp_path_factory.mktemp("fake"))
    write_study_page(folder)
    return folder


class Loads(HTMLParser):
    """Collects what a page would load."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "srcset", "data")]


def test_the_figures_are_drawn_and_none_is_blank(study):
    names = {path.stem for path in (study / "figures").iterdir()}
    assert names == {"fractions", "genes", "regimes"}
    for path in (study / "figures").iterdir():
        pixels = np.asarray(Image.open(path).convert("RGB"))
        coloured = (np.ptp(pixels.astype(int), axis=2) > 60).mean()
        assert min(pixels.shape[:2]) > 400 and coloured > 1e-4, path.name


def test_the_page_is_one_file_that_loads_nothing(study):
    text = (study / "study.html").read_text(encoding="utf-8")
    loaded = Loads(text).found
    assert len(loaded) == 3
    assert all(uri.startswith("data:image/png;base64,") for uri in loaded)


def test_the_page_holds_the_papers_table_and_says_that_steps_are_equal(study):
    text = (study / "study.html").read_text(encoding="utf-8")
    table = pd.read_csv(study / "table.csv").set_index(["section", "fraction", "arm", "method"])
    for arm in ("ratio-0", "ratio-1", "ratio-5"):
        assert f"{table.loc[('A', 0.1, arm, 'network'), 'mae']:.4f}" in text
    drop = 100 * table.loc[("B", 0.5, "ratio-5", "network"), "mae_drop"]
    assert f"{drop:+.1f}" in text
    assert "same number of optimiser steps" in text and "50\u00a0% of a mini-batch" in text


def test_the_report_command_finds_a_study(study, tmp_path):
    copy = shutil.copytree(study, tmp_path / "study")
    (copy / "study.html").unlink()
    result = CliRunner().invoke(app, ["report", str(copy)], catch_exceptions=False)
    assert result.exit_code == 0 and (copy / "study.html").is_file()


def test_a_study_of_real_pairs_alone_is_drawn_too(tmp_path):
    folder = write_fake_study(tmp_path, sections=("A",), ratios=(0,), controls=(), seeds=1)
    text = write_study_page(folder).read_text(encoding="utf-8")
    assert "no synthetic pairs" in text and 'id="genes"' not in text


def test_a_study_without_a_finished_cell_is_refused(study, tmp_path):
    shutil.copyfile(study / "study.json", tmp_path / "study.json")
    assert is_study(tmp_path)
    with pytest.raises(InputError, match="no cell"):
        write_study_page(tmp_path)
