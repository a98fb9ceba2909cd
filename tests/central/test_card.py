import pytest

from c2lst.central.card import _average, _front_matter


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
    found = [line for line in _front_matter(licence).splitlines() if line.startswith("license")]
    assert found == lines


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
