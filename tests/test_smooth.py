"""The output stage: follows what it can follow, bounds what it cannot, and is seen only in what is sent."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.actors.executing import Execution
from operators.measure.metrics import episode_metrics
from operators.messages import HZ, ActionChunk, Proprio
from operators.motion.join import newest
from operators.motion.rotation import (
    action_from_pose,
    angle_between,
    is_orthonormal,
    matrix_from_6d,
    vector_from_matrix,
)
from operators.motion.smooth import Pace, Tracker
from operators.settings import Settings
from studies.simulated import Simulated
from tests.envelope import ENVELOPE
from tests.replay import EXPERT

POSE = np.array([0.4, 0.1, 0.2, 0, 3.0, 0])


def swing(n: int, jump_m: float = 0.0, at: int = 60) -> np.ndarray:
    """A smooth motion from rest, with a step to the side in it; (n, 10)."""
    time = np.minimum(np.arange(n)[:, None] / HZ, 2 * np.pi / 1.5)  # there and back
    poses = POSE + np.array([0.04, 0.02, 0, 0.1, 0, 0.2]) * (1 - np.cos(1.5 * time))
    poses[at:, 2] += jump_m
    return action_from_pose(poses, 0.5)


def followed(actions: np.ndarray) -> np.ndarray:
    tracker, pairs = Tracker(actions[0]), zip(actions, [*actions[1:], actions[-1]], strict=True)
    return np.array([tracker.follow(row, ahead) for row, ahead in pairs])


def turns(actions: np.ndarray) -> np.ndarray:
    """Rotation vector of each step, (n - 1, 3)."""
    matrix = matrix_from_6d(actions[:, 3:9])
    return vector_from_matrix(matrix[1:] @ matrix[:-1].swapaxes(1, 2))


def test_what_is_smooth_is_followed():
    actions = swing(300)
    found = followed(actions)
    assert np.abs(found[:, :3] - actions[:, :3]).max() < 1e-4
    assert np.degrees(angle_between(found, actions)).max() < 0.1 and np.array_equal(found[:, 9], actions[:, 9])


def test_a_jump_becomes_a_motion_of_limited_jerk_that_ends_on_the_plan():
    actions = swing(300, jump_m=3e-3)
    found, pace = followed(actions), Pace()
    difference = [HZ**k * np.abs(np.diff(found[:, :3].astype(float), k, axis=0)).max() for k in (1, 2, 3)]
    allowed = pace.speed_m_s, pace.acceleration_m_s2, pace.jerk_m_s3
    assert all(d < 1.02 * a for d, a in zip(difference, allowed, strict=True))
    assert HZ**3 * np.abs(np.diff(actions[:, :3].astype(float), 3, axis=0)).max() > 10 * difference[2]
    assert np.abs(found[80:, :3] - actions[80:, :3]).max() < 1e-4  # a third of a second later


numbers = st.floats(-0.2, 0.2)


@settings(max_examples=30)
@given(st.lists(st.tuples(*[numbers] * 3, *[st.floats(-3, 3)] * 3), min_size=2, max_size=12), st.integers(1, 30))
def test_nothing_that_is_planned_breaks_it(places, cycles):
    """Jumps of a plan that no robot could follow."""
    actions = action_from_pose(np.repeat(POSE + np.array(places), cycles, 0))
    found, pace = followed(actions), Pace()
    assert np.isfinite(found).all() and is_orthonormal(found[:, 3:9])
    assert HZ * np.abs(np.diff(found[:, :3], axis=0)).max() < 1.01 * pace.speed_m_s
    assert HZ * np.abs(turns(found)).max() < 1.01 * pace.rotation_speed_rad_s


def test_numbers_that_are_none_are_refused():
    tracker, action = Tracker(swing(1)[0]), swing(1)[0]
    with pytest.raises(ValueError, match="expected finite actions"):
        tracker.follow(np.full(10, np.nan), action)
    assert np.allclose(tracker.follow(action, action), action, atol=1e-6)


def test_it_is_the_last_stage_before_the_limits_and_begins_again_with_each_episode():
    execution = Execution(newest, 1.0, ENVELOPE, "ruckig")
    for _ in range(2):
        execution.restart()
        execution.measured(Proprio(0, 0, 0, 0, 0, np.zeros(6), POSE, np.zeros(6), np.zeros(6), 0.5))
        execution.chunk(ActionChunk(0, 0, 0, 0, 0, 0, 0.0, swing(48), -1))
        done = [execution.cycle() for _ in range(40)]
        assert all(cycle is not None and cycle.clamped == 0 for cycle in done)
        away = [np.abs(cycle.action - cycle.due.planned).max() for cycle in done if cycle]
        assert 0 < max(away) < 1e-3
        assert execution.plan is not None and done[-1] is not None
        assert np.array_equal(execution.plan.executed.action[-1], done[-1].action)


def test_it_hides_seams_from_the_robot_and_not_from_the_plan():
    plain, smooth = (
        episode_metrics(Simulated(Settings(**EXPERT, smooth=stage), "async_naive").run(0, 10_001, lambda chunk: 8))
        for stage in ("none", "ruckig")
    )
    assert smooth["velocity_jump"] > 0.7 * plain["velocity_jump"]
    assert smooth["command_jerk_mm_per_tick3_sent"] < 0.5 * plain["command_jerk_mm_per_tick3_sent"]
    assert smooth["sent_difference_mm"] > plain["sent_difference_mm"] and smooth["clamped_percent"] == 0
