import pytest

from c2lst.central.card import _average, _front_matter, _licence, _trainings


@pytest.mark.parametrize(
    ("licence", "lines"),
    [
        ("cc-by-nc-4.0", ["license: cc-by-nc-4.0"]),
        ("CC BY-NC 4.0", ["license: cc-by-nc-4.0"]),
        ("research: ask us", ["license: other", "license_name: research-ask-us"]),
        (None, []),
    ],
)
def test_the_hub_is_told_a_licence_that_it_knows(licence, lines):
    found = [line for line in _front_matter([licence]).splitlines() if line.startswith("license")]
    assert found == lines


def test_a_model_that_went_on_from_another_is_under_the_terms_of_both():
    first = {"patches": {"source": "SPIDER", "licence": "cc-by-nc-4.0"}}
    last = {"patches": {"source": "ours", "licence": "mit"}, "started_from": {"provenance": first}}
    trainings = list(_trainings(last))
    assert [t["patches"]["source"] for t in trainings] == ["ours", "SPIDER"]
    assert "license_name: cc-by-nc-4.0-and-mit" in _front_matter([_licence(t) for t in trainings])


@pytest.mark.parametrize(
    ("training", "told"),
    [
        ({"ema_decay": 0.999, "ema_lengths": []}, "decay 0.999"),
        ({"ema_decay": None, "ema_lengths": [0.05, 0.1]}, "length 0.05"),
        ({"ema_decay": None, "ema_lengths": []}, "none"),
    ],
)
def test_the_card_says_which_average_the_weights_are(training, told):
    assert told in _average(training)
