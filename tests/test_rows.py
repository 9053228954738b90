"""Rows are a map from tick to action: each operation against the same operation on a dict."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.motion.rows import Rows, concat, nothing, rows

ticks = st.integers(-30, 60)


def numbered(tick: int, n: int) -> Rows:
    """Rows whose x is their tick."""
    action = np.zeros((n, 10))
    action[:, 0] = np.arange(tick, tick + n)
    return rows(tick, action)


def as_dict(part: Rows) -> dict[int, float]:
    return {part.tick + i: float(x) for i, x in enumerate(part.action[:, 0])}


@given(ticks, st.integers(0, 40), ticks, ticks)
def test_between_and_since_pick_by_tick(tick, n, start, end):
    whole = numbered(tick, n)
    assert as_dict(whole.between(start, end)) == {t: t for t in range(tick, tick + n) if start <= t < end}
    part = whole.between(start, end)
    assert whole.tick <= part.tick <= part.end <= whole.end  # where it is empty, too
    assert as_dict(whole.since(start)) == {t: t for t in range(tick, tick + n) if start <= t}


@settings(max_examples=40)
@given(ticks, st.integers(0, 40), st.integers(0, 40))
def test_what_was_cut_is_joined_again(tick, n, at):
    whole = numbered(tick, n)
    again = concat(whole.between(tick, tick + at), whole.since(tick + at))
    assert again.tick == whole.tick and np.array_equal(again.action, whole.action)


def test_at_and_end():
    part = numbered(5, 3)
    assert len(part) == 3 and part.end == 8
    assert part.at(5)[0] == 5 and part.at(7)[0] == 7
    for outside in (4, 8):
        with pytest.raises(IndexError, match=rf"expected a tick in 5\.\.7, got {outside}"):
            part.at(outside)


def test_concat_passes_over_empty_rows_wherever_they_are():
    joined = concat(nothing(99), numbered(3, 2), nothing(-4), numbered(5, 1), nothing(6))
    assert as_dict(joined) == {3: 3, 4: 4, 5: 5}
    assert concat(nothing(7), nothing(9)).tick == 7 and len(concat()) == 0


@pytest.mark.parametrize("tick", [4, 6])
def test_concat_refuses_a_tick_twice_and_a_tick_missing(tick):
    with pytest.raises(ValueError, match=f"go on at tick 5, got {tick}"):
        concat(numbered(3, 2), numbered(tick, 2))


@pytest.mark.parametrize("shape", [(10,), (3, 9), (2, 3, 10)])
def test_rows_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected actions of shape \(n, 10\)"):
        rows(0, np.zeros(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_refused(bad):
    action = np.zeros((4, 10))
    action[3, 9] = bad
    with pytest.raises(ValueError, match="finite"):
        rows(0, action)


def test_rows_are_float32():
    assert rows(0, np.zeros((2, 10), np.float64)).action.dtype == np.float32
