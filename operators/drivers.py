"""What stands behind a robot and a camera: the protocols of their drivers. Who makes them: nodes.drivers."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np

from operators.messages import READY, Episode
from operators.robot_model import RobotModel
from operators.settings import Settings


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

    Made from the settings, the robot's model and what follows `NAME:` in ROBOT. What comes here was limited and watched
    (operators.actors.following): one target each 1/60 s while the robot is ready, to be interpolated by the driver.
    """

    def __init__(self, config: Settings, model: RobotModel, which: str) -> None: ...

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
        """Go to where episodes begin, `homing` on the way; or stay, if moving by itself is not allowed. Called when an
        episode begins.
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
    """A camera. Made from the settings, its name (`front`) and what follows `NAME:` in CAMERA_<NAME>.

    Pictures of another size than IMAGE_WIDTH x IMAGE_HEIGHT are cut and resized by the node.
    """

    INPUTS: ClassVar[tuple[str, ...]]  # topics it needs to hear, beside `episode`

    def __init__(self, config: Settings, name: str, which: str) -> None: ...

    def start(self, send: Callable[[np.ndarray, int], None], fault: Callable[[str, str], None]) -> None:
        """Begin. Both functions may be called from any thread until `close`.

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
