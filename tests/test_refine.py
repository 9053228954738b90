"""Reuse-then-refine: which rows go into the codec, which come out, and that it pays.

The codec here is mostly a stub that keeps the splice it was given: what is spliced is the whole method.
"""

from functools import partial
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.chunks import codec
from operators.chunks.codec import DctCodec
from operators.chunks.refine import HANDOVER, METHODS, LateChunk, eased, refine, reuse_then_refine
from operators.motion.join import FADE_ROWS
from operators.motion.plan import HISTORY
from operators.motion.rows import Rows, concat, nothing, rows
from tests.chunks import line

H = 48


class Recorder:
    """A codec that keeps the splice and returns it marked."""

    def __init__(self):
        self.splices: list[Rows] = []

    def __call__(self, splice: Rows) -> Rows:
        self.splices.append(splice)
        return Rows(splice.tick, splice.action + np.float32(1000))


def marked(tick: int, n: int, mark: float) -> Rows:
    """n rows whose x is their tick and whose y says where they come from."""
    action = np.zeros((n, 10))
    action[:, 0], action[:, 1], action[:, 3], action[:, 7] = np.arange(tick, tick + n), mark, 1, 1
    return rows(tick, action)


EXECUTED, PLANNED, PREDICTED = 1, 2, 3  # marks


def situation(t0: int, delay: int, left: int, history: int = HISTORY) -> tuple[Rows, Rows, Rows]:
    """Predicted, executed and planned rows `delay` ticks after the observation, `left` rows of the old plan to go."""
    now = t0 + delay
    start = max(0, now - history)
    return marked(t0, H, PREDICTED), marked(start, now - start, EXECUTED), marked(now, left, PLANNED)


def expected_reuse(method: str, delay: int, margin: int) -> int:
    return {"rtr": delay + 2 + margin, "rtr_paper": delay, "rtr_released": max(24, delay)}[method]


@settings(max_examples=100)
@given(
    method=st.sampled_from(METHODS),
    t0=st.integers(0, 500),
    delay=st.integers(1, H - 1),
    left=st.integers(0, H),
    margin=st.integers(0, 12),
)
def test_the_splice_is_executed_then_planned_then_predicted(method, t0, delay, left, margin):
    predicted, executed, planned = situation(t0, delay, left)
    codec = Recorder()
    upcoming = refine(method, predicted, executed, planned, codec, margin)
    (splice,) = codec.splices
    reused = min(expected_reuse(method, delay, margin), delay + left, H - 1)
    # H rows, each tick once, from the observation on.
    assert splice.tick == t0 and np.array_equal(splice.action[:, 0], np.arange(t0, t0 + H))
    assert splice.action[:, 1].tolist() == [EXECUTED] * delay + [PLANNED] * (reused - delay) + [PREDICTED] * (
        H - reused
    )
    assert np.array_equal(splice.action[:delay], executed.since(t0).action)  # bit by bit
    # Handed over: all that the codec made of the ticks to come.
    assert upcoming.tick == t0 + delay == planned.tick and len(upcoming) == H - delay
    assert np.array_equal(upcoming.action, splice.action[delay:] + np.float32(1000))


def test_reuse_counts_the_delay_the_handover_and_the_margin():
    """The same by hand: delay 8, margin 3, a full plan."""
    marks = {}
    for method in METHODS:
        predicted, executed, planned = situation(100, 8, 30)
        codec = Recorder()
        refine(method, predicted, executed, planned, codec, margin=3)
        marks[method] = [int(np.sum(codec.splices[0].action[:, 1] == m)) for m in (EXECUTED, PLANNED, PREDICTED)]
    assert HANDOVER == 2
    assert marks == {"rtr": [8, 5, 35], "rtr_paper": [8, 0, 40], "rtr_released": [8, 16, 24]}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("delay", [0, -1, -5])
def test_nothing_executed_since_the_observation_is_decode_only(method, delay):
    predicted, codec = marked(20, H, PREDICTED), Recorder()
    now = 20 + delay
    upcoming = refine(method, predicted, marked(0, now, EXECUTED), marked(now, 30, PLANNED), codec)
    assert upcoming is predicted and not codec.splices


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("delay", [H, H + 1, HISTORY, HISTORY + 20])
@pytest.mark.parametrize("left", [0, 20])
def test_a_chunk_all_of_whose_rows_are_past_is_late(method, delay, left):
    predicted, executed, planned = situation(100, delay, left)
    with pytest.raises(LateChunk, match=f"48 rows {min(delay, HISTORY)} ticks late"):
        refine(method, predicted, executed, planned, Recorder())


@pytest.mark.parametrize("method", METHODS)
def test_the_last_row_in_time_is_handed_over(method):
    predicted, executed, planned = situation(100, H - 1, 20)
    assert refine(method, predicted, executed, planned, Recorder()).tick == 100 + H - 1


@pytest.mark.parametrize("left", [0, 1, 4])
def test_a_starved_plan_has_fewer_rows_to_keep_than_the_margin(left):
    predicted, executed, planned = situation(100, 8, left)
    codec = Recorder()
    refine("rtr", predicted, executed, planned, codec, margin=8)
    assert np.sum(codec.splices[0].action[:, 1] == PLANNED) == left


@pytest.mark.parametrize("delay", [1, 8, 30])
def test_where_nothing_is_planned_all_methods_are_one(delay):
    predicted, executed, planned = situation(100, delay, 0)
    codec = Recorder()
    for method in ("rtr", "rtr_paper", "rtr_released"):
        refine(method, predicted, executed, planned, codec)
    assert all(np.array_equal(splice.action, codec.splices[0].action) for splice in codec.splices)


def test_executed_rows_that_do_not_reach_back_to_the_observation_are_refused():
    predicted, executed, planned = situation(100, 20, 10, history=19)
    with pytest.raises(ValueError, match=r"splice of ticks 100\.\.147, got 101"):
        refine("rtr", predicted, executed, planned, Recorder())


def test_rows_missing_between_executed_and_planned_are_refused():
    predicted, executed, planned = situation(100, 20, 10)
    with pytest.raises(ValueError, match="go on at tick"):
        reuse_then_refine(predicted, executed.since(100).between(100, 119), planned, Recorder())


def test_an_unknown_method_is_refused_even_when_there_is_nothing_to_refine():
    with pytest.raises(ValueError, match="rtr, rtr_paper, rtr_released, got blend"):
        refine("blend", marked(0, H, PREDICTED), nothing(0), nothing(0), Recorder())


def real(t0: int, delay: int, left: int, gap_m: float) -> tuple[Rows, Rows, Rows]:
    """An old chunk along a curve, a new one beside it."""
    time = np.arange(t0 + delay + max(left, H)) / 60
    action = np.zeros((len(time), 10))
    action[:, 0], action[:, 1] = 0.1 * time, 0.01 * np.sin(3 * time)
    action[:, 3] = action[:, 7] = 1
    old, new = rows(0, action), rows(0, action + [gap_m, 0, -gap_m, *[0] * 7])
    now = t0 + delay
    return new.between(t0, t0 + H), old.between(max(0, now - HISTORY), now), old.between(now, now + left)


REFERENCE = np.array([0.05, 0.0, 0.0, 0.0, 0.0, 0.0])
DCT = partial(codec.reconstruct, reference_pose=REFERENCE, codec=DctCodec())


@pytest.mark.parametrize("delay", [1, 4, 8, 16, 24, 40])
@pytest.mark.parametrize("method", METHODS)
def test_the_boundary_gap_shrinks(method, delay):
    predicted, executed, planned = real(30, delay, 24, gap_m=0.005)
    upcoming = refine(method, predicted, executed, planned, DCT)

    def gap_and_jump(new: Rows) -> tuple[float, float]:
        path = concat(executed, new).action[:, :3].astype(np.float64)
        at = len(executed)
        return float(np.linalg.norm(path[at] - path[at - 1])), float(np.linalg.norm(np.diff(path, 2, axis=0)[at - 2]))

    naive, refined = gap_and_jump(predicted.since(30 + delay)), gap_and_jump(upcoming)
    assert refined[0] < naive[0] and refined[1] < 0.7 * naive[1]


@settings(max_examples=30)
@given(st.integers(0, 60), st.integers(1, H - 1), st.integers(0, 30), st.floats(-0.01, 0.01))
def test_refining_is_deterministic_and_moves_with_the_ticks(t0, delay, left, gap):
    predicted, executed, planned = real(t0, delay, left, gap)
    once = refine("rtr", predicted, executed, planned, DCT)

    def once_more(shift: int) -> Rows:
        parts = [Rows(part.tick + shift, part.action.copy()) for part in (predicted, executed, planned)]
        return refine("rtr", parts[0], parts[1], parts[2], DCT)

    again, later = once_more(0), once_more(1000)
    assert np.array_equal(once.action, again.action) and np.array_equal(once.action, later.action)
    assert once.tick == again.tick == later.tick - 1000


def test_a_chunk_that_goes_on_like_the_plan_is_hardly_changed():
    predicted, executed, planned = real(30, 8, 24, gap_m=0.0)
    upcoming = refine("rtr", predicted, executed, planned, DCT)
    assert np.abs(upcoming.action - predicted.since(38).action).max() < 2e-5


# --- Large steps ----------------------------------------------------------------------------------------------------


def test_a_small_step_is_refined_as_it_is_and_of_a_large_one_the_excess_is_faded_out():
    plan, near, far = line(0, 60), line(30, 48, x=0.030), line(30, 48, x=0.030)
    near.action[:, 1] += 0.003
    far.action[:, 1] += 0.010
    assert eased(near, plan.since(40), 45, 0.004) is near and eased(far, plan.since(40), 45, inf) is far
    changed = eased(far, plan.since(40), 45, 0.004)
    assert changed.at(45)[1] - plan.at(45)[1] == pytest.approx(0.004, abs=1e-6)
    assert np.array_equal(changed.since(45 + FADE_ROWS).action, far.since(45 + FADE_ROWS).action)
    assert (np.diff(changed.action[15 : 15 + FADE_ROWS, 1]) > -1e-9).all()
    assert eased(far, plan.between(40, 43), 45, 0.004) is far  # the plan does not say where it would be
