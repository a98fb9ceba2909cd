import pytest

from c2lst.diffusion.summary import describe


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (42, "42 s"),
        (200, "3.3 min"),
        (6 * 3600, "6 h"),
        (43.2 * 86400, "43 days"),
        (170.3 * 86400, "170 days"),
        (2000 * 86400, "2,000 days"),
    ],
)
def test_durations_are_told_in_words(seconds, words):
    assert describe(seconds) == words
