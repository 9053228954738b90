"""A robot: on its own 60 Hz it measures itself and follows commands. Which one it is, ROBOT says (nodes.drivers)."""

import sys

from dora import Node

from nodes._stage import ROBOT, serve
from nodes._wire import settings
from nodes.drivers import make_robot
from operators.actors.following import Following
from operators.actors.moving import Moving
from operators.drivers import DriverError
from robots import read_robot

INPUTS = Moving.INPUTS


def main() -> None:
    config = settings()
    try:  # before Node(): a robot that is not there ends the run before it begins
        model = read_robot(config.robot_model)
        driver = make_robot(config, model)
    except (ValueError, DriverError) as error:
        sys.exit(str(error))
    run(Node(), Moving(driver, Following(model.envelope)))


def run(node: Node, moving: Moving) -> None:
    try:
        serve("robot", moving, node, ROBOT, steady=True)
    except DriverError as error:
        sys.exit(str(error))
    finally:
        moving.driver.stop()
        moving.driver.close()


if __name__ == "__main__":
    main()
