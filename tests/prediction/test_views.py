from __future__ import annotations

import numpy as np
import pytest

from c2lst.errors import InputError
from c2lst.prediction import views
from c2lst.prediction.views import choose_view


def draw(n: int = 60, genes: int = 15, seed: int = 0):
    rng = np.random.default_rng(seed)
    told, blind = rng.normal(size=(n, 2)), rng.normal(size=(n, 2))
    y = 3 + np.outer(np.sin(told[:, 0]), rng.normal(size=genes))
    return y + 0.3 * rng.normal(size=y.shape), told, blind, rng.uniform(0, 2000, (n, 2))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("order", [("blind", "told"), ("told", "blind")])
def test_features_that_tell_are_chosen_whichever_is_the_default(order, seed):
    y, told, blind, place = draw(seed=seed)
    candidates = {"told": told, "blind": blind}
    choice = choose_view(y, {name: candidates[name] for name in order}, place)
    assert choice.name == "told"
    assert tuple(choice.errors) == order
    assert choice.errors["told"] < 0.8 * choice.errors["blind"]


def test_of_candidates_alike_the_default_stays():
    y, _, blind, place = draw()
    choice = choose_view(y, {"first": blind, "second": blind}, place)
    assert choice.name == "first"
    assert choice.errors["first"] == choice.errors["second"]


@pytest.mark.parametrize("seed", range(3))
def test_order_of_genes_and_unit_of_depth_do_not_matter(seed):
    y, told, blind, place = draw(24, seed=seed)
    size = np.random.default_rng(seed).uniform(500, 9000, 24)
    candidates = {"blind": blind, "told": told}
    choice = choose_view(y, candidates, place, library_size=size)
    other = choose_view(y[:, ::-1], candidates, place, library_size=3 * size)
    assert other.name == choice.name
    assert other.errors == pytest.approx(choice.errors)


def test_left_out_spots_are_not_seen(monkeypatch):
    y, _, blind, place = draw(40)
    seen = []

    class Spy(views.AdditiveGaussianProcess):
        @classmethod
        def fit(cls, observed, *args, **kwargs):
            seen.append({float(row) for row in observed[:, 0]})
            return super().fit(observed, *args, **kwargs)

    monkeypatch.setattr(views, "AdditiveGaussianProcess", Spy)
    choose_view(y, {"a": blind, "b": blind}, place, library_size=np.arange(1.0, 41))
    first = {float(row) for row in y[:, 0]}
    left = [first - part for part in seen[: views.FOLDS]]
    assert set.union(*left) == first
    assert sum(len(part) for part in left) == 40


def test_few_spots_or_one_candidate_keep_the_default():
    y, told, blind, place = draw(views.LEAST_SPOTS - 1)
    choice = choose_view(y, {"blind": blind, "told": told}, place)
    assert (choice.name, choice.errors) == ("blind", {})
    y, told, _, place = draw()
    assert choose_view(y, {"told": told}, place).name == "told"
    with pytest.raises(InputError, match="no candidates"):
        choose_view(y, {}, place)
