import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from c2lst.cli.app import app
from c2lst.errors import InputError
from c2lst.evaluation.expression import DEFAULT_METHOD
from c2lst.prediction.baselines import REGISTRY
from c2lst.study import is_study, write_study_page
from c2lst.study.figures import style
from c2lst.study.grid import NO_NETWORK
from c2lst.study.regimes import standings
from c2lst.study.results import BLOCK_TABLE, read_means, read_table
from c2lst.study.tables import standing_table
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
    assert names == {"fractions", "genes", "regimes", "maps-A-random", "maps-B-random"}
    for path in (study / "figures").iterdir():
        pixels = np.asarray(Image.open(path).convert("RGB"))
        coloured = (np.ptp(pixels.astype(int), axis=2) > 60).mean()
        assert min(pixels.shape[:2]) > 400 and coloured > 1e-4, path.name


def test_the_page_is_one_file_that_loads_nothing(study):
    text = (study / "study.html").read_text(encoding="utf-8")
    loaded = Loads(text).found
    assert len(loaded) == 5
    assert all(uri.startswith("data:image/png;base64,") for uri in loaded)


def test_the_page_holds_the_papers_table_and_says_that_steps_are_equal(study):
    text = (study / "study.html").read_text(encoding="utf-8")
    table = pd.read_csv(study / "table.csv").set_index(["section", "fraction", "arm", "method"])
    for arm in ("ratio-0", "ratio-1", "ratio-5"):
        assert f"{table.loc[('A', 0.1, arm, 'network'), 'mae']:.4f}" in text
    drop = 100 * table.loc[("B", 0.5, "ratio-5", "network"), "mae_drop"]
    assert f"{drop:+.1f}" in text
    assert "same number of optimiser steps" in text and "50\u00a0% of a mini-batch" in text


def test_the_papers_drops_stand_beside_ours_where_it_has_any(tmp_path):
    folder = write_fake_study(tmp_path, sections=("A",), fractions=(0.25, 0.3), ratios=(0, 10))
    text = write_study_page(folder).read_text(encoding="utf-8")
    # 1 - 0.5016 / 0.5451 and 1 - 0.3546 / 0.4115 are the paper's extremes at 25 %.
    assert text.count("+8.0 to +13.8") == 2  # c2lst and its network, at 25 % alone


def test_the_page_says_where_c2lst_is_best(study):
    text = (study / "study.html").read_text(encoding="utf-8")
    assert "c2lst + resnet-tiny: real + 5× synthetic: best in 4, tied in 0, behind in 0" in text


def test_a_standing_is_told_of_the_places_that_it_has(study):
    every = standings(read_table(study, BLOCK_TABLE))
    some = [s for s in every if s.section == "A" or s.method.arm == NO_NETWORK]
    places = {m["title"]: m["places"] for m in standing_table(some)["methods"]}
    assert places.pop("c2lst, no network") == "4 places"
    assert set(places.values()) == {"2 places"}


def test_one_seed_leaves_the_standing_undecided(tmp_path):
    folder = write_fake_study(tmp_path, sections=("A",), seeds=1)
    text = write_study_page(folder).read_text(encoding="utf-8")
    assert "c2lst, no network: undecided in 2 of 2 places, against every baseline" in text
    assert text.count("<td>undecided</td><td>–</td>") == 2 * 4  # places, genes in all and by third


def test_a_network_alone_is_no_advice(tmp_path):
    """Cells of before hold it: of a network that the advice may have left out."""
    folder = write_fake_study(tmp_path, sections=("A",), advised=True)
    text = write_study_page(folder).read_text(encoding="utf-8")
    assert "c2lst + resnet-tiny: as advised" in text
    assert "resnet-tiny alone: as advised" not in text
    for read in (read_table, read_means):
        rows = read(folder)
        assert set(rows.loc[rows["arm"] == "advised", "method"]) == {DEFAULT_METHOD}


def test_cells_that_are_not_done_are_counted(study, tmp_path):
    copy = shutil.copytree(study, tmp_path / "study")
    for cell in copy.glob("splits/A/*/cells/shuffled-*"):
        shutil.rmtree(cell)
    text = write_study_page(copy).read_text(encoding="utf-8")
    assert "6 cells of the grid are not done" in text


def test_every_figure_has_words_for_those_who_do_not_see_it(study):
    text = (study / "study.html").read_text(encoding="utf-8")
    assert text.count("<img ") == 5 and 'alt=""' not in text and "<img alt" not in text


def test_the_report_command_finds_a_study(study, tmp_path):
    copy = shutil.copytree(study, tmp_path / "study")
    (copy / "study.html").unlink()
    result = CliRunner().invoke(app, ["report", str(copy)], catch_exceptions=False)
    assert result.exit_code == 0 and (copy / "study.html").is_file()


def test_a_study_of_real_pairs_alone_is_drawn_too(tmp_path):
    folder = write_fake_study(tmp_path, sections=("A",), networks=(), seeds=1)
    text = write_study_page(folder).read_text(encoding="utf-8")
    assert "no synthetic pairs" in text and 'id="ratios"' not in text


def test_a_study_without_a_finished_cell_is_refused(study, tmp_path):
    shutil.copyfile(study / "study.json", tmp_path / "study.json")
    assert is_study(tmp_path)
    with pytest.raises(InputError, match="no cell"):
        write_study_page(tmp_path)


def test_every_baseline_has_a_colour_of_its_own():
    hues = [style.BASELINE_HUES[name] for name in REGISTRY]
    assert len(set(hues)) == len(hues)
