"""What stands behind a robot and a camera: two protocols, and the tables that ROBOT and CAMERA_<NAME> choose from.

A package of the user's own adds to the tables by the entry points `rtr.robots` and `rtr.cameras`: name -> module:Class.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np

from operators.messages import READY, Episode
from operators.robot_model import RobotModel

ROBOTS = {"sim": "nodes.drivers.robot_sim:SimulatedRobot"}
CAMERAS = {"sim": "nodes.drivers.camera_sim:SimulatedCamera"}


class DriverError(RuntimeError):
    """There is no such driver, it cannot be started, or what it drives is lost. Ends the process with this sentence."""


class Reading(NamedTuple):
    """A robot's state: columns of `Proprio`."""

    q: np.ndarray  # (6,) rad
    tcp_pose: np.ndarray  # (6,) m, rotation vector; base frame
    tcp_velocity: np.ndarray  # (6,) m/s, rad/s; base frame
    wrench: np.ndarray  # (6,) N, Nm in the tool frame, bias removed; +z presses the tool back
    gripper: float  # 0..1
    state: str = READY  # one of operators.messages.STATES
    t_ns: int | None = None  # when it was measured, by time.monotonic_ns(); None: at the beginning of this cycle


class Robot(Protocol):
    """A robot. Each call returns at once: whatever takes longer runs in a thread or process of the driver's own.

    Made from the robot's model and what follows `NAME:` in ROBOT. Commands that come here are limited and watched
    already (operators.actors.following), one each 1/60 s while the robot is ready; a driver interpolates between them.
    """

    def __init__(self, model: RobotModel, which: str) -> None: ...

    def read(self) -> Reading:
        """The newest state, also while the robot is not ready.

        Raises:
            DriverError: the robot is lost for good.
        """
        ...

    def servo(self, action: np.ndarray) -> None:
        """Be at a pose (10,) one period from now: xyz [m], 6-D rotation, gripper 0..1; TCP in the base frame.

        Raises:
            ValueError: it cannot be reached. The robot comes to rest where it is.
        """
        ...

    def home(self) -> None:
        """Go to where episodes begin; the state is `homing` until it is there. Called when an episode begins.

        A driver that may not move by itself stays where it is.
        """
        ...

    def stop(self) -> None:
        """Come to rest on the way that is commanded last. Called when an episode or the run ends."""
        ...

    def close(self) -> None:
        """Leave the robot at rest and let go of it."""
        ...


@runtime_checkable
class Simulated(Protocol):
    """What a simulated robot can do beyond a real one: it makes its episode, shows its scene and knows its score."""

    def episode(self, start: Episode) -> None:
        """Prepare the episode. Called before `home`."""
        ...

    def scene(self) -> tuple[Any, ...]:
        """Columns of `Scene` behind `tick`."""
        ...

    def score(self, cycle: int) -> tuple[Any, ...] | None:
        """Columns of `Score` behind `tick`, if there is news after this cycle. Called once each cycle."""
        ...


class Camera(Protocol):
    """A camera. Made from its name (`front`), what follows `NAME:` in CAMERA_<NAME>, and the size that is wanted [px].

    Pictures of another size are cut and shrunk by the node; a driver that can choose takes the smallest larger one.
    """

    INPUTS: ClassVar[tuple[str, ...]]  # topics it needs to hear, beside `episode`

    def __init__(self, name: str, which: str, width: int, height: int) -> None: ...

    def start(self, send: Callable[[np.ndarray, int], None], fault: Callable[[str, str], None]) -> None:
        """Begin. Both functions may be called from any thread, from now on to `close`.

        Args:
            send: takes a picture (h, w, 3) uint8 RGB, and when what it shows was there, by time.monotonic_ns().
            fault: takes the kind and the details of something that went wrong.
        """
        ...

    def receive(self, message: object) -> None:
        """An `Episode`, or a message of one of INPUTS."""
        ...

    def close(self) -> None:
        """Send no more and let go of the camera."""
        ...


def make_robot(chosen: str, model: RobotModel) -> Robot:
    """The driver that ROBOT names: `NAME`, or `NAME:WHICH`.

    Raises:
        DriverError: there is none of this name, or it cannot be started; one sentence.
    """
    return _made("ROBOT", chosen, ROBOTS, "rtr.robots", lambda kind, which: kind(model, which))


def make_camera(name: str, chosen: str, width: int, height: int) -> Camera:
    """The driver that CAMERA_<NAME> names.

    Raises:
        DriverError: there is none of this name, or it cannot be started; one sentence.
    """
    variable = f"CAMERA_{name.upper()}"
    return _made(variable, chosen, CAMERAS, "rtr.cameras", lambda kind, which: kind(name, which, width, height))


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
