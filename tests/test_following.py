"""What every robot does with commands: one a cycle, watched, within the limits, and none while it is not ready."""

import numpy as np
import pytest

from operators.actors.following import WATCHDOG_CYCLES, Following
from operators.messages import STATES, Command
from operators.motion.rotation import action_from_pose
from tests.envelope import ENVELOPE

POSE = np.array([0.45, 0.0, 0.3, 0.0, 3.0, 0.0])
START = action_from_pose(POSE, 0.5)


def command(tick: int, action: np.ndarray = START) -> Command:
    return Command(tick, 0, 0, tick, tick, "playing", action, action, 0, 0)


def beside(metres: float) -> np.ndarray:
    action = START.copy()
    action[0] += np.float32(metres)
    return action


def cycle(following: Following, pose: np.ndarray = POSE) -> np.ndarray:
    target = following.cycle("ready", pose, 0.5)
    assert target is not None
    return target.action


def test_it_sets_out_from_the_first_pose_and_counts_applied_commands():
    following = Following(ENVELOPE)
    assert following.tick == 0 and np.array_equal(cycle(following), START) and following.tick == 0
    following.commanded(command(6))
    assert np.array_equal(cycle(following), START) and following.tick == 7


def test_of_two_commands_in_one_period_none_is_skipped_and_of_three_the_oldest():
    following, ticks = Following(ENVELOPE), []
    for burst in ([0, 1], [], [2, 3, 4], [], []):
        for tick in burst:
            following.commanded(command(tick))
        cycle(following)
        ticks.append(following.tick)
    assert ticks == [1, 2, 4, 5, 5]


def test_a_jump_is_followed_within_the_limits():
    following, sent = Following(ENVELOPE), []
    for tick in range(40):
        following.commanded(command(tick, beside(0.05 if tick else 0.0)))
        sent.append(cycle(following))
    speed = np.linalg.norm(np.diff(np.array(sent)[:, :3], axis=0), axis=1) * 60
    assert speed.max() <= ENVELOPE.speed_m_s and np.array_equal(sent[-1], beside(0.05))


def test_silence_is_named_once_and_again_after_a_command():
    following = Following(ENVELOPE)
    faults = [following.cycle("ready", POSE, 0.5) for _ in range(3 * WATCHDOG_CYCLES)]
    assert [target.fault for target in faults if target and target.fault] == [
        f"no command for {WATCHDOG_CYCLES} cycles: the robot holds its last target"
    ]
    following.commanded(command(0))
    again = [following.cycle("ready", POSE, 0.5) for _ in range(3 * WATCHDOG_CYCLES)]
    assert [number for number, target in enumerate(again) if target and target.fault] == [WATCHDOG_CYCLES]


@pytest.mark.parametrize("state", [state for state in STATES if state != "ready"])
def test_a_robot_that_is_not_ready_is_left_alone_and_then_sets_out_from_where_it_is(state):
    following = Following(ENVELOPE)
    following.commanded(command(3, beside(0.01)))
    cycle(following)
    for tick in range(4, 4 + 2 * WATCHDOG_CYCLES):
        following.commanded(command(tick, beside(0.3)))
        assert following.cycle(state, POSE, 0.5) is None and following.tick == 4
    elsewhere = POSE + [0.1, 0.1, 0, 0, 0, 0]
    assert np.array_equal(cycle(following, pose=elsewhere), action_from_pose(elsewhere, 0.5))
    following.commanded(command(90, START))
    first = cycle(following, pose=elsewhere)
    assert following.tick == 91
    assert np.linalg.norm(first[:3] - elsewhere[:3]) <= ENVELOPE.speed_m_s / 60


def test_a_new_episode_forgets_the_last():
    following = Following(ENVELOPE)
    following.commanded(command(8))
    cycle(following)
    following.commanded(command(9))
    following.restart()
    elsewhere = POSE + [0.1, 0, 0, 0, 0, 0]
    assert np.array_equal(cycle(following, pose=elsewhere), action_from_pose(elsewhere, 0.5)) and following.tick == 0


def test_what_is_no_command_and_a_start_outside_the_box_are_refused():
    following = Following(ENVELOPE)
    with pytest.raises(ValueError, match="expected a start in the box"):
        cycle(following, pose=POSE + [2, 0, 0, 0, 0, 0])
    cycle(following)
    following.commanded(command(0, np.full(10, np.nan, np.float32)))
    with pytest.raises(ValueError, match="expected finite numbers"):
        cycle(following)
    following.commanded(command(1))
    assert np.array_equal(cycle(following), START)
