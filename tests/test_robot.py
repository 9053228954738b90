"""The robot's process with the simulated arm: homes, follows commands, tells what goes wrong, and outlives it."""

from typing import Any

import numpy as np
import pytest

from nodes._wire import Wire
from nodes.drivers import make_robot
from nodes.robot import INPUTS, Robot
from operators.actors.following import WATCHDOG_CYCLES, Following
from operators.messages import Command, Episode
from operators.motion.rotation import action_from_pose
from operators.schema import pack
from simulation.tasks import make_task
from tests.envelope import ENVELOPE, UR5E
from tests.replay import replay_node, sent

SEED = 10_002


def start(episode=0):
    return Episode(0, episode, 0, "start", SEED, "", "random", "", "", False)


def command(tick, action, seq=0):
    return Command(seq, 0, 0, seq, tick, "playing", action, action, 0, 0)


@pytest.fixture
def started():
    node = replay_node([])
    wire = Wire(node, "robot", INPUTS)
    wire.edge.read("episode", pack(start()))
    robot = made(wire)
    robot.receive(start())
    return robot, node


def made(wire: Wire, driver: Any = None) -> Robot:
    return Robot(wire, driver or make_robot("sim", UR5E), Following(ENVELOPE))


def home():
    return action_from_pose(make_task("", SEED, "random").home_pose)


def test_it_says_nothing_before_an_episode():
    node = replay_node([])
    made(Wire(node, "robot", INPUTS)).cycle(0, 0)
    assert not node.outputs


def test_it_homes_and_reports_the_state_before_the_action(started):
    robot, node = started
    robot.receive(command(0, home()))
    robot.cycle(0, 0)
    robot.cycle(1, 0)
    before, after = sent(node, "proprio")[:2]
    assert (before.tick, after.tick) == (0, 1)
    assert np.abs(before.tcp_pose[:3] - home()[:3]).max() < 1e-3


def test_of_two_commands_in_one_period_none_is_skipped(started):
    robot, node = started
    for tick in range(2):
        robot.receive(command(tick, home(), seq=tick))
    for cycle in range(3):
        robot.cycle(cycle, 0)
    assert [state.tick for state in sent(node, "proprio")] == [0, 1, 2]


def test_a_jump_is_followed_within_the_limits(started):
    robot, node = started
    far = home()
    far[0] += np.float32(0.05)
    for cycle in range(40):
        robot.receive(command(cycle, far, seq=cycle))
        robot.cycle(cycle, 0)
    xyz = np.array([state.tcp_pose[:3] for state in sent(node, "proprio")])
    assert np.linalg.norm(np.diff(xyz, axis=0), axis=1).max() * 60 < 0.6
    assert abs(xyz[-1, 0] - far[0]) < 2e-3


def test_without_commands_it_holds_and_says_so(started):
    robot, node = started
    for cycle in range(WATCHDOG_CYCLES + 5):
        robot.cycle(cycle, 0)
    kinds = [fault.kind for fault in sent(node, "fault")]
    assert kinds == ["watchdog"]
    xyz = np.array([state.tcp_pose[:3] for state in sent(node, "proprio")])
    assert np.abs(xyz - xyz[0]).max() < 1e-3


def test_a_pose_out_of_reach_is_refused_and_the_robot_stays(started):
    robot, node = started
    away = home()
    away[:3] = [-0.1, 0.0, 0.0]
    for cycle in range(200):
        robot.receive(command(cycle, away, seq=cycle))
        robot.cycle(cycle, 0)
    assert np.isfinite(sent(node, "proprio")[-1].tcp_pose).all()


def test_the_end_of_an_episode_silences_it(started):
    robot, node = started
    robot.cycle(0, 0)
    robot.receive(start()._replace(phase="end"))
    robot.cycle(1, 0)
    assert len(sent(node, "proprio")) == 1
