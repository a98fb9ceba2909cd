import pytest

from c2lst.study.paper import BY_RATIO, relative_drops


def test_every_slide_has_real_only_and_ten_ratios():
    assert {len(errors) for errors in BY_RATIO.values()} == {11}


def test_drops_are_the_papers_extremes():
    low, high = relative_drops(0.25, 10)
    assert low == pytest.approx(1 - 0.5016 / 0.5451) and high == pytest.approx(1 - 0.3546 / 0.4115)
    assert relative_drops(0.05, 10)[1] == pytest.approx(1 - 0.3680 / 0.5950)


@pytest.mark.parametrize(("fraction", "ratio"), [(0.25, 0), (0.25, 11), (0.1, 5), (0.3, 10)])
def test_where_the_paper_has_nothing_nothing_is_said(fraction, ratio):
    assert relative_drops(fraction, ratio) is None
