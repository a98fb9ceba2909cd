import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from c2lst.data.readers import read
from c2lst.errors import InputError
from c2lst.evaluation.encoders import RandomEncoder
from c2lst.evaluation.ruler import SHIFT, Ruler
from c2lst.local.directions import at_random, of_genes, of_signature, warn_of_negative_counts
from c2lst.local.sweep import mean_spot, spot_profile, steps, sweep
from toy_local import BY, GENES, SETTINGS, STAIN, Painter, call, save_toy


@pytest.fixture
def painter():
    return Painter()


@pytest.fixture(scope="module")
def ruler():
    rng = np.random.default_rng(0)
    real = Painter().draw(rng.standard_normal((30, len(GENES))), range(1000, 1030), None)
    preprocessing = SimpleNamespace(stain=STAIN, patch_um=112.0)
    return Ruler.fit(real, preprocessing, RandomEncoder())


def moved(painter, ruler, gene, *, noises=4, nulls=11, **options):
    change = of_genes([gene], GENES)
    null = at_random(change, nulls, seed=0)
    values = steps(-2, 2, 5)
    profile = np.zeros(len(GENES))
    return sweep(
        painter, profile, change, values, noises, SETTINGS, ruler=ruler, nulls=null, **options
    )


def effects(result):
    return {effect.measure: effect for effect in result.effects()}


def test_a_gene_that_paints_darker_gets_the_slope_it_was_given(painter, ruler):
    found = effects(moved(painter, ruler, "A"))
    blue = found["haematoxylin"]
    assert blue.slope == pytest.approx(BY, rel=0.02)
    assert blue.low <= blue.slope <= blue.high and blue.ends == pytest.approx(BY, rel=0.02)
    assert blue.p == found[SHIFT].p == pytest.approx(1 / 12)
    assert abs(found["eosin"].slope) < 0.02 * BY


def test_a_gene_that_is_ignored_moves_nothing_and_is_no_discovery(painter, ruler):
    result = moved(painter, ruler, "L")
    for effect in result.effects():
        assert effect.slope == 0 and effect.p == 1, effect.measure
    assert (result.images == result.images[:, :1]).all()


def test_rows_are_noises_and_columns_steps_of_the_same_noise(painter, ruler):
    result = moved(painter, ruler, "A")
    assert result.images.shape == (4, 5, 16, 16, 3)
    assert len(np.unique(result.images[:, 2].reshape(4, -1), axis=0)) == 4
    profile = np.zeros((1, len(GENES)))
    profile[0, 0] = result.values[3]
    alone = painter.draw(profile, [int(result.seeds[1])], SETTINGS)
    np.testing.assert_array_equal(result.images[1, 3], alone[0])
    assert (result.measures[SHIFT][:, 2] == 0).all()
    assert (np.diff(result.images.astype(int).mean(axis=(2, 3, 4)), axis=1) < 0).all()
    rows = result.rows()
    assert len(rows) == 20 and rows[7]["sd"] == 0 and rows[7]["noise"] == 1
    assert rows[8]["haematoxylin"] == result.measures["haematoxylin"][1, 3]


def test_the_null_is_drawn_under_the_same_noises(painter, ruler):
    """Against itself under other noises a gene may win; under the same ones it ties, always."""
    change = of_genes(["A"], GENES)
    same = sweep(
        painter, np.zeros(len(GENES)), change, steps(-2, 2, 5), 3, SETTINGS,
        ruler=ruler, nulls=np.stack([change] * 9),
    )  # fmt: skip
    assert all(effect.p == 1 for effect in same.effects())


def test_without_a_null_there_is_no_p_and_of_one_noise_no_interval(painter, ruler):
    effect = effects(moved(painter, ruler, "A", noises=1, nulls=0))["haematoxylin"]
    assert math.isnan(effect.p) and math.isnan(effect.low)
    assert json.loads(json.dumps(effect.to_dict(), allow_nan=False))["p"] is None


def test_an_interrupted_sweep_goes_on_and_another_is_refused(painter, ruler, tmp_path):
    first = moved(painter, ruler, "A", directory=tmp_path)
    drawn = painter.drawn
    second = moved(painter, ruler, "A", directory=tmp_path)
    assert painter.drawn == drawn
    np.testing.assert_array_equal(first.images, second.images)
    with pytest.raises(InputError, match="another request"):
        moved(painter, ruler, "B", directory=tmp_path)


@given(low=st.integers(-50, 0), width=st.integers(1, 50), number=st.integers(2, 12))
def test_the_unmoved_profile_is_among_the_steps(low, width, number):
    low, high = low / 10, max(low + width, 0) / 10
    assume(low < high)
    values = steps(low, high, number)
    assert 0 in values and (np.diff(values) > 0).all()
    assert values[0] == low and values[-1] == high and number <= len(values) <= number + 1


@pytest.mark.parametrize("wrong", [(1, 2, 5), (-2, -1, 5), (0, 0, 5), (-1, 1, 1)])
def test_steps_that_cannot_be_taken_are_refused(wrong):
    with pytest.raises(InputError, match="steps"):
        steps(*wrong)


@example(moved={0, 1}, number=0)
@given(moved=st.sets(st.integers(0, 11), min_size=1, max_size=12), number=st.integers(0, 30))
def test_random_directions_give_the_same_weights_to_other_genes(moved, number):
    direction = np.zeros(12, dtype=np.float32)
    direction[list(moved)] = np.linspace(-1, 2, len(moved)) + 0.1
    found = at_random(direction, number, seed=1)
    np.testing.assert_array_equal(
        np.sort(found, axis=1), np.tile(np.sort(direction), (len(found), 1))
    )
    if len(moved) <= 6:
        assert not (found[:, list(moved)] != 0).any()
    if len(moved) == 1:
        assert len(found) == min(number, 11) == len(np.unique(found, axis=0))


def test_a_signature_is_read_with_its_heaviest_gene_moving_by_one(tmp_path, caplog):
    path = tmp_path / "tumour.csv"
    path.write_text("gene,weight\nA,2\nC,-4\nUNKNOWN,9\n")
    with caplog.at_level("INFO", logger="c2lst"):
        direction = of_signature(path, GENES)
    assert direction[0] == 0.5 and direction[2] == -1 and np.count_nonzero(direction) == 2
    assert "2 of 3 genes" in caplog.text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gene,weight\nX,1\n", "no gene of the signature"),
        ("gene,weight\n", "no gene of the signature"),
        ("gene,weight\nA,much\n", "no signature"),
        ("name,weight\nA,1\n", "no signature"),
        ("gene,weight\nA,1\nA,2\n", "twice"),
        ("gene,weight\nA,nan\n", "not finite"),
        (None, "no readable CSV"),
    ],
)
def test_signatures_that_are_none_are_refused(tmp_path, text, problem):
    path = tmp_path / "signature.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InputError, match=problem):
        of_signature(path, GENES)


def test_an_unknown_gene_is_refused_with_one_like_it():
    with pytest.raises(InputError, match="perhaps ERBB2"):
        of_genes(["ERB2"], ("ERBB2", "FASN"))
    with pytest.raises(InputError, match="none is named"):
        of_genes([], GENES)


# The road from files, on a model of a few hundred weights.


@pytest.fixture(scope="module")
def made(small_legacy, tmp_path_factory):
    return save_toy(tmp_path_factory.mktemp("sweep"), read(small_legacy, size=16))


def test_only_training_spots_are_started_from(made):
    preprocessing = made.local.preprocessing
    test = made.split.test[0]
    with pytest.raises(InputError, match=f"{test}.*not a training spot"):
        spot_profile(made.section, made.split, preprocessing, test)
    with pytest.raises(InputError, match="is not on section"):
        spot_profile(made.section, made.split, preprocessing, "nowhere")
    start = mean_spot(made.section, made.split, preprocessing)
    nearest = spot_profile(made.section, made.split, preprocessing, start)
    scaled = preprocessing.expression(made.split.training(made.section))
    assert start in made.split.train
    assert np.linalg.norm(nearest) == pytest.approx(np.linalg.norm(scaled, axis=1).min())


def test_steps_below_no_count_are_said(made, caplog):
    direction = np.ones(12)
    profile, preprocessing = np.zeros(12), made.local.preprocessing
    warn_of_negative_counts(profile, direction, np.array([-0.01, 0, 0.01]), preprocessing)
    assert not caplog.text
    warn_of_negative_counts(profile, direction, np.array([-99, 0, 1]), preprocessing)
    assert "12 of 12 moved genes" in caplog.text


def test_the_command_writes_figure_table_and_numbers(made, tmp_path):
    gene = made.local.preprocessing.panel.genes[0]
    out = tmp_path / "sweep"
    result = call(
        made, "sweep", "-o", out, "--gene", gene, "--steps", 2, "--noises", 2, "--nulls", 2
    )
    assert result.exit_code == 0, result.output
    written = json.loads((out / "sweep.json").read_text())
    assert written["moved"] == {gene: 1.0} and written["spot"] in made.split.train
    assert written["steps"] == [-2, 0, 2] and len(written["effects"]) == 5
    assert len((out / "sweep.csv").read_text().splitlines()) == 7
    assert (out / "sweep.png").stat().st_size > 5000
    assert not (tmp_path / ".sweep.work").exists()


def test_the_command_moves_a_signature_from_a_spot_that_is_asked_for(made, tmp_path):
    genes = made.local.preprocessing.panel.genes
    (tmp_path / "tumour.csv").write_text(f"gene,weight\n{genes[0]},2\n{genes[1]},-1\n")
    asked = ("--signature", tmp_path / "tumour.csv", "--spot", made.split.train[-1])
    steps = ("--from", 0, "--to", 1, "--steps", 2, "--noises", 1, "--nulls", 0)
    out = tmp_path / "sweep"
    result = call(made, "sweep", "-o", out, *asked, *steps, "--sampler", "faithful")
    assert result.exit_code == 0, result.output
    written = json.loads((out / "sweep.json").read_text())
    assert written["moved"] == {genes[0]: 1.0, genes[1]: -0.5}
    assert written["spot"] == made.split.train[-1] and written["steps"] == [0, 1]
    assert written["sampler"] == "faithful"


def test_the_command_takes_one_kind_of_genes(made, tmp_path):
    for arguments in ((), ("--gene", "A", "--genes", "A,B")):
        result = call(made, "sweep", "-o", tmp_path / "out", *arguments)
        assert isinstance(result.exception, InputError) and "one of --gene" in str(result.exception)
