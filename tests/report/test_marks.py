from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from c2lst.report.marks import Axis, Mark, ends_of
from c2lst.report.scores import Estimate


@given(
    values=st.lists(st.floats(-1, 5), min_size=1, max_size=8),
    width=st.floats(0, 2),
)
def test_marks_and_ticks_stay_on_the_axis(values: list[float], width: float) -> None:
    estimates = [Estimate(value, value - width, value + width) for value in values]
    ends = ends_of(estimates)
    axis = Axis.of(ends, estimates[0])
    assert 1 <= len(axis.ticks) <= 7
    assert all(-0.01 <= place <= 100.01 for place, _ in axis.ticks)
    assert len({label for _, label in axis.ticks}) == len(axis.ticks)
    for estimate in estimates:
        mark = Mark.of(estimate, ends)
        assert mark.centre is not None
        assert 0 <= mark.left <= mark.centre + 0.01 <= mark.left + mark.width + 0.03 <= 100.05
