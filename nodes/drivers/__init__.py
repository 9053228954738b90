"""The drivers of robots and cameras (operators.drivers), in the tables that ROBOT and CAMERA_<NAME> choose from.

A package of the user's own adds to the tables by the entry points `rtr.robots` and `rtr.cameras`: name -> module:Class.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from operators.drivers import Camera, DriverError, Robot
from operators.robot_model import RobotModel
from operators.settings import Settings

ROBOTS = {"sim": "nodes.drivers.robot_sim:SimulatedRobot"}
CAMERAS = {"sim": "nodes.drivers.camera_sim:SimulatedCamera"}


def make_robot(config: Settings, model: RobotModel) -> Robot:
    """The driver that ROBOT names: `NAME`, or `NAME:WHICH`.

    Raises:
        DriverError: there is none of this name, or it cannot be started; one sentence.
    """
    return _made("ROBOT", config.robot, ROBOTS, "rtr.robots", lambda kind, which: kind(config, model, which))


def make_camera(config: Settings, name: str, chosen: str) -> Camera:
    """The driver that CAMERA_<NAME> names, as `chosen`.

    Raises:
        DriverError: there is none of this name, or it cannot be started; one sentence.
    """
    variable = f"CAMERA_{name.upper()}"
    return _made(variable, chosen, CAMERAS, "rtr.cameras", lambda kind, which: kind(config, name, which))


def _made(variable: str, chosen: str, table: Mapping[str, str], group: str, make: Callable[[Any, str], Any]) -> Any:
    name, _, which = chosen.partition(":")
    known = {**{entry.name: entry.value for entry in entry_points(group=group)}, **table}
    if name not in known:
        raise DriverError(f"{variable}: expected one of {', '.join(sorted(known))}, got {name!r}")
    module, attribute = known[name].split(":")
    try:
        return make(getattr(import_module(module), attribute), which)
    except (ImportError, OSError, ValueError) as error:
        raise DriverError(f"{variable}={chosen}: {error}") from error
