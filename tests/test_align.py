"""Alignment by phase: laws of the shift and of the shifted rows, and who applies it where."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.actors.decoding import Decoding
from operators.actors.executing import BLOCKED_CYCLES, Execution
from operators.chunks.codec import DctCodec
from operators.messages import ActionChunk, Chunk, Plan, Proprio, Request
from operators.motion.align import (
    BLOCKED_M,
    LARGEST_TICKS,
    LEAST_LEFT,
    PRIOR_TICKS,
    RESERVE_ROWS,
    WORST_FIT,
    blocked,
    fit,
    known,
    lag_m,
    resampled,
)
from operators.motion.join import JOINS, newest
from operators.motion.rotation import is_orthonormal, pose_from_action, to_relative
from operators.motion.rows import Rows, rows
from operators.policy import Observation, in_content_time
from operators.settings import Settings
from tests.acting import first
from tests.chunks import START, curve, line
from tests.envelope import ENVELOPE

H = 48
CODEC = DctCodec()


def motion(tick: int, n: int, phase: float = 0.0, seed: int = 0, speed: float = 1.0) -> Rows:
    """A winding path at about 75 mm/s, and where it is `phase` ticks later, tick by tick; the tool turns as it goes."""
    draw = np.random.default_rng(seed)
    way, bend = draw.uniform(0, 6), draw.uniform(0.2, 0.8)
    time = (np.arange(tick, tick + n) + phase) * speed / 60
    action = np.repeat(START[None].astype(np.float64), n, 0)
    fine = np.arange(0, 1100, 0.05) / 60 * speed
    heading = way + bend * np.sin(2 * fine)
    path = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], -1), 0) * 0.075 * (fine[1] - fine[0])
    action[:, :2] += np.stack([np.interp(time, fine, axis) for axis in path.T], -1)
    action[:, 2] += 0.002 * np.sin(3 * time)
    return rows(tick, action)


# --- The estimate -------------------------------------------------------------------------------------------------


@given(st.integers(0, 99), st.integers(4, 30))
def test_a_chunk_equal_to_the_plan_gets_no_shift(seed, delay):
    plan = motion(0, 100, seed=seed)
    found = fit(plan.between(30, 30 + H), plan, 30 + delay)
    assert found.ticks == 0 and found.residual == 0


@given(st.integers(0, 99), st.floats(-7, 7), st.integers(8, 24))
def test_aligning_undoes_a_shift_in_time(seed, off, delay):
    plan = motion(0, 120, seed=seed)
    early = motion(30, H, phase=-off, seed=seed)  # content that comes `off` ticks too late
    found = fit(early, plan, 30 + delay)
    assert found.ticks == pytest.approx(off, abs=0.25)
    first, end = known(early, found.ticks)
    shifted = resampled(early, found.ticks).between(max(first, 30 + delay), end)
    wanted = plan.between(shifted.tick, shifted.end)
    assert np.abs(shifted.action - wanted.action)[:, :3].max() < 0.3e-3
    assert abs(fit(shifted, plan, max(first, 30 + delay) + 4).ticks) < 0.3  # and what is aligned stays where it is


@given(st.integers(0, 99), st.floats(-12, 12), st.integers(0, 40))
def test_no_row_before_the_first_and_twelve_are_left(seed, off, delay):
    plan = motion(0, 150, seed=seed)
    ticks = fit(motion(30, H, phase=-off, seed=seed), plan, 30 + delay).ticks
    assert abs(ticks) <= LARGEST_TICKS and delay + ticks >= 0
    assert ticks <= 0 or H - (delay + ticks) >= LEAST_LEFT


def test_another_mode_and_a_scene_that_moved_get_no_shift():
    plan, chunk = line(0, 100, step=1.2e-3), line(30, H, x=30 * 1.2e-3, step=1.2e-3)
    for turned in ([0, 1.2e-3], [-1.2e-3, 0]):  # it goes off to the side, or back
        other = chunk.action.copy()
        other[:, :2] = other[0, :2] + np.arange(H)[:, None] * np.array(turned)
        assert fit(rows(30, other), plan, 40).ticks == 0
    moved = chunk.action.copy()
    moved[:, 0] += 0.03
    assert fit(rows(30, moved), plan, 40).ticks == 0


@pytest.mark.parametrize("beside", [0.0, 1e-3, 6e-3])
def test_what_is_across_the_path_is_left_to_refinement_and_join(beside):
    plan, chunk = line(0, 100, step=1.2e-3), line(30, H, x=34 * 1.2e-3, step=1.2e-3).action.copy()
    chunk[:, 1] += beside  # a correction of the path, four ticks early
    found = fit(rows(30, chunk), plan, 40)
    assert found.ticks == pytest.approx(-4, abs=0.1) and found.residual < WORST_FIT


def test_where_the_plan_stands_the_prior_decides():
    plan = line(0, 100, step=0.0)
    chunk = line(30, H, step=0.0)
    chunk.action[30:, 0] += 1e-3 * np.arange(18)  # sets out long after the rows that are compared
    assert fit(chunk, plan, 40).ticks == 0
    trembling = chunk.action.copy()
    trembling[:, 1] += 0.05e-3 * np.random.default_rng(0).standard_normal(H)
    assert abs(fit(rows(30, trembling), plan, 40).ticks) < 0.5


def dwelling(tick: int, n: int, dwell: int, phase: float) -> Rows:
    """Straight on at 75 mm/s, but for a dwell that begins at tick 60."""
    time = np.arange(tick, tick + n) + phase
    action = np.repeat(START[None].astype(np.float64), n, 0)
    action[:, 0] += 1.25e-3 * (np.minimum(time, 60) + np.maximum(time - 60 - dwell, 0))
    return rows(tick, action)


@pytest.mark.parametrize("dwell", [20, 40])
@pytest.mark.parametrize("delay", [8, 12, 16])
def test_a_dwell_in_the_middle_of_a_stroke_keeps_its_length(dwell, delay):
    """Chunks of independent timing errors, each laid on the plan that came of those before."""
    lengths = []
    for seed in range(20):
        draw, horizon = np.random.default_rng(seed), 12
        plan = dwelling(0, H, dwell, 0.0)
        for t0 in range(horizon, 120, horizon):
            place = plan.at(t0)[0]  # the policy goes by where the arm is, give or take two ticks
            content = np.interp(place, dwelling(0, 200, 0, 0).action[:, 0], np.arange(200.0))
            standing = np.flatnonzero(np.isclose(plan.action[: t0 - plan.tick + 1, 0], place, atol=1e-7))
            content += min(len(standing) - 1, dwell) if content >= 59.9 else 0
            content += dwell if content > 60.1 and len(standing) <= 1 else 0
            chunk = dwelling(0, H + 220, dwell, 0.0)
            at = content + np.arange(H) + draw.normal(0, 2)
            chunk = rows(t0, np.stack([np.interp(at, np.arange(H + 220), c) for c in chunk.action.T], -1))
            takeover = t0 + delay
            shift = fit(chunk, plan, takeover).ticks
            laid = resampled(chunk, shift).between(*known(chunk, shift))
            plan = rows(0, np.concatenate([plan.action[:takeover], laid.since(takeover).action]))
        stands = np.abs(np.diff(plan.action[:, 0])) < 0.3e-3
        lengths.append(stands[40:].sum())
    assert np.mean(lengths) == pytest.approx(dwell, rel=0.1)


def test_at_a_crossing_it_stays_on_its_strand():
    """Two strands that cross at a right angle: the place alone would fit both."""
    time = np.arange(0, 200)
    action = np.repeat(START[None].astype(np.float64), 200, 0)
    action[:, 0] += 0.02 * np.sin(2 * np.pi * time / 100)
    action[:, 1] += 0.02 * np.sin(4 * np.pi * time / 100)
    plan = rows(0, action)
    for off in (-3, 3):
        chunk = Rows(40 + off, plan.action[40 : 40 + H])  # content of tick 40 at tick 40 + off, across the crossing
        assert fit(chunk, plan, 50).ticks == pytest.approx(off, abs=0.1)


def test_the_prior_is_that_of_its_docstring():
    """One number: a chunk parallel to the plan, 1 tick off, is shifted by information over information and prior."""
    plan, chunk = line(0, 100, step=1e-3), line(30, H, x=0.031, step=1e-3)
    information = 9 * 1.0
    assert fit(chunk, plan, 42).ticks == pytest.approx(-information / (information + PRIOR_TICKS**-2), abs=1e-3)


@given(st.integers(0, 47), st.integers(0, 9))
def test_a_nan_never_passes(row, column):
    chunk, plan = motion(30, H), motion(0, 100)
    for bad in (chunk.action, plan.action):
        kept = bad[row, column]
        bad[row, column] = np.nan
        if bad is chunk.action and column < 9:
            with pytest.raises(ValueError, match="expected finite actions"):
                fit(chunk, plan, 40)
        bad[row, column] = kept
    with pytest.raises(ValueError, match="expected finite actions"):
        fit(chunk, Rows(0, plan.action * np.nan), 40)


def test_with_too_little_to_compare_nothing_is_known():
    assert fit(motion(30, H), motion(0, 28), 40).ticks == 0
    assert np.isnan(fit(motion(30, H), motion(0, 28), 40).residual)


# --- Shifted rows -------------------------------------------------------------------------------------------------


@settings(max_examples=50)
@given(st.integers(0, 99), st.floats(-12, 12))
def test_shifted_rows_are_the_content_of_other_ticks(seed, shift):
    whole = curve(0, 90, seed)
    chunk = whole.between(20, 20 + H)
    shifted = resampled(chunk, shift)
    first, end = known(chunk, shift)
    assert len(shifted) == H and shifted.tick == 20 and first >= 20 and end <= 20 + H
    assert is_orthonormal(shifted.action[:, 3:9])
    for tick in range(first, end):
        left = int(np.floor(tick + shift + 1e-9))
        part = tick + shift - left
        between = (1 - part) * whole.at(left)[:3] + part * whole.at(min(left + 1, 89))[:3]
        assert np.allclose(shifted.at(tick)[:3], between, atol=1e-6)


def test_whole_ticks_move_rows_bit_by_bit_and_no_shift_changes_nothing():
    chunk = curve(20, H)
    assert resampled(chunk, 0.0) is chunk
    assert np.allclose(resampled(chunk, 5.0).action[:43], chunk.action[5:], atol=1e-7)
    assert np.array_equal(resampled(chunk, 5.0).action[:43, :3], chunk.action[5:, :3])
    assert known(chunk, 5.0) == (20, 63) and known(chunk, -5.0) == (25, 68) and known(chunk, 0.5) == (20, 67)


def test_a_gripper_is_held_not_interpolated():
    chunk = line(0, H)
    chunk.action[20:, 9] = 1.0
    chunk.action[:20, 9] = 0.0
    for shift in (0.5, -3.25, 7.9):
        assert set(resampled(chunk, shift).action[:, 9].tolist()) <= {0.0, 1.0}


# --- The decoder --------------------------------------------------------------------------------------------------


def decoding(align: str = "phase", refine: str = "rtr") -> Decoding:
    return Decoding(Settings(align=align, refine=refine, codec="dct"), lambda _: CODEC)


def predicted(chunk: Rows, reference: np.ndarray, **about) -> Chunk:
    values = to_relative(chunk.action, reference).astype(np.float32)
    message = Chunk(1, 0, 0, 1, chunk.tick, "action", 60.0, "", reference, 0, 1.0, values, 0, [], np.zeros(0))
    return message._replace(**about)


def planned(plan: Rows, tick: int, seq: int = 7) -> Plan:
    executed, rest = plan.between(max(0, tick - 64), tick), plan.since(tick)
    owner = np.zeros(len(executed) + len(rest), np.int64)
    return Plan(seq, 0, 0, seq, tick, "playing", executed.action, rest.action, owner, 0, 0, 0, 0, 0)


def told(align: str = "phase", refine: str = "rtr", off: float = 3.0, lag: float = 0.0, wired: bool = True, **about):
    plan = motion(0, 90)
    there = plan.at(29).astype(np.float64)
    there[2] += lag
    decoder = decoding(align, refine)
    if wired:
        first(decoder, planned(plan, 40))
    chunk = predicted(motion(30, H, phase=-off), pose_from_action(there), **about)
    found = first(decoder, chunk)
    assert found is not None
    return plan, found


def test_the_decoder_shifts_where_executed_is_wired_and_says_so():
    plan, found = told()
    assert found.aligned and found.shift_ticks == pytest.approx(3, abs=0.2)
    without = int(np.ceil(found.shift_ticks))
    assert found.tick == 40 and len(found.action) == H - 10 - without  # rows without content are not handed over
    assert np.abs(found.action - plan.between(40, 40 + len(found.action)).action)[:, :3].max() < 0.3e-3
    _, back = told(off=-3.0)
    assert back.shift_ticks == pytest.approx(-3, abs=0.2) and len(back.action) == H - 10


@pytest.mark.parametrize(("align", "refine"), [("tick", "rtr"), ("phase", "rtr_paper"), ("phase", "rtr_released")])
def test_by_tick_and_for_methods_as_published_nothing_is_shifted(align, refine):
    _, found = told(align, refine)
    assert found.shift_ticks == 0 and found.aligned and len(found.action) == H - 10


def test_an_arm_that_is_held_back_gets_no_shift():
    assert told(lag=0.5 * BLOCKED_M)[1].shift_ticks > 2
    assert told(lag=2 * BLOCKED_M)[1].shift_ticks == 0


def test_without_executed_the_decoder_leaves_it_to_others():
    _, found = told(wired=False)
    assert not found.aligned and found.shift_ticks == 0 and len(found.action) == H


@pytest.mark.parametrize("wired", [False, True])
def test_a_shift_the_policy_settled_is_applied_as_it_is(wired):
    _, found = told(wired=wired, aligned=True, shift_ticks=1.5)
    assert found.aligned and found.shift_ticks == 1.5 and found.tick + len(found.action) == 30 + H - 2


# --- The executor -------------------------------------------------------------------------------------------------


def measured(action: np.ndarray, tick: int) -> Proprio:
    zero = np.zeros(6)
    return Proprio(tick, 0, 0, tick, tick, zero, pose_from_action(action), zero, zero, float(action[9]))


def execution(plan: Rows, until: int, align: str = "phase", join: str = "newest", **about) -> Execution:
    made = Execution(JOINS[join], 0.4, ENVELOPE, align=align, **about)
    made.measured(measured(plan.at(0), 0))
    made.chunk(ActionChunk(0, 0, 0, 0, 0, 0, 0.0, plan.action[:70], -1))
    while (done := made.cycle()) is not None and done.plan.next_tick < until and done.due.state != "holding":
        made.measured(measured(plan.at(max(done.due.tick, 0)), done.due.tick + 1))
    return made


def shift_of(made: Execution) -> float:
    assert made.plan is not None
    return made.plan.shift_ticks


def handed(off: float, **about) -> ActionChunk:
    return ActionChunk(1, 0, 0, 1, 30, 30, 0.0, motion(30, H, phase=-off).action, -1, **about)


@pytest.mark.parametrize("join", JOINS)
def test_the_executor_shifts_what_nobody_has_and_no_executed_row_changes(join):
    plan = motion(0, 90)
    made = execution(plan, 40, join=join)
    assert made.plan is not None
    before = made.plan.rows.between(0, made.plan.next_tick)
    made.chunk(handed(3.0))
    assert made.plan.shift_ticks == pytest.approx(3, abs=0.2)
    after = made.plan.rows.between(0, before.end)
    assert np.array_equal(after.action, before.action)
    wanted = plan.between(40, made.plan.rows.end)
    assert np.abs(made.plan.planned.action - wanted.action)[:, :3].max() < 0.4e-3
    assert made.plan.horizon == H  # rows lost by a shift do not enter


@pytest.mark.parametrize(
    ("align", "about"), [("tick", {}), ("phase", {"aligned": True}), ("phase", {"aligned": True, "shift_ticks": 2.0})]
)
def test_the_executor_shifts_nothing_by_tick_nor_twice(align, about):
    made = execution(motion(0, 90), 40, align)
    assert made.plan is not None
    made.chunk(handed(3.0, **about))
    assert made.plan.shift_ticks == about.get("shift_ticks", 0.0)
    assert np.array_equal(made.plan.planned.action, motion(30, H, phase=-3.0).since(40).action)


def test_a_robot_that_waits_for_its_chunk_starts_with_its_first_row():
    made = execution(motion(0, 90), 80)
    assert made.plan is not None and not len(made.plan.planned)
    made.requested(Request(0, 0, 0, 1, 70, 8, 8, True, -1, -1))
    made.chunk(handed(3.0)._replace(t0=70, tick=70))
    assert made.plan.shift_ticks == 0


def test_an_arm_that_is_held_back_is_not_aligned_and_named_after_half_a_second():
    made, said = execution(motion(0, 90), 40), []
    stuck = motion(0, 90).at(34)
    for cycle in range(BLOCKED_CYCLES + 10):
        made.measured(measured(stuck, 41 + cycle)._replace(tick=41 + cycle))
        done = made.cycle()
        assert done is not None
        said.append(done.blocked)
        if cycle == 10:
            made.chunk(handed(3.0))
            assert shift_of(made) == 0
    assert [bool(line) for line in said].count(True) == 1
    assert "expected the arm within 3 mm of its last commands" in "".join(said)


def test_a_lag_in_time_is_no_lag():
    plan = motion(0, 90)
    for lag in range(8):
        assert lag_m(plan.at(39 - lag)[:3], plan.between(32, 40)) < 1e-9 and not blocked(
            plan.at(39 - lag)[:3], plan.between(32, 40)
        )
    assert blocked(plan.at(20)[:3], plan.between(32, 40)) and not blocked(plan.at(0)[:3], plan.between(0, 0))


def test_a_correction_head_is_told_the_age_of_the_content(monkeypatch):
    from operators.actors import executing as module

    ages = []

    def corrected(head, action, ahead, due, t0, seen, measured):
        ages.append(due - t0)
        return action

    monkeypatch.setattr(module, "corrected", corrected)
    made = execution(motion(0, 90), 40, head=object())
    made.seen(object())  # pyright: ignore[reportArgumentType]
    made.chunk(handed(3.0))
    made.cycle()
    assert ages[-1] == pytest.approx(10 + shift_of(made))


# --- Guides -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [-4.0, 0.0, 3.5])
def test_a_guided_sampler_is_shown_the_plan_where_its_content_will_be_played(off):
    plan, draft = motion(0, 80), motion(30, H, phase=-off)
    seen = Observation(1, measured(plan.at(29), 30), {}, plan, takeover=40)
    shown, shift = in_content_time(seen, draft)
    assert shift == pytest.approx(off, abs=0.25) and shown.takeover == round(40 + shift) and shown.plan is not None
    for tick in range(36, 60):
        assert np.linalg.norm(shown.plan.at(tick)[:3] - draft.at(tick)[:3]) < 0.5e-3
    assert shown.plan.end == int(np.floor(79 + shift)) + 1  # nothing is made up


def test_a_guided_sampler_of_an_arm_that_is_held_back_is_shown_the_plan_as_it_is():
    plan = motion(0, 80)
    seen = Observation(1, measured(plan.at(10), 30), {}, plan, takeover=40)
    assert in_content_time(seen, motion(30, H, phase=-3.0)) == (seen, 0.0)
    stands = replace_proprio(seen, 40)
    assert in_content_time(stands, motion(40, H, phase=-3.0))[1] == 0.0


def replace_proprio(seen: Observation, tick: int) -> Observation:
    assert seen.plan is not None
    return seen._replace(proprio=measured(seen.plan.at(tick - 1), tick))


# --- The feed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [0.0, 1.0, 2.0])
def test_a_shift_does_not_surge_the_feed(spread):
    """24 cycles a chunk, independent timing errors up to the reserve: the rate stays within 2 %."""
    draw, made, path = np.random.default_rng(0), Execution(newest, 0.4, ENVELOPE, align="phase"), motion(0, 900)
    made.measured(measured(path.at(0), 0))
    made.chunk(ActionChunk(0, 0, 0, 0, 0, 0, 0.0, path.action[:H], -1))
    made.requested(Request(1, 0, 0, 1, 0, 24, 22, False, -1, -1))
    asked, chunk_id, rates, shifts, most = (0, 0), 0, [], [], RESERVE_ROWS - 1.2
    for cycle in range(1000):
        assert made.plan is not None
        if cycle == asked[0] + 24:
            chunk_id += 1
            off = float(np.clip(draw.normal(0, spread), -most, most))
            content = motion(asked[1], H, phase=-off)
            made.chunk(ActionChunk(chunk_id, 0, 0, chunk_id, asked[1], asked[1], 0.0, content.action, -1))
            shifts.append(made.plan.shift_ticks)
            made.requested(Request(chunk_id + 1, 0, 0, chunk_id + 1, made.plan.next_tick, 24, 22, False, -1, -1))
            asked = cycle, made.plan.next_tick
        made.cycle()
        newest_row = made.plan.rows.at(made.plan.next_tick - 1)
        made.measured(measured(newest_row, made.plan.next_tick))
        rates.append(made.plan.rate)
    steady = np.array(rates[100:])
    assert steady.max() / steady.min() < 1.02 and np.std(shifts) == pytest.approx(spread, rel=0.3, abs=0.05)
