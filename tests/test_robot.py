"""The robot's process with the simulated arm: homes, follows commands, tells what goes wrong, and outlives it."""

from typing import Any

import numpy as np
import pytest

from nodes.drivers import make_robot
from operators.actor import Wrong
from operators.actors.following import WATCHDOG_CYCLES, Following
from operators.actors.moving import Moving
from operators.messages import Command, Episode, Proprio
from operators.motion.rotation import action_from_pose
from operators.settings import Settings
from simulation.tasks import make_task
from tests.acting import gave
from tests.envelope import ENVELOPE, UR5E

SEED = 10_002


def start(episode=0):
    return Episode(0, episode, 0, "start", SEED, "", "random", "", "", False)


def command(tick, action, seq=0):
    return Command(seq, 0, 0, seq, tick, "playing", action, action, 0, 0)


@pytest.fixture
def started():
    robot = Played(make_robot(Settings(), UR5E))
    robot.receive(start())
    return robot


class Played:
    """A robot's process, and all it has sent."""

    def __init__(self, driver: Any):
        self.actor, self.sent = Moving(driver, Following(ENVELOPE)), []

    def receive(self, message: object) -> None:
        self.sent += gave(self.actor, message)

    def cycle(self, cycle: int, t_ns: int = 0) -> None:
        """Cycle after cycle, from 0 on."""
        self.sent += self.actor.wake(t_ns or 1 + cycle * (1_000_000_000 // 60))

    def told(self, kind: type) -> list[Any]:
        return [message for message in self.sent if isinstance(message, kind)]


def home():
    return action_from_pose(make_task("", SEED, "random").home_pose)


def test_it_says_nothing_before_an_episode():
    robot = Played(make_robot(Settings(), UR5E))
    robot.cycle(0)
    assert not robot.sent


def test_it_homes_and_reports_the_state_before_the_action(started):
    robot = started
    robot.receive(command(0, home()))
    robot.cycle(0)
    robot.cycle(1)
    before, after = robot.told(Proprio)[:2]
    assert (before.tick, after.tick) == (0, 1)
    assert np.abs(before.tcp_pose[:3] - home()[:3]).max() < 1e-3


def test_of_two_commands_in_one_period_none_is_skipped(started):
    robot = started
    for tick in range(2):
        robot.receive(command(tick, home(), seq=tick))
    for cycle in range(3):
        robot.cycle(cycle)
    assert [state.tick for state in robot.told(Proprio)] == [0, 1, 2]


def test_a_jump_is_followed_within_the_limits(started):
    robot = started
    far = home()
    far[0] += np.float32(0.05)
    for cycle in range(40):
        robot.receive(command(cycle, far, seq=cycle))
        robot.cycle(cycle)
    xyz = np.array([state.tcp_pose[:3] for state in robot.told(Proprio)])
    assert np.linalg.norm(np.diff(xyz, axis=0), axis=1).max() * 60 < 0.6
    assert abs(xyz[-1, 0] - far[0]) < 2e-3


def test_without_commands_it_holds_and_says_so(started):
    robot = started
    for cycle in range(WATCHDOG_CYCLES + 5):
        robot.cycle(cycle)
    kinds = [wrong.kind for wrong in robot.told(Wrong)]
    assert kinds == ["watchdog"]
    xyz = np.array([state.tcp_pose[:3] for state in robot.told(Proprio)])
    assert np.abs(xyz - xyz[0]).max() < 1e-3


def test_a_pose_out_of_reach_is_refused_and_the_robot_stays(started):
    robot = started
    away = home()
    away[:3] = [-0.1, 0.0, 0.0]
    for cycle in range(200):
        robot.receive(command(cycle, away, seq=cycle))
        robot.cycle(cycle)
    assert np.isfinite(robot.told(Proprio)[-1].tcp_pose).all()


def speed_mm_s(state: Proprio) -> float:
    return 1e3 * float(np.linalg.norm(state.tcp_velocity[:3]))


@pytest.mark.parametrize("way", ["end", "leave"])
def test_at_its_end_it_comes_to_rest_and_only_then_falls_silent(started, way):
    robot, there = started, home()
    for cycle in range(40):
        there = there.copy()
        there[1] += np.float32(0.08 / 60)
        robot.receive(command(cycle, there, seq=cycle))
        robot.cycle(cycle)
    assert speed_mm_s(robot.told(Proprio)[-1]) > 60
    if way == "end":
        robot.receive(start()._replace(phase="end"))
    left = False
    for cycle in range(40, 140):
        left = robot.actor.leave() if way == "leave" else False
        robot.cycle(cycle)
    told = robot.told(Proprio)
    assert speed_mm_s(told[-1]) < 1 and 43 <= len(told) < 90 and (way == "end" or left)
    xyz = np.array([state.tcp_pose[:3] for state in told])
    assert np.linalg.norm(np.diff(xyz, 2, axis=0), axis=1).max() * 3600 < 8  # m/s2, of the arm itself


def test_a_new_episode_begins_although_the_robot_was_coming_to_rest(started):
    robot = started
    robot.cycle(0)
    robot.receive(start()._replace(phase="end"))
    robot.receive(start(1))
    for cycle in range(1, 30):
        robot.cycle(cycle)
    assert len(robot.told(Proprio)) == 30
