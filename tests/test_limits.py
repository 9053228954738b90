"""Laws of the envelope. Run by hand (`python tests/test_limits.py`) it prints what a call costs."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.messages import HZ
from operators.motion import limits
from operators.motion.limits import Envelope, Limiter
from operators.motion.rotation import action_from_pose, matrix_from_6d, pose_from_action, vector_from_matrix
from tests.envelope import ENVELOPE

MIDDLE = np.array([0.45, 0.0, 0.3])
ENVELOPES = [
    ENVELOPE,
    replace(ENVELOPE, low=(0.4, -0.05, 0.25), high=(0.5, 0.05, 0.35)),
    replace(ENVELOPE, low=(0.3, -0.2, 0.1), high=(0.7, 0.2, 0.5), jerk_m_s3=150, rotation_jerk_rad_s3=700),
    replace(ENVELOPE, acceleration_m_s2=2, jerk_m_s3=40, rotation_acceleration_rad_s2=5, rotation_jerk_rad_s3=60),
]
law = settings(deadline=None, max_examples=40)


def vectors(longest: float) -> st.SearchStrategy[np.ndarray]:
    """Vectors (3,) of up to this length, short ones as often as long ones."""
    direction = st.tuples(*[st.floats(-1, 1)] * 3).map(np.array).filter(lambda v: np.linalg.norm(v) > 0.01)
    length = st.floats(-4, 0).map(lambda power: longest * 10**power) | st.just(0.0)
    return st.builds(lambda v, size: v / np.linalg.norm(v) * size, direction, length)


@st.composite
def wild_plans(draw: st.DrawFn) -> np.ndarray:
    """Plans (n, 10) of pieces that jump, then move on at up to 1 m/s, 5 rad/s, through walls and beyond 0..1."""
    poses, grips = [np.array([*MIDDLE, 0.0, 0.0, 0.0])], [0.5]
    for _ in range(draw(st.integers(1, 6))):
        jump = np.concatenate([draw(vectors(0.3)), draw(vectors(3.0))])
        pace = np.concatenate([draw(vectors(1.0)), draw(vectors(5.0))]) / HZ
        n = draw(st.integers(1, 30))
        poses.extend(poses[-1] + jump + np.arange(n)[:, None] * pace)
        grips.extend([draw(st.floats(-0.5, 1.5))] * n)
    return action_from_pose(np.array(poses), np.array(grips))


def smooth_plan(n: int, amplitude: np.ndarray, turn: np.ndarray, frequency: float) -> np.ndarray:
    """A plan (n, 10) that swings out from rest by twice an amplitude (3,) [m] and rotation vector (3,) [rad]."""
    swing = 1 - np.cos(2 * np.pi * frequency * np.arange(n) / HZ)[:, None]
    return action_from_pose(np.concatenate([MIDDLE + swing * amplitude, swing * turn], 1), swing[:, 0] / 5)


def send(plan: np.ndarray, envelope: Envelope = ENVELOPE) -> tuple[np.ndarray, np.ndarray]:
    """What a limiter at rest on the first row makes of a plan: actions (n, 10) and bits (n,)."""
    limiter, sent, clamped = Limiter.start(plan[0], envelope), [], []
    for row in plan:
        limiter, action, bits = limiter.limit(row)
        sent.append(action)
        clamped.append(bits)
    return np.array(sent), np.array(clamped)


def largest_differences(sent: np.ndarray) -> list[float]:
    """Largest norm of speed, acceleration and jerk, of positions, then of rotations; at rest before the first row."""
    sent = np.concatenate([np.repeat(sent[:1], 3, 0), sent]).astype(np.float64)
    rotation = matrix_from_6d(sent[:, 3:9])
    turns = vector_from_matrix(rotation[1:] @ np.swapaxes(rotation[:-1], -1, -2))
    steps = [np.diff(sent[:, :3], axis=0), turns]
    return [np.linalg.norm(np.diff(s, k, 0), axis=-1).max() * HZ ** (k + 1) for s in steps for k in range(3)]


def assert_inside(sent: np.ndarray, envelope: Envelope) -> None:
    allowed = [
        *(envelope.speed_m_s, envelope.acceleration_m_s2, envelope.jerk_m_s3),
        *(envelope.rotation_speed_rad_s, envelope.rotation_acceleration_rad_s2, envelope.rotation_jerk_rad_s3),
    ]
    # No allowance for float32: the limiter leaves it. 1e-6 is for the eigenvectors of `vector_from_matrix`.
    assert np.all(np.array(largest_differences(sent)) <= np.array(allowed) * (1 + 1e-6))
    position, gripper = sent[:, :3].astype(np.float64), sent[:, 9].astype(np.float64)
    assert np.all(position >= envelope.low) and np.all(position <= envelope.high)
    assert np.all((gripper >= 0) & (gripper <= 1))
    assert np.abs(np.diff(gripper)).max(initial=0) * HZ <= envelope.gripper_rate_1_s


@law
@given(vectors(0.04), vectors(0.2), st.floats(0.1, 0.8))
def test_a_plan_inside_is_sent_bit_by_bit(amplitude, turn, frequency):
    plan = smooth_plan(150, amplitude, turn, frequency)
    sent, clamped = send(plan)
    assert sent.dtype == np.float32 and sent.tobytes() == plan.tobytes()
    assert not clamped.any()


@law
@given(wild_plans(), st.sampled_from(ENVELOPES))
def test_nothing_is_ever_exceeded(plan, envelope):
    sent, clamped = send(plan, envelope)
    assert_inside(sent, envelope)
    assert np.array_equal(clamped != 0, np.any(sent != plan, axis=1))


@law
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.0003, 0.002, 0.02]), st.sampled_from(ENVELOPES))
def test_a_random_walk_exceeds_nothing(seed, size, envelope):
    walk = np.cumsum(np.random.default_rng(seed).normal(size=(100, 6)) * size, 0)
    sent, _ = send(action_from_pose(walk + [*MIDDLE, 0, 0, 0], 0.5), envelope)
    assert_inside(sent, envelope)


@law
@given(wild_plans(), st.sampled_from(ENVELOPES))
def test_a_second_limiter_lets_the_first_pass(plan, envelope):
    """The sharp side of the first law: what was limited lies on the limits, and is inside."""
    sent, _ = send(plan, envelope)
    again, clamped = send(sent, envelope)
    assert again.tobytes() == sent.tobytes() and not clamped.any()


@law
@given(vectors(0.02), vectors(0.1), vectors(0.011), vectors(0.03), st.floats(0.1, 2.2), st.integers(30, 90))
def test_after_a_jump_it_is_back_within_30_ticks(jump, turn, amplitude, swing, frequency, when):
    plan = smooth_plan(200, amplitude, swing, frequency)  # up to 0.15 m/s, 2.1 m/s^2
    late = action_from_pose(pose_from_action(plan) + np.concatenate([jump, turn]), plan[:, 9])
    plan[when:] = late[when:]
    sent, clamped = send(plan)
    assert sent[when + 30 :].tobytes() == plan[when + 30 :].tobytes()
    assert not clamped[when + 30 :].any()


@law
@given(wild_plans(), st.sampled_from(ENVELOPES))
def test_whatever_came_before_it_arrives_where_the_plan_stands(plan, envelope):
    last = plan[-1].copy()
    last[:3] = np.clip(last[:3], np.array(envelope.low), np.array(envelope.high))
    sent, _ = send(np.concatenate([plan, np.repeat(last[None], 500, 0)]), envelope)
    assert np.allclose(sent[-1, :3], last[:3], rtol=0, atol=1e-7)  # a wall may lie between two float32
    assert np.array_equal(sent[-1, 3:9], last[3:9]) and sent[-1, 9] == np.clip(last[9], 0, 1)


@pytest.mark.parametrize("envelope", ENVELOPES)
@pytest.mark.parametrize("jump", [0.004, 0.01, 0.04])
def test_it_returns_once_and_stays(envelope, jump):
    plan = action_from_pose(np.tile([*MIDDLE, 0.3, 0.2, 0.1], (600, 1)), 0.5)
    plan[1:, :3] += np.float32(jump) * np.array([0.6, 0.48, 0.64], np.float32)
    sent, clamped = send(plan, envelope)
    away = np.flatnonzero(clamped)
    assert np.all(np.diff(away) == 1) and away[-1] < 60
    along = (sent[:, :3] - plan[0, :3]) @ np.array([0.6, 0.48, 0.64])
    assert along.max() <= jump + 1e-6 and np.diff(along).min() >= -1e-6  # no overshoot


@pytest.mark.parametrize("speed", [0.1, 0.3, 0.49, 2.0])
def test_a_plan_through_the_wall_is_stopped_at_the_wall(speed):
    envelope = ENVELOPE
    x = 0.7 + np.cumsum(np.minimum(np.arange(300) * 0.002, speed / HZ))
    y = 0.0008 * np.arange(300)
    plan = action_from_pose(np.stack([x, y, 0 * x + 0.4, 0 * x, 0 * x, 0 * x], 1), 0.5)
    sent, clamped = send(plan, envelope)
    assert_inside(sent, envelope)
    assert np.float32(0.9) - sent[-1, 0] < 1e-6 and clamped[-1] == limits.BOX
    assert np.array_equal(sent[-60:, 1:], plan[-60:, 1:])  # slides along it with the plan


def test_a_wall_holds_nothing_back_along_it():
    """At the wall, where no margin is left: a jump along it, then away from it."""
    plan = action_from_pose(np.tile([0.875, 0.0, 0.4, 0.0, 0.0, 0.0], (120, 1)), 0.5)
    envelope = replace(ENVELOPE, high=(0.875, 0.7, 1.0))
    plan[30:, 1] += np.float32(0.02)
    plan[80:, 0] -= np.float32(0.02)
    sent, _ = send(plan, envelope)
    assert_inside(sent, envelope)
    assert np.array_equal(sent[60:80], plan[60:80]) and np.array_equal(sent[110:], plan[110:])


def test_half_a_turn_is_followed():
    plan = action_from_pose(np.tile([*MIDDLE, 0.0, 0.0, 0.0], (150, 1)), 0.5)
    plan[1:, 3:9] = [-1, 0, 0, 0, 1, 0]
    sent, clamped = send(plan)
    assert_inside(sent, ENVELOPE)
    assert clamped[1] == limits.ROTATION_SPEED | limits.ROTATION_ACCELERATION | limits.ROTATION_JERK
    assert sent[-1].tobytes() == plan[-1].tobytes()


def test_the_gripper_takes_its_time_alone():
    plan = action_from_pose(np.tile([*MIDDLE, 0.0, 0.0, 0.0], (20, 1)), 0.0)
    plan[1:, 9] = 1.5
    sent, clamped = send(plan)
    assert np.allclose(sent[:, 9], np.minimum(np.arange(20) * 5 / 60, 1), atol=2e-5)
    assert clamped[0] == 0 and np.all(clamped[1:] == limits.GRIPPER)
    assert np.array_equal(sent[:, :9], plan[:, :9])


@given(wild_plans())
@settings(deadline=None, max_examples=10)
def test_equal_plans_are_limited_equally(plan):
    first, second = send(plan), send(plan.copy())
    assert first[0].tobytes() == second[0].tobytes() and np.array_equal(first[1], second[1])


def test_a_limiter_does_not_change_and_writes_into_no_input():
    plan = smooth_plan(2, np.array([0.2, 0, 0]), np.zeros(3), 10.0)
    plan.flags.writeable = False
    limiter = Limiter.start(plan[0], ENVELOPE)
    _, first, bits = limiter.limit(plan[1])
    _, second, _ = limiter.limit(plan[1])
    assert bits and first.tobytes() == second.tobytes() != plan[1].tobytes()


@pytest.mark.parametrize("index, value", [(0, np.nan), (4, np.inf), (9, np.nan), (slice(3, 6), 0), (slice(6, 9), 0)])
def test_what_is_no_action_is_refused(index, value):
    action = action_from_pose(np.array([*MIDDLE, 0.0, 0.0, 0.0]), 0.5)
    limiter, broken = Limiter.start(action, ENVELOPE), action.copy()
    broken[index] = value
    with pytest.raises(ValueError, match="expected"):
        limiter.limit(broken)
    with pytest.raises(ValueError, match="expected an action of shape"):
        limiter.limit(action[:9])


def test_a_start_outside_the_box_is_refused():
    with pytest.raises(ValueError, match="expected a start in the box"):
        Limiter.start(action_from_pose(np.array([1.5, 0, 0, 0, 0, 0])), ENVELOPE)


@pytest.mark.parametrize(
    "wrong", [{"speed_m_s": 0}, {"jerk_m_s3": np.nan}, {"low": (1, 1, 1)}, {"high": (np.inf,) * 3}]
)
def test_an_impossible_envelope_is_refused(wrong):
    with pytest.raises(ValueError, match="expected"):
        replace(ENVELOPE, **wrong)


def test_bits_have_names():
    assert limits.names(0) == []
    assert limits.names(limits.SPEED | limits.BOX | limits.ROTATION_JERK) == ["speed", "box", "rotation_jerk"]
    assert limits.names(limits.GRIPPER) == ["gripper"]


def main() -> None:
    inside = smooth_plan(3000, np.array([0.02, 0.02, 0.01]), np.array([0.1, 0.2, 0.0]), 0.5)
    corners = np.random.default_rng(0).uniform([-0.3, -0.8, -0.2, -3, -3, -3], [1, 0.8, 1.1, 3, 3, 3], (100, 6))
    jumps = action_from_pose(np.repeat([[*MIDDLE, 0, 0, 0], *corners], 30, 0), 0.5)
    for name, plan in ("inside", inside), ("jumping", jumps):
        limiter, spent = Limiter.start(plan[0], ENVELOPE), []
        for row in plan:
            start = time.thread_time_ns()
            limiter, _, _ = limiter.limit(row)
            spent.append((time.thread_time_ns() - start) / 1000)
        print(
            f"{name}: median {np.median(spent):.0f} us, 99 % {np.quantile(spent, 0.99):.0f} us, max {max(spent):.0f} us"
        )


if __name__ == "__main__":
    main()
