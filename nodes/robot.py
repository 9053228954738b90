"""A robot: on its own 60 Hz it measures itself and follows commands. Which one it is, ROBOT says (nodes.drivers)."""

import sys

from dora import Node

from nodes._clock import ROBOT, cycles, realtime
from nodes._wire import Wire, settings
from nodes.drivers import DriverError, Simulated, make_robot
from nodes.drivers import Robot as Driver
from operators.actors.following import Following
from operators.messages import HZ, Command, Episode
from robots import read_robot

INPUTS = Following.INPUTS


class Robot:
    """Tells what the driver measures, and the driver what to do, from an episode's start to its end."""

    def __init__(self, wire: Wire, driver: Driver, following: Following):
        self._wire, self._driver, self._following = wire, driver, following
        self._simulated = driver if isinstance(driver, Simulated) else None
        self._playing = False

    def receive(self, message: object) -> None:
        if isinstance(message, Command):
            self._following.commanded(message)
        elif isinstance(message, Episode):
            self._playing = message.phase == "start"
            if not self._playing:
                self._driver.stop()
                return
            self._following.restart()
            if self._simulated:
                self._simulated.episode(message)
            self._driver.home()

    def cycle(self, cycle: int, t_ns: int) -> None:
        """Measure, tell, apply: proprio is the state before the action of its tick."""
        if not self._playing:
            return
        *columns, measured_ns = self._driver.read()
        t_ns = t_ns if measured_ns is None else measured_ns
        self._wire.send("proprio", self._following.tick, cycle, *columns, t_ns=t_ns)
        if self._simulated:
            self._wire.send("scene", self._following.tick, *self._simulated.scene(), t_ns=t_ns)
        _, pose, _, _, gripper, state = columns
        target = self._wire.attempt("target refused", self._following.cycle, state, pose, gripper)
        if target:
            if target.fault:
                self._wire.fault("watchdog", target.fault)
            self._wire.attempt("unreachable", self._driver.servo, target.action)
        if self._simulated and (score := self._simulated.score(cycle)):
            self._wire.send("score", self._following.tick, *score)


def main() -> None:
    config = settings()
    try:  # before Node(): a robot that is not there ends the run before it begins
        model = read_robot(config.robot_model)
        driver = make_robot(config.robot, model)
    except (ValueError, DriverError) as error:
        sys.exit(str(error))
    run(Node(), driver, Following(model.envelope))


def run(node: Node, driver: Driver, following: Following) -> None:
    wire = Wire(node, "robot", INPUTS)
    robot = Robot(wire, driver, following)
    realtime(ROBOT)
    try:
        for cycle, t_ns in cycles(HZ):
            for _, message in wire.drain():
                robot.receive(message)
            if not wire.open:
                return
            robot.cycle(cycle, t_ns)
    except DriverError as error:
        sys.exit(str(error))
    finally:
        driver.stop()
        driver.close()


if __name__ == "__main__":
    main()
