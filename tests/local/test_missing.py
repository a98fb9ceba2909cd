import json

import numpy as np
import pytest

from c2lst.data.readers import read
from c2lst.errors import InputError
from c2lst.evaluation.encoders import RandomEncoder
from c2lst.local.missing import drop_genes, numbers_missing
from toy_local import GENES, SETTINGS, Painter, call, save_toy


@pytest.fixture(scope="module")
def profiles():
    return np.random.default_rng(1).standard_normal((6, len(GENES))).astype(np.float32)


@pytest.fixture(scope="module")
def real():
    profiles = np.random.default_rng(2).standard_normal((24, len(GENES)))
    return Painter().draw(profiles, range(1000, 1024), None)


def dropped(painter, profiles, real, **options):
    encoder = RandomEncoder()
    return drop_genes(painter, profiles, real, SETTINGS, encoder=encoder, **options)


def test_no_missing_gene_makes_no_difference_and_more_make_more(profiles, real):
    result = dropped(Painter(), profiles, real, number=2, trials=4)
    assert [level.missing for level in result.levels] == [0, 2, 6, 12]
    assert [level.trials for level in result.levels] == [1, 4, 4, 1]
    none, *_, everything = result.levels
    assert none.pixels == 0 and none.cosine == pytest.approx(1, abs=1e-6)
    pixels = [level.pixels for level in result.levels]
    assert pixels == sorted(pixels) and everything.pixels > 1
    assert everything.cosine < 1 - 1e-6


def test_all_genes_missing_is_the_mean_profile(profiles, real):
    result = dropped(Painter(), profiles, real, number=2, trials=1)
    assert result.mean_profile == (pytest.approx(1, abs=1e-6), 0)
    np.testing.assert_array_equal(result.gallery[:, -1], result.gallery[:, -2])
    assert result.gallery.shape == (6, 5, 16, 16, 3)


def test_a_choice_of_genes_is_missing_in_all_profiles_alike(profiles, real):
    class Watched(Painter):
        def draw(self, profiles, seeds, settings):
            seen.append(np.isnan(profiles))
            return super().draw(profiles, seeds, settings)

    seen = []
    dropped(Watched(), profiles, real, number=5, trials=3)
    five = next(mask for mask in seen if mask.sum(axis=1).max() == 5)
    choices = five.reshape(3, 6, 12)
    assert (choices == choices[:, :1]).all() and (choices.sum(axis=2) == 5).all()
    assert len(np.unique(choices[:, 0], axis=0)) > 1


def test_genes_that_nothing_depends_on_can_be_missing(real):
    """The painter looks at no gene beyond F, and at the mean these profiles are all others."""
    profiles = np.zeros((4, len(GENES)), dtype=np.float32)
    profiles[:, 6:] = 3
    result = dropped(Painter(), profiles, real)
    assert all(level.pixels == 0 for level in result.levels)
    assert result.another_noise[1] > 1


def test_interrupted_work_goes_on(profiles, real, tmp_path):
    painter = Painter()
    first = dropped(painter, profiles, real, trials=2, directory=tmp_path)
    drawn = painter.drawn
    second = dropped(painter, profiles, real, trials=2, directory=tmp_path)
    assert painter.drawn == drawn and first.to_dict() == second.to_dict()


@pytest.mark.parametrize("number", [0, -1, 13])
def test_a_wrong_number_of_genes_is_refused(number):
    with pytest.raises(InputError, match="genes to drop"):
        numbers_missing(number, 12)
    assert numbers_missing(5, 250) == [0, 5, 25, 125, 250]


def test_the_command_writes_figure_table_and_numbers(small_legacy, tmp_path):
    toy = save_toy(tmp_path, read(small_legacy, size=16))
    out = tmp_path / "dropped"
    result = call(toy, "drop-genes", "-o", out, "--trials", 2, "--spots", 3, "--number", 2)
    assert result.exit_code == 0, result.output
    written = json.loads((out / "drop_genes.json").read_text())
    assert [level["missing"] for level in written["levels"]] == [0, 2, 6, 12]
    assert set(written["spots"]) <= set(toy.split.train) and len(written["spots"]) == 3
    assert written["all_missing_to_mean_profile"]["pixels"] < 0.5
    assert len((out / "drop_genes.csv").read_text().splitlines()) == 5
    assert (out / "drop_genes.png").stat().st_size > 5000
    assert not (tmp_path / ".dropped.work").exists()
