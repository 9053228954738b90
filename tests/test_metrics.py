"""Metrics: each on an example small enough to compute by hand, and the laws they must keep."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from operators.measure.intervals import aggregate, mean_interval, paired_difference, paired_ratio, student_t95, wilson
from operators.measure.jerk import third_difference_mm
from operators.measure.log import ChunkRecord, Cycles, EpisodeLog, Measurements, cycles_from_commands, no_cycles
from operators.measure.metrics import METRICS, distance_mm, episode_metrics
from operators.measure.open_loop import open_loop_metrics
from operators.measure.plan_time import PlanTimeBuilder, plan_time, switches
from operators.measure.seams import jump_floor_mm, overlap_difference_mm, seam_jumps_mm
from operators.measure.timing import is_late
from operators.messages import Command
from operators.motion.join import newest
from operators.motion.plan import hold
from operators.motion.rows import rows

PERIOD_NS = 1e9 / 60
SEAM_METRICS = [name for name in METRICS if name.startswith(("velocity_jump", "boundary_gap", "overlap", "exceed"))]


def actions(xyz_mm):
    """Actions (n, 10) without rotation; a list of numbers is x alone."""
    xyz = np.asarray(xyz_mm, np.float64)
    xyz = xyz.reshape(len(xyz), -1)
    action = np.zeros((len(xyz), 10), np.float32)
    action[:, : xyz.shape[1]] = 1e-3 * xyz
    action[:, 3] = action[:, 7] = 1
    return action


def played(xyz_mm, owner, **changes):
    """Cycles that play one row each, from tick 0 on."""
    n = len(owner)
    every = {
        "cycle": np.arange(n),
        "tick": np.arange(n),
        "t_ns": np.round(np.arange(n) * PERIOD_NS),
        "state": ["playing"] * n,
        "planned": actions(xyz_mm),
        "action": actions(xyz_mm),
        "chunk_id": owner,
        "clamped": np.zeros(n),
    }
    return Cycles(**(every | changes))


def with_held(cycles, at, count, state="holding"):
    """The same, held `count` cycles after entry `at`."""
    pick = np.insert(np.arange(len(cycles)), at + 1, [at] * count)
    held = {name: array[pick] for name, array in vars(cycles).items()}
    held["state"][at + 1 : at + 1 + count] = state
    held["chunk_id"][at + 1 : at + 1 + count] = -1
    return Cycles(**held | {"cycle": np.arange(len(pick)), "t_ns": np.round(np.arange(len(pick)) * PERIOD_NS)})


def log_of(cycles, **parts):
    return EpisodeLog({"name": "tiny"}, cycles, **parts)


def measure(xyz_mm, owner, **changes):
    return episode_metrics(log_of(played(xyz_mm, owner, **changes)))


def test_seam_of_one_jump_by_hand():
    found = measure([0, 1, 2, 3, 7, 8, 9, 10], [0] * 4 + [1] * 4)  # steps of 1 mm, 4 at the switch
    assert found["velocity_jump"] == pytest.approx(3, abs=1e-4)
    assert found["velocity_jump_at_switch"] == found["velocity_jump_max"] == pytest.approx(3, abs=1e-4)
    assert found["boundary_gap_mm"] == found["boundary_gap_l1_mm"] == pytest.approx(4, abs=1e-4)
    assert found["exceed"] == 1 and found["switches"] == 1


def test_gap_is_a_distance_and_l1_the_sum_over_axes():
    found = measure([[0, 0, 0], [0, 0, 0], [1, -2, 2], [1, -2, 2]], [0, 0, 1, 1])
    assert found["boundary_gap_mm"] == pytest.approx(3, abs=1e-4)
    assert found["boundary_gap_l1_mm"] == pytest.approx(5, abs=1e-4)


def test_jump_is_the_mean_over_switches_of_the_largest_in_each_window():
    steps = np.array([1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1.0, 1])  # the odd step is row 5, chunk 1 owns rows 4-7
    found = measure(np.cumsum(steps), [0] * 4 + [1] * 4 + [2] * 4)
    assert found["velocity_jump"] == pytest.approx((2 + 0) / 2, abs=1e-4)
    assert found["velocity_jump_max"] == pytest.approx(2, abs=1e-4)
    assert found["velocity_jump_at_switch"] == pytest.approx(0, abs=1e-4)


def test_a_jump_after_the_window_is_not_the_seam():
    assert measure(held_then_jump(17), [0] * 24 + [1] * 24)["velocity_jump"] == pytest.approx(0, abs=1e-3)


def held_then_jump(m, jump_mm=5.0, drift_mm=0.0):
    """Chunk 1 owns rows 24 on but repeats chunk 0's plan for m rows, then jumps to its own."""
    old = np.arange(48.0)
    own = old + jump_mm + drift_mm * np.arange(48)
    return np.where(np.arange(48) < 24 + m, old, own)


@pytest.mark.parametrize("m", range(17))
def test_holding_the_old_plan_and_then_jumping_earns_nothing(m):
    owner = [0] * 24 + [1] * 24
    at_once = measure(held_then_jump(0), owner)["velocity_jump"]
    assert measure(held_then_jump(m), owner)["velocity_jump"] == pytest.approx(at_once, abs=1e-3)
    diverging = measure(held_then_jump(0, drift_mm=0.2), owner)["velocity_jump"]
    assert measure(held_then_jump(m, drift_mm=0.2), owner)["velocity_jump"] >= diverging - 1e-3


def slow_feed():
    """Rows 0-5, row i at i mm; the command passes rows 2 and 4 at part speed. Chunk 1 owns rows 3 on."""
    position = [0, 1, 1.6, 2.2, 2.8, 3.4, 4.2, 5]
    owner = np.array([0, 0, 0, 1, 1, 1])
    tick = np.floor(position).astype(int)
    upper = np.ceil(position).astype(int)
    return position, tick, upper, owner


def test_plan_time_is_exact_whatever_the_feed():
    position, tick, upper, owner = slow_feed()
    builder, line = PlanTimeBuilder(), rows(0, actions(np.arange(6.0)))
    for at, reached, ahead in zip(position, tick, upper, strict=True):
        if at != 3.4:  # one cycle was not heard
            executed = line.since(0).between(0, ahead + 1)
            sent = rows(0, executed.action - (0.5 if at == reached else 0))  # limits, in the place of a whole row
            builder.add(reached, actions([at])[0], sent if at == reached else executed, owner[: ahead + 1])
    plan = builder.build()
    assert plan.tick == 0 and np.array_equal(plan.action, line.action) and plan.chunk_id.tolist() == owner.tolist()
    assert builder.arrival_tick == {0: 0, 1: 3}
    cycles = played(position, owner[upper], tick=tick)
    found = episode_metrics(replace(log_of(cycles), plan=plan))
    assert found["velocity_jump"] == pytest.approx(0, abs=1e-4)
    assert found["boundary_gap_mm"] == pytest.approx(1, abs=1e-4)
    assert found["feed_percent"] == pytest.approx(100 * 6 / 8)


@pytest.mark.parametrize("slowest", [1.0, 0.3])
def test_plan_time_is_the_joined_chunks_when_a_real_plan_brakes_or_slows(slowest):
    plan, builder = hold(actions([0])[0]), PlanTimeBuilder()
    chunks = [rows(0, actions(np.arange(30.0))), rows(20, actions(20.5 + np.arange(30)))]
    positions = set()
    for cycle in range(120):
        if cycle in (2, 55):  # the second comes long after the first is used up, or nearly so
            plan = plan.receive(chunks[cycle > 2], int(cycle > 2), newest)
        if cycle == 10:
            plan = plan.request(1, 45, waits=False)
        plan, due = plan.step(slowest)
        builder.add(due.tick, due.planned, plan.executed, plan.owners())
        positions.add(plan.position)
    switch, passed = builder.arrival_tick[1], len(builder.build().action)
    expected = np.concatenate([chunks[0].action[:switch], chunks[1].since(switch).action])
    assert any(position % 1 for position in positions) and passed > switch + 5
    assert np.array_equal(builder.build().action, expected[:passed])
    assert builder.build().chunk_id.tolist() == [0] * switch + [1] * (passed - switch)


def test_plan_rows_that_nobody_heard_are_unknown():
    builder = PlanTimeBuilder()
    builder.add(1, actions([1])[0], rows(0, actions([0, 1])), np.array([0, 0, 0]))
    builder.add(5, actions([5])[0], rows(4, actions([4, 5])), np.array([1, 1]))
    plan = builder.build()
    assert np.isnan(plan.action[2:4]).all() and plan.chunk_id.tolist() == [0, 0, -1, -1, 1, 1]
    assert PlanTimeBuilder().build().action.shape == (0, 10)


def test_without_a_plan_rows_passed_while_braking_are_unknown():
    state = ["playing", "playing", "braking", "braking", "holding", "playing", "playing"]
    cycles = played([0, 1, 1.8, 3, 3, 4, 5], [0] * 4 + [-1] + [1] * 2, state=state, tick=[0, 1, 2, 3, 3, 4, 5])
    plan = plan_time(log_of(cycles))
    expected = [0, 1, np.nan, np.nan, 4, 5]
    assert 1e3 * plan.action[:, 0] == pytest.approx(expected, abs=1e-4, nan_ok=True)
    assert plan.chunk_id.tolist() == [0, 0, 0, 0, 1, 1] and switches(plan) == [(4, 6)]


def test_a_lost_command_leaves_a_hole_not_a_jump():
    whole = played(np.arange(40.0), [0] * 20 + [1] * 20)
    lossy = Cycles(**{name: np.delete(array, 25, axis=0) for name, array in vars(whole).items()})
    assert episode_metrics(log_of(lossy))["velocity_jump"] == pytest.approx(0, abs=1e-3)
    assert episode_metrics(log_of(lossy))["command_jerk_mm_per_tick3"] == pytest.approx(0, abs=1e-3)
    assert episode_metrics(log_of(lossy))["jitter_ms_max"] == pytest.approx(0, abs=1e-3)


def test_jerk_by_hand():
    cubic = np.arange(12.0) ** 3 / 6  # third difference 1
    found = measure(cubic, [0] * 12)
    assert found["chunk_jerk_mm_per_tick3"] == pytest.approx(1, abs=1e-3)
    assert found["chunk_jerk_m_s3"] == pytest.approx(216, rel=1e-3)
    assert found["command_jerk_mm_per_tick3"] == pytest.approx(1, abs=1e-3)
    assert found["command_jerk_mm_per_tick3_p99_sent"] == pytest.approx(1, abs=1e-3)


def test_a_seam_is_in_the_command_jerk_but_not_in_the_chunk_jerk():
    found = measure([0, 0, 0, 0, 1, 1, 1, 1], [0] * 4 + [1] * 4)  # third differences 1, -2, 1 around the seam
    assert found["chunk_jerk_mm_per_tick3"] == pytest.approx(0, abs=1e-4)
    assert found["command_jerk_mm_per_tick3"] == pytest.approx((0 + 1 + 2 + 1 + 0) / 5, abs=1e-4)


def test_sent_metrics_read_the_action_after_the_limits():
    found = measure(np.zeros(8), [0] * 4 + [1] * 4, action=actions([0, 0, 0, 0, 3, 3, 3, 3]), clamped=[0] * 4 + [2] * 4)
    assert found["exceed"] == 0 and found["exceed_sent"] == 1
    assert found["velocity_jump"] == 0 and found["velocity_jump_sent"] == pytest.approx(3, abs=1e-4)
    assert found["command_jerk_mm_per_tick3"] == 0 and found["command_jerk_mm_per_tick3_sent"] > 1
    assert found["clamped_percent"] == 50


def test_floor_is_the_window_inside_chunks():
    bent = np.cumsum(np.cumsum(np.full(48, 0.25)))  # second difference 0.25 everywhere
    bent[:10] += np.array([3.0, -3.0] * 5)  # what happens near the chunk's start is not the floor
    floor = jump_floor_mm([actions(bent), actions(np.arange(18.0))], seed=3)
    assert len(floor) == 4 and floor == pytest.approx(0.25, abs=1e-3)  # a chunk of 18 rows has no window
    chunk = ChunkRecord(0, 0, arrival_tick=0, handed=rows(0, actions(bent)))
    assert episode_metrics(log_of(no_cycles(), chunks=[chunk]))["velocity_jump_floor"] == pytest.approx(0.25, abs=1e-3)
    assert measure(np.arange(48.0) ** 2, [0] * 48)["velocity_jump_floor"] == pytest.approx(2, abs=1e-3)  # from the plan


def test_overlap_is_measured_where_both_chunks_cover_a_tick():
    old = ChunkRecord(0, 0, 0, handed=rows(0, actions(np.zeros((6, 3)))))
    new = ChunkRecord(1, 4, 5, handed=rows(4, actions([[3, 0, 0], [3, 3, 0], [9, 9, 9]])))
    assert overlap_difference_mm(old, new) == pytest.approx((3 + 6) / 6, abs=1e-4)
    assert np.isnan(overlap_difference_mm(old, replace(new, handed=rows(6, actions([1, 2])))))
    assert np.isnan(overlap_difference_mm(old, replace(new, handed=None)))
    found = episode_metrics(log_of(no_cycles(), chunks=[old, ChunkRecord(7, 0), new]))  # chunk 7 was never handed over
    assert found["overlap_difference_mm"] == pytest.approx(1.5, abs=1e-4) and found["chunks"] == 2


def test_percentages_begin_with_the_first_played_row_and_end_when_the_task_is_done():
    state = ["holding", "waiting", "playing", "playing", "braking", "holding", "waiting", "playing", "holding"]
    cycles = played(np.zeros(9), [0] * 9, state=state, tick=[-1, -1, 0, 1, 1, 1, 1, 2, 2])
    found = episode_metrics(replace(log_of(cycles), meta={"done_cycle": 7}))
    assert found["starved_percent"] == pytest.approx(100 * 2 / 6)
    assert found["waiting_percent"] == pytest.approx(100 * 1 / 6)
    assert found["completion_s"] == pytest.approx(6 / 60)
    assert np.isnan(episode_metrics(log_of(cycles))["completion_s"])  # nobody says that it was done
    assert episode_metrics(log_of(cycles, score={"success": 1.0}))["completion_s"] == pytest.approx(7 / 60)


def test_jitter_is_the_error_of_neighbouring_periods():
    t_ns = np.cumsum([0, 16_666_667, 17_666_667, 14_666_667])
    found = measure(np.zeros(4), [0] * 4, t_ns=t_ns)
    assert found["jitter_ms_p50"] == pytest.approx(1, abs=1e-5)
    assert found["jitter_ms_max"] == pytest.approx(2, abs=1e-5)
    assert np.isnan(measure(np.zeros(4), [0] * 4, t_ns=np.full(4, 7))["jitter_ms_max"])  # no clock was read


def test_chunk_times():
    chunks = [
        ChunkRecord(0, 0, 8, inference_ms=20.0, refine_ms=1.0),
        ChunkRecord(1, 24, 36, inference_ms=40.0, refine_ms=3.0),
        ChunkRecord(2, 48),  # lost
    ]
    found = episode_metrics(log_of(no_cycles(), chunks=chunks))
    assert (found["delay_ticks"], found["delay_ticks_max"]) == (10, 12)
    assert (found["inference_ms_p50"], found["refine_ms_p50"]) == (30, 2)


def test_late_is_after_the_tick_a_chunk_was_prepared_for():
    refined = rows(30, actions(np.zeros(18)))
    assert not is_late(ChunkRecord(0, 24, 32, handed=refined, expected_tick=25))
    assert is_late(ChunkRecord(0, 24, 33, handed=refined, expected_tick=25))
    assert is_late(ChunkRecord(0, 24, 33, handed=rows(24, actions(np.zeros(48))), expected_tick=32))
    assert not is_late(ChunkRecord(0, 24, 32, handed=rows(24, actions(np.zeros(48))), expected_tick=32))
    assert not is_late(ChunkRecord(0, 24))


def test_closed_loop_deviation():
    target = np.array([[0, 0], [0.01, 0], [0.01, 0.01]])
    ink = np.array([[0.005, 0.002], [0.013, 0.005], [-0.003, -0.004]])  # 2, 3 and 5 mm away
    assert distance_mm(ink, target) == pytest.approx([2, 3, 5])
    assert distance_mm(ink[:1], target[:1]) == pytest.approx([np.hypot(5, 2)])
    found = episode_metrics(log_of(no_cycles(), marks=ink, goal=target, score={"success": 0.0}))
    assert found["deviation_mm"] == pytest.approx(10 / 3) and found["success"] == 0
    assert found["deviation_p95_mm"] == pytest.approx(np.percentile([2, 3, 5], 95))


def test_rotation_deviation_is_measured_or_planned():
    turned = np.array([0.0, 0, 0, 0, 0, np.radians(3)])
    cycles = played(np.zeros(2), [0, 0])
    count, zero = np.arange(4), np.zeros((4, 6))
    pose = np.stack([np.full(6, 9.0), turned, turned, np.full(6, 9.0)])
    proprio = Measurements(count, count, np.array([0, 1, 2, 9]), count, zero, pose, zero, zero, np.zeros(4))
    log = log_of(cycles, reference_rotation=np.zeros(3))
    assert episode_metrics(replace(log, proprio=proprio))["deviation_deg"] == pytest.approx(3, abs=1e-4)
    assert episode_metrics(log)["deviation_deg"] == pytest.approx(0, abs=1e-4)


def test_open_loop_deviation_is_the_mean_over_rows_and_axes():
    demonstrated = actions(np.zeros((5, 3)))[None]
    predicted = actions([[3, 0, 0]] * 5)[None]
    found = open_loop_metrics(predicted, demonstrated)
    assert found["deviation_mm"] == pytest.approx(1) and found["deviation_p95_mm"] == pytest.approx(3)
    assert found["deviation_deg"] == found["chunk_jerk_mm_per_tick3"] == pytest.approx(0, abs=1e-6)


def test_an_empty_log_has_every_metric_and_knows_none():
    found = episode_metrics(log_of(no_cycles()))
    counts = ("exceed", "exceed_sent", "switches", "chunks", "late_handover")
    assert list(found) == list(METRICS)
    assert all(found[name] == 0 if name in counts else np.isnan(found[name]) for name in found)


def test_logs_are_built_from_messages_and_checked():
    command = Command(0, 0, 5, 3, 2, "playing", actions([1])[0], actions([1])[0], 0, 4)
    cycles = cycles_from_commands([command, command])
    assert cycles.planned.shape == (2, 10) and cycles.chunk_id.tolist() == [4, 4] and cycles.t_ns.tolist() == [5, 5]
    with pytest.raises(ValueError, match="expected states"):
        cycles_from_commands([command._replace(state="asleep")])
    with pytest.raises(ValueError, match="expected planned of shape"):
        replace(cycles, planned=np.zeros((2, 9)))
    with pytest.raises(ValueError, match="one length"):
        replace(cycles, tick=np.arange(3))


def test_aggregate_leaves_out_what_was_not_measured():
    summary = aggregate([{"success": 1.0, "a": 1.0}, {"success": 1.0, "a": np.nan}, {"success": 0.0, "a": 3.0}])
    assert summary["a"] == {"mean": 2.0, "ci95": pytest.approx(stats.t.interval(0.95, 1, 2, 1), rel=1e-6), "n": 2}
    assert summary["success"]["ci95"] == wilson(2, 3) and summary["success"]["n"] == 3
    assert aggregate([]) == {} and np.isnan(aggregate([{"success": np.nan}])["success"]["ci95"]).all()


def test_intervals_match_scipy():
    assert wilson(9, 10) == pytest.approx(list(stats.binomtest(9, 10).proportion_ci(method="wilson")))
    assert wilson(0, 10)[0] == pytest.approx(0, abs=1e-12) and wilson(10, 10)[1] == pytest.approx(1)
    for freedom in (1, 2, 3, 4, 9, 29, 999):
        assert student_t95(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=2e-3)
    assert mean_interval([4.0])["mean"] == 4 and np.isnan(mean_interval([4.0])["ci95"]).all()


def test_paired_comparisons():
    old, new = [10.0, 20.0, 30.0], [5.0, 10.0, 15.0]
    assert paired_ratio(new, old) == {"mean": 0.5, "ci95": [0.5, 0.5], "n": 3}
    low, high = paired_ratio([5.0, 12.0, 14.0], old)["ci95"]
    assert low < 31 / 60 < high and paired_ratio([5.0, 12.0, 14.0], old)["ci95"] == [low, high]
    assert np.isnan(paired_ratio([1.0], [0.0])["mean"])
    assert paired_difference(new, old)["mean"] == -10
    assert paired_difference(new, [*old[:2], np.nan])["n"] == 2


# -- laws

places = st.integers(0, 58)
jitters = st.lists(st.floats(-3, 3), min_size=60, max_size=60)


def a_log(noise, cycles_change=lambda cycles: cycles, shift=0):
    """60 noisy rows of three chunks, shifted by some ticks, with their chunks."""
    xyz = np.arange(60.0) + np.asarray(noise)
    cycles = played(xyz, np.repeat([0, 1, 2], 20), tick=np.arange(60) + shift, cycle=np.arange(60) + shift)
    chunks = [
        ChunkRecord(i, shift + 20 * i, shift + 20 * i, handed=rows(shift + 20 * i, actions(xyz[20 * i :])))
        for i in (0, 1, 2)
    ]
    return log_of(cycles_change(cycles), chunks=chunks)


@settings(max_examples=15, deadline=None)
@given(jitters, st.integers(0, 10_000))
def test_law_a_shift_in_time_changes_nothing(noise, shift):
    np.testing.assert_equal(episode_metrics(a_log(noise, shift=shift)), episode_metrics(a_log(noise)))


@settings(max_examples=15, deadline=None)
@given(jitters, places, st.integers(1, 30), st.sampled_from(["holding", "waiting", "braking"]))
def test_law_held_cycles_change_no_seam(noise, at, count, state):
    held = episode_metrics(a_log(noise, lambda cycles: with_held(cycles, at, count, state)))
    straight = episode_metrics(a_log(noise))
    np.testing.assert_equal([held[name] for name in SEAM_METRICS], [straight[name] for name in SEAM_METRICS])
    assert held["chunk_jerk_mm_per_tick3"] == straight["chunk_jerk_mm_per_tick3"]


@settings(max_examples=15, deadline=None)
@given(st.tuples(*[st.floats(-1.1, 1.1)] * 3), st.integers(0, 55))
def test_law_a_line_at_constant_speed_scores_zero(velocity, switch):
    line = np.outer(np.arange(60), velocity)
    found = measure(line, [0] * (switch + 1) + [1] * (59 - switch))
    for name in (
        "velocity_jump",
        "velocity_jump_floor",
        "chunk_jerk_mm_per_tick3",
        "command_jerk_mm_per_tick3",
        "exceed",
    ):
        assert np.isnan(found[name]) or found[name] == pytest.approx(0, abs=1e-3)
    assert found["boundary_gap_mm"] == pytest.approx(np.linalg.norm(velocity), abs=1e-3)


@settings(max_examples=15, deadline=None)
@given(jitters, st.integers(0, 2**32 - 1))
def test_law_no_metric_depends_on_the_choice_of_axes(noise, seed):
    turn = stats.ortho_group.rvs(3, random_state=seed)
    path = np.stack([np.arange(60.0), np.asarray(noise), np.zeros(60)], -1)
    owner = [0] * 30 + [1] * 30
    straight, turned = (
        seam_jumps_mm(plan_time(log_of(played(path, owner)))),
        seam_jumps_mm(plan_time(log_of(played(path @ turn.T, owner)))),
    )
    assert turned == pytest.approx(straight, abs=1e-3)
    assert third_difference_mm(actions(path @ turn.T))[3:] == pytest.approx(
        third_difference_mm(actions(path))[3:], abs=1e-3
    )
