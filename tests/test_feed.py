"""Feed rate: laws of how plan time passes, whatever is wished and however the plan grows."""

from collections.abc import Iterator
from itertools import pairwise
from math import floor

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from operators.motion.feed import DECELERATION, STOPPING_ROWS, advance, pace, stopping_rate, sustainable

paces = st.one_of(st.just(1.0), st.sampled_from([0.05, 0.4, 0.6, 0.9]), st.floats(0.05, 1))
# (rows the plan grows by, rate wished, cycles with it)
stretches = st.lists(st.tuples(st.sampled_from([0, 1, 2, 5, 24, 48]), paces, st.integers(0, 30)), max_size=8)


def drive(course: list[tuple[int, float, int]]) -> Iterator[tuple[float, float, int]]:
    """Position, rate and last row after each cycle, from rest at 0."""
    position, rate, last = 0.0, 0.0, 0
    yield position, rate, last
    for grown, wished, cycles in course:
        last += grown
        for _ in range(cycles):
            position, rate = advance(position, rate, last, wished)
            yield position, rate, last


@given(stretches)
def test_time_never_goes_back_nor_past_the_last_row_and_speed_changes_by_an_eighth_a_cycle(course):
    moved = 0.0
    for (before, rate_before, _), (position, rate, last) in pairwise(drive(course)):
        assert before <= position <= last and position - before <= 1
        assert 0 <= rate <= 1
        assert rate < 1 or position == floor(position)  # full rate only on whole rows
        if position < last:  # the cycle that arrives has only the rest left to go
            assert abs(rate - rate_before) <= DECELERATION + 1e-6
        # Half as much again where a linear ramp meets a stepwise one.
        assert abs((position - before) - moved) <= 1.5 * DECELERATION + 1e-6
        moved = position - before


@settings(max_examples=50)
@given(stretches)
def test_without_new_rows_it_comes_to_rest_exactly_on_the_last_row(course):
    *_, (position, rate, last) = drive([*course, (0, 1.0, 600)])
    assert position == last and rate == 0
    assert advance(position, rate, last) == (position, 0.0)


@given(stretches)
def test_after_any_braking_positions_are_whole_again_at_full_rate(course):
    *_, (position, rate, last) = drive(course)
    lack = 1 - rate
    assume(lack == 0 or lack > 1e-3)
    cycles = 0
    while rate < 1:
        position, rate = advance(position, rate, last + 10_000)
        cycles += 1
        assert cycles <= 1 + lack / DECELERATION + 2 / lack  # the ramp, and at most one tick to lose
    assert position == floor(position)
    assert advance(position, rate, last + 10_000) == (position + 1, 1.0)


def test_full_rate_is_kept_as_long_as_the_robot_can_still_stop():
    states = list(drive([(1000, 1.0, 100), (0, 1.0, 0)]))
    position, rate, _ = states[-1]
    assert rate == 1
    last, reached = position + 20, position
    while rate == 1:
        reached = position
        position, rate = advance(position, rate, int(last))
    assert last - reached == floor(STOPPING_ROWS)  # 4 rows left: it starts to brake, no earlier


def test_from_rest_full_rate_is_reached_in_8_cycles_and_4_rows():
    *_, (position, rate, _) = drive([(100, 1.0, 8)])
    assert (position, rate) == (4.0, 1.0)


def test_the_stopping_series_adds_up():
    for cycles in range(1, 9):
        rates = [DECELERATION * k for k in range(1, cycles + 1)]
        assert stopping_rate(sum(rates)) == pytest.approx(rates[-1])
    assert stopping_rate(STOPPING_ROWS) == 1.0 == stopping_rate(100) and stopping_rate(STOPPING_ROWS - 0.01) < 1


@pytest.mark.parametrize("slowest", [0.05, 0.4, 1.0])
def test_pace_keeps_between_slowest_and_full(slowest):
    found = {pace(remaining, due_in, slowest) for remaining in range(60) for due_in in range(-5, 200, 3)}
    assert min(found) == slowest and max(found) == 1


def test_pace_spends_the_rows_evenly_until_the_chunk_is_due():
    assert pace(STOPPING_ROWS + 15, 30, 0.1) == pytest.approx(0.5)
    assert pace(STOPPING_ROWS + 15, 30, 0.7) == 0.7  # slower than this is not wanted
    assert pace(STOPPING_ROWS + 30, 30, 0.1) == 1.0
    assert pace(STOPPING_ROWS + 2, 0, 0.1) == pytest.approx(0.5)  # overdue: a few cycles away


@pytest.mark.parametrize("due_in", [20, 30, 36, 50])
def test_a_slow_chunk_finds_the_robot_still_moving(due_in):
    """26 rows left at full rate: the robot slows down and has rows when the chunk comes."""
    position, rate, last = 0.0, 1.0, 26
    for cycle in range(due_in):
        position, rate = advance(position, rate, last, pace(last - position, due_in - cycle, slowest=0.4))
        assert rate >= 0.4 - 1e-9
    assert position < last


def test_sustainable_is_full_rate_until_a_chunk_cannot_bridge_two_delays():
    assert sustainable(48, 0) == sustainable(48, 21) == 1.0
    assert sustainable(48, 22) < 1
    assert sustainable(48, 60) == pytest.approx(43.5 / 121)


@pytest.mark.parametrize("delay", [24, 36, 60, 100])
@pytest.mark.parametrize("horizon", [24, 48])
def test_chunks_asked_for_one_after_the_other_last_at_the_sustainable_rate(horizon, delay):
    rate = sustainable(horizon, delay)
    position, last, observed = 0.0, horizon - 1.0, 0.0
    for _ in range(20):
        observed, position = position, position + delay * rate  # asked at once, in the cycle the last one came
        assert last - position >= STOPPING_ROWS - 1  # never brakes for want of rows
        last = observed + horizon - 1
    assert last - position < STOPPING_ROWS + delay * rate  # and no slower than needed
