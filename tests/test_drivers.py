"""Drivers: chosen by name, found in the user's own packages, and what their processes make of them."""

from typing import Any

import numpy as np
import pytest

from nodes import camera, robot
from nodes.drivers import DriverError, make_camera, make_robot
from operators.actors.following import Following
from operators.actors.moving import Moving
from operators.drivers import Simulated
from operators.messages import Command
from operators.motion.rotation import action_from_pose
from operators.schema import pack
from operators.settings import Settings
from reports.film import fitted
from tests.envelope import ENVELOPE, UR5E
from tests.own_rig import install
from tests.replay import Mock, replay_node, sent
from tests.test_robot import Played, start


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(install(tmp_path / "site")))


def test_an_unknown_driver_is_answered_with_the_choices_of_every_package(own):
    with pytest.raises(DriverError, match=r"^ROBOT: expected one of own, sim, got 'ur5'$"):
        make_robot(Settings(robot="ur5:10.0.0.7"), UR5E)
    with pytest.raises(DriverError, match=r"^CAMERA_SIDE: expected one of own, sim, got ''$"):
        make_camera(Settings(), "side", "")


def test_a_driver_that_cannot_be_started_says_why(own):
    with pytest.raises(DriverError, match=r"^CAMERA_SIDE=own:unplugged: no device on port 7$"):
        make_camera(Settings(), "side", "own:unplugged")
    with pytest.raises(DriverError, match=r"^CAMERA_SIDE=sim: expected a view of front, wrist, got 'side'$"):
        make_camera(Settings(), "side", "sim")


def test_a_process_ends_in_one_sentence_without_its_driver(monkeypatch, capsys):
    node = replay_node([], node_config={"outputs": ["frame_side"]})
    with pytest.raises(SystemExit, match=r"^CAMERA_SIDE: expected one of .*sim.*, got 'nothing'$"):
        camera.run(node, Settings(), {"CAMERA_SIDE": "nothing"})
    monkeypatch.setenv("VARIANT", "nothing")
    with pytest.raises(SystemExit, match=r"^ROBOT=sim: VARIANT: expected one of random, lasa, got 'nothing'$"):
        robot.main()
    monkeypatch.setenv("ROBOT", "nothing")
    with pytest.raises(SystemExit, match=r"^ROBOT: expected one of .*sim.*, got 'nothing'$"):
        robot.main()
    monkeypatch.setenv("ROBOT_MODEL", "nothing")
    with pytest.raises(SystemExit, match=r"^ROBOT_MODEL: expected one of ur5e, or .*, got 'nothing'$"):
        robot.main()


class Waiting(Mock):
    """A node that is stopped once three pictures were sent."""

    def next(self, timeout: float | None = None) -> Any:
        waits = self.episode_came and len(self.outputs.get("frame_side", [])) < 3
        self.episode_came = True
        return {"type": "ERROR"} if waits else super().next(timeout)

    episode_came = False


def test_a_camera_of_ones_own_sends_from_its_thread_at_the_size_that_is_wanted(own):
    wired = {"inputs": {"episode": ""}, "outputs": ["frame_side", "fault"]}
    node = replay_node([("episode", pack(start()))], Waiting, node_config=wired)
    camera.run(node, Settings(image_width=32, image_height=32), {"CAMERA_SIDE": "own:120"})
    numbers, stamps = zip(*[(about["seq"], about["t_ns"]) for _, about in node.outputs["frame_side"]], strict=True)
    assert numbers[:3] == (0, 1, 2) and list(stamps) == sorted(stamps)
    pixels, about = node.outputs["frame_side"][0]
    assert (about["width"], about["height"], about["episode"]) == (32, 32, 0)
    assert len(pixels) == 32 * 32 * 3 and set(pixels) == {120}
    assert [(fault.node, fault.kind) for fault in sent(node, "fault")] == [("camera_side", "slow")]


def followed(driver: Any, cycles: int) -> Played:
    """A robot after an episode with a command in each cycle."""
    robot, there = Played(driver), action_from_pose(driver.pose, 0.5)
    robot.receive(start())
    for cycle in range(cycles):
        robot.receive(Command(cycle, 0, 0, cycle, cycle, "playing", there, there, 0, 0))
        robot.cycle(cycle)
    robot.receive(start()._replace(phase="end"))
    for cycle in range(cycles, cycles + 5):
        robot.cycle(cycle)
    return robot


def test_a_robot_is_told_where_to_be_only_once_it_is_home(own):
    driver: Any = make_robot(Settings(robot="own:99"), UR5E)
    told = followed(driver, 6).sent
    assert len(told) == 9 and isinstance(driver.calls[-1], str)  # at rest after three
    told = told[:6]
    assert [each.state for each in told] == ["homing"] * 3 + ["ready"] * 3  # and nothing else was sent
    assert [each.tick for each in told] == [0, 0, 0, 0, 4, 5]
    assert [each.t_ns for each in told] == [72, 71, 70, 69, 68, 67]  # the driver's own stamps
    assert len(driver.calls) == 7 and not isinstance(driver, Simulated)


class Unstopped(Mock):
    """A node that is never stopped."""

    def drain(self) -> list[dict[str, Any]]:
        return [event for event in super().drain() if event["type"] != "STOP"]


def test_a_robot_that_is_lost_ends_its_process_in_one_sentence(own):
    driver: Any = make_robot(Settings(robot="own:2"), UR5E)
    node = replay_node([("episode", pack(start()))], Unstopped)
    with pytest.raises(SystemExit, match=r"^own robot: expected an answer, got none for 1 s$"):
        robot.run(node, Moving(driver, Following(ENVELOPE)))
    assert driver.calls[-2:] == ["stop", "close"]


def test_a_picture_is_cut_in_the_middle_and_shrunk():
    wide = np.zeros((40, 100, 3), np.uint8)
    wide[:, 30:70] = [10, 20, 30]
    assert np.array_equal(fitted(wide, 20, 20), np.full((20, 20, 3), [10, 20, 30]))
    tall = np.ascontiguousarray(wide.swapaxes(0, 1))
    assert np.array_equal(fitted(tall, 20, 20), np.full((20, 20, 3), [10, 20, 30]))
    assert fitted(wide, 50, 20).shape == (20, 50, 3) and fitted(wide, 200, 80).shape == (80, 200, 3)
    assert np.shares_memory(fitted(wide, 100, 40), wide) and np.array_equal(fitted(wide, 100, 40), wide)
