"""State rolled forward by the actions on their way; what a policy is shown."""

import numpy as np
import pytest

from operators.actor import UNSENT
from operators.chunks.foresight import rolled_forward
from operators.messages import HZ, Plan, Proprio, Request
from operators.motion.rotation import action_from_pose, matrix_from_vector, pose_from_action, vector_from_matrix
from operators.motion.rows import Rows
from operators.policy import Observation, Prediction, check_guide, observe

SPEED = np.array([1e-3, -5e-4, 0, 0, 0, 0.01])  # a tick
LAG = 3


def pose(tick: float) -> np.ndarray:
    """A screw about the base's z axis, so that rotations add; faster and faster."""
    return np.array([0.4, 0.1, 0.2, 0, 0, 0]) + SPEED * tick * (1 + tick / 100)


def commanded(first: int, end: int) -> Rows:
    return Rows(first, action_from_pose(np.array([pose(tick) for tick in range(first, end)])))


def measured(tick: int) -> Proprio:
    at = tick - 1 - LAG
    velocity = HZ * (pose(at) - pose(at - 1))
    return Proprio(0, 0, 0, tick, tick, np.arange(6.0), pose(at), velocity, np.full(6, 2.0), 0.5)


@pytest.mark.parametrize("beside", [0.0, 3e-4])
def test_a_robot_that_lags_behind_is_where_it_will_be_measured(beside):
    off = np.array([0, 0, beside, 0, 0, 0])
    now, expected = (measured(tick)._replace(tcp_pose=measured(tick).tcp_pose + off) for tick in (30, 42))
    found = rolled_forward(now, commanded(0, 70), 42)
    assert found.tick == 42
    assert np.allclose(found.tcp_pose, expected.tcp_pose, atol=1e-6)
    assert np.allclose(found.tcp_velocity, expected.tcp_velocity, atol=1e-4)
    assert np.array_equal(found.q, measured(30).q) and np.array_equal(found.wrench, measured(30).wrench)


def test_rotations_are_put_on_in_the_base_frame():
    plan = commanded(0, 70)
    now = measured(30)._replace(tcp_pose=np.append(measured(30).tcp_pose[:3], [1.0, 2.0, -0.5]))
    first, last = (matrix_from_vector(pose_from_action(plan.at(tick))[3:]) for tick in (29 - LAG, 41 - LAG))
    expected = vector_from_matrix(last @ first.T @ matrix_from_vector(now.tcp_pose[3:]))
    assert np.allclose(rolled_forward(now, plan, 42).tcp_pose[3:], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("plan", "takeover"), [(commanded(0, 70), 30), (commanded(30, 70), 42), (commanded(0, 30), 42)]
)
def test_where_nothing_is_on_its_way_the_state_stays(plan, takeover):
    now = measured(30)
    assert rolled_forward(now, plan, takeover) is now


def test_it_looks_no_farther_than_the_plan():
    assert rolled_forward(measured(30), commanded(0, 36), 42).tick == 36


def message(first: int, tick: int, end: int) -> Plan:
    executed, planned = commanded(first, tick).action, commanded(tick, end).action
    return Plan(0, 0, 0, tick, tick, "playing", executed, planned, np.zeros(end - first, np.int64), -1, 0, -1, 0, 0)


def test_a_policy_is_shown_the_plan_where_it_is_wired_and_vlash_the_state_ahead():
    ask = Request(*UNSENT, 7, 30, 15, 12, False, -1, -1)
    plain = observe(ask, measured(30), {}, None, "vlash")
    assert plain.plan is None and plain.takeover == 42 and plain.proprio.tick == 30 and plain.chunk_id == 7
    shown = observe(ask, measured(30), {}, message(0, 30, 60), "rtc")
    assert shown.plan is not None and (shown.plan.tick, shown.plan.end) == (0, 60) and shown.proprio.tick == 30
    assert np.array_equal(shown.plan.action, commanded(0, 60).action)
    assert observe(ask, measured(30), {}, message(0, 30, 60), "vlash").proprio.tick == 42


class Regression:
    cameras = ()
    guides: tuple[str, ...] = ()

    def start(self, episode):
        """Nothing to remember."""

    def predict(self, observation: Observation) -> Prediction:
        return Prediction(np.zeros((48, 10), np.float32))


def test_what_a_policy_cannot_do_is_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"GUIDE=paint: it inverts .*; mine cannot be guided: use async_rtr\.yml"):
        check_guide(Regression(), "mine", "paint")
    able = Regression()
    able.guides = ("vlash",)
    check_guide(able, "mine", "vlash")
