"""Joins: laws that hold for each, what each is, and what none may earn by putting a jump off."""

from math import exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from operators.actors.executing import Execution
from operators.measure.jerk import second_difference_mm
from operators.measure.log import PlanTime
from operators.measure.seams import seam_jumps_mm
from operators.messages import ActionChunk, Proprio
from operators.motion.join import (
    ENSEMBLE_DECAY,
    FADE_ROWS,
    JOINS,
    LARGEST_EXTRAPOLATION_M,
    blend,
    ensemble,
    fade,
    newest,
    quintic,
)
from operators.motion.plan import hold
from operators.motion.rotation import angle_between, matrix_from_6d, orthonormal_6d
from operators.motion.rows import Rows, concat
from tests.chunks import POSE, START, curve, line
from tests.envelope import ENVELOPE

EACH_JOIN = pytest.mark.parametrize("join", JOINS.values(), ids=JOINS)


def equal(left: Rows, right: Rows) -> bool:
    return left.tick == right.tick and np.array_equal(left.action, right.action)


@st.composite
def situations(draw: st.DrawFn) -> tuple[Rows, int, Rows, list[Rows]]:
    """Old rows, takeover tick, chunk, earlier chunks, all different curves."""
    start, seed = draw(st.integers(5, 40)), draw(st.integers(0, 999))
    live = [curve(start - draw(st.integers(1, 40)), 48, seed + 2 + i) for i in range(draw(st.integers(0, 3)))]
    old = curve(0, start + draw(st.integers(0, 40)), seed)
    return old, start, curve(start - draw(st.integers(0, 20)), 48, seed + 1), live


# --- Laws of all --------------------------------------------------------------------------------------------------


@EACH_JOIN
@pytest.mark.parametrize("start", [10, 30, 47])
def test_where_the_new_chunk_is_the_plan_every_join_is_newest(join, start):
    whole = curve(0, 90)
    old, chunk = whole.between(0, 48), whole.between(start - 9, 90)
    new, expected = join(old, start, chunk, [old, whole.between(3, 50)]), newest(old, start, chunk)
    assert new.tick == expected.tick == start and len(new) == 90 - start
    assert np.allclose(new.action, expected.action, atol=1e-6)


@EACH_JOIN
@settings(max_examples=40)
@given(situation=situations())
def test_a_join_gives_the_chunks_ticks_from_the_takeover_on_and_exact_rotations(join, situation):
    _, start, chunk, _ = situation
    new = join(*situation)
    assert new.tick == start and new.end == chunk.end and new.action.dtype == np.float32
    assert np.isfinite(new.action).all()
    assert np.allclose(orthonormal_6d(new.action[:, 3:9]), new.action[:, 3:9], atol=1e-6)


@EACH_JOIN
@settings(max_examples=40)
@given(situation=situations(), shift=st.integers(1, 10_000))
def test_a_shift_of_all_ticks_shifts_the_join(join, situation, shift):
    def later(part: Rows) -> Rows:
        return Rows(part.tick + shift, part.action)

    old, start, chunk, live = situation
    moved = join(later(old), start + shift, later(chunk), [later(other) for other in live])
    assert equal(moved, later(join(*situation)))


@EACH_JOIN
@settings(max_examples=20)
@given(row=st.integers(0, 47), column=st.integers(0, 9), value=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_no_number_that_is_none_passes(join, row, column, value):
    pose = Proprio(0, 0, 0, 0, 0, np.zeros(6), POSE, np.zeros(6), np.zeros(6), 0.5)
    execution = Execution(join, 1.0, ENVELOPE)
    execution.measured(pose)
    execution.chunk(ActionChunk(0, 0, 0, 0, 0, 0, 0.0, curve(0, 48).action, -1))
    for _ in range(15):
        execution.cycle()
    before, bad = execution.plan, curve(0, 48, 1).action.copy()
    bad[row, column] = value
    with pytest.raises(ValueError, match="finite"):
        execution.chunk(ActionChunk(1, 0, 0, 1, 0, 0, 0.0, bad, -1))
    assert execution.plan is before
    execution.chunk(ActionChunk(2, 0, 0, 2, 0, 0, 0.0, curve(0, 48, 2).action, -1))  # the next is joined
    for _ in range(60):
        done = execution.cycle()
        assert done is not None and np.isfinite(done.action).all()


@EACH_JOIN
def test_no_join_changes_what_it_is_given(join):
    old, start, chunk, live = curve(0, 40, 1), 20, curve(12, 48, 2), [curve(-10, 48, 3)]
    copies = [part.action.copy() for part in (old, chunk, *live)]
    join(old, start, chunk, live)
    assert all(np.array_equal(a, b.action) for a, b in zip(copies, (old, chunk, *live), strict=True))


# --- Each ---------------------------------------------------------------------------------------------------------


def test_newest_plays_the_chunk_itself():
    chunk = curve(10, 48, 1)
    assert equal(newest(curve(0, 48), 20, chunk), chunk.since(20))


def slow_ensemble(start: int, chunks: list[Rows]) -> np.ndarray:
    """As in the paper, tick by tick, rotations by scipy's mean of quaternions."""
    out = []
    for tick in range(start, chunks[-1].end):
        live = [chunk.at(tick) for chunk in chunks if chunk.tick <= tick < chunk.end]
        weights = [exp(-ENSEMBLE_DECAY * k) for k in range(len(live))]
        mean = np.average(np.array(live, float), axis=0, weights=weights)
        turns = Rotation.from_matrix([matrix_from_6d(row[3:9]) for row in live]).mean(weights).as_matrix()
        out.append(np.concatenate([mean[:3], turns[:, 0], turns[:, 1], mean[9:]]))
    return np.array(out)


@settings(max_examples=30)
@given(situation=situations())
def test_ensemble_is_the_slow_one(situation):
    old, start, chunk, live = situation
    live = sorted((other for other in live if other.end > start), key=lambda other: other.tick)
    new = ensemble(old, start, chunk, live)
    assert np.allclose(new.action, slow_ensemble(start, [*live, chunk]), atol=1e-6)
    alone = max([other.end for other in live], default=start)
    assert equal(new.since(alone), chunk.since(max(start, alone)))


def test_the_plan_keeps_every_live_chunk_for_the_ensemble_as_it_was_handed_over():
    plan, chunks = hold(START), []
    for number in range(5):  # the last three are live in the end
        chunks.append(curve(max(0, plan.next_tick - 6), 48, number))
        start = plan.next_tick
        live = [chunk for chunk in chunks if chunk.end > start]
        plan = plan.receive(chunks[-1], number, ensemble)
        assert np.allclose(plan.rows.since(start).action, slow_ensemble(start, live), atol=1e-6)
        while plan.next_tick < 14 * (number + 1):
            plan, _ = plan.step()
    assert len(plan.live) == 3


def test_blend_goes_from_the_old_plan_to_the_chunk_over_their_overlap():
    old, chunk = curve(0, 44, 1), curve(12, 48, 2)
    new = blend(old, 20, chunk)  # 24 ticks have both
    assert np.allclose(new.at(20), old.at(20), atol=1e-6) and equal(new.since(44), chunk.since(44))
    for tick in (22, 32, 41):
        share = float(quintic(np.array((tick - 20) / 24)))
        expected = old.at(tick) + share * (chunk.at(tick) - old.at(tick))
        assert np.allclose(new.at(tick)[[0, 1, 2, 9]], expected[[0, 1, 2, 9]], atol=1e-6)
        angles = [angle_between(new.at(tick), part.at(tick)) for part in (old, chunk)]
        assert angles == pytest.approx(np.array([share, 1 - share]) * sum(angles), abs=1e-4)
        assert sum(angles) == pytest.approx(angle_between(old.at(tick), chunk.at(tick)), abs=1e-4)


def test_without_overlap_blend_is_newest():
    assert equal(blend(curve(0, 20), 20, curve(12, 48, 1)), curve(12, 48, 1).since(20))


def test_fade_begins_on_the_old_plan_and_ends_on_the_chunk_bit_by_bit():
    old, chunk = curve(0, 48, 1), curve(12, 48, 2)
    new = fade(old, 20, chunk)
    assert np.allclose(new.at(20), old.at(20), atol=1e-6)
    assert equal(new.since(20 + FADE_ROWS), chunk.since(20 + FADE_ROWS))
    # Half of the residual is left half way, and the angle goes the same way as the place.
    share = np.linalg.norm((new.at(28) - chunk.at(28))[:3]) / np.linalg.norm((old.at(20) - chunk.at(20))[:3])
    assert share == pytest.approx(0.5, abs=1e-4)
    angle = angle_between(new.at(28), chunk.at(28)) / angle_between(old.at(20), chunk.at(20))
    assert angle == pytest.approx(0.5, abs=1e-3)
    assert new.at(28)[9] - chunk.at(28)[9] == pytest.approx(0.5 * (old.at(20)[9] - chunk.at(20)[9]), abs=1e-6)


def test_fade_does_not_ask_a_gripper_for_more_than_it_can():
    old, chunk = line(0, 30), line(10, 30)
    old.action[:, 9], chunk.action[:, 9] = 0.0, 0.0
    chunk.action[20 - 10, 9] = 0.01  # a decoder's error at the takeover tick
    assert fade(old, 20, chunk).action[:, 9].min() == 0


@pytest.mark.parametrize("step", [0.001, 0.019, 0.05])
def test_fade_goes_on_at_constant_velocity_where_the_old_plan_has_no_row_but_not_far(step):
    old = line(0, 20, step=step)
    new = fade(old, 20, line(15, 30, x=5.0))
    assert new.at(20)[0] - old.at(19)[0] == pytest.approx(min(step, LARGEST_EXTRAPOLATION_M), abs=1e-6)


# --- What is measured ---------------------------------------------------------------------------------------------


def jump_mm(join, kept: int = 0) -> float:
    """velocity_jump of one switch at tick 20 to a chunk 3 mm beside; `kept` rows of the old plan are held before it."""
    old, chunk = line(0, 48), line(12, 48, x=0.012)
    chunk.action[:, 1] += 3e-3
    held = old.between(20, 20 + kept)
    joined = concat(held, join(concat(old.between(0, 20), held, old.since(20 + kept)), 20 + kept, chunk, [old]))
    path = concat(old.between(0, 20), joined)
    owner = np.where(np.arange(len(path)) < 20, 0, 1)
    return float(seam_jumps_mm(PlanTime(0, path.action, owner))[0])


@pytest.mark.parametrize("kept", [1, 4, 8, 16])
def test_holding_the_old_plan_and_jumping_later_earns_nothing(kept):
    assert jump_mm(newest, kept) == pytest.approx(jump_mm(newest), rel=1e-4)
    assert jump_mm(newest) == pytest.approx(3.0, rel=1e-4)


def test_a_ramp_does_earn_something_and_an_average_half():
    assert jump_mm(fade) < 0.2 * jump_mm(newest) and jump_mm(blend) < 0.2 * jump_mm(newest)
    assert jump_mm(ensemble) == pytest.approx(1.5, abs=0.1)
    assert second_difference_mm(line(0, 9).action)[2:].max() < 1e-3
