"""What a row of our data sets holds of an observation and of what was commanded."""

from operators.messages import HORIZON
from operators.schema import ACTION_WIDTH
from recordings.dataset.reader import CAMERA, Feature, feature
from recordings.dataset.writer import camera_feature

LAGS = (6, 12, 18, 24)  # cycles back of the states in `observation.past`
POSE = ["x", "y", "z", "r11", "r21", "r31", "r12", "r22", "r32"]  # m, first two columns of R


def features(fps: int, sizes: dict[str, tuple[int, int]]) -> dict[str, Feature]:
    """Poses in the base frame, times in ticks of 1/60 s.

    Args:
        fps: rows a second.
        sizes: camera -> height, width.
    """
    joints = [f"joint_{i}" for i in range(1, 7)]
    return {
        **{CAMERA + name: camera_feature(*size, fps) for name, size in sizes.items()},
        "observation.state": feature("float32", 9, names=POSE),  # measured TCP pose
        "observation.past": feature("float32", len(LAGS), 9),  # the same LAGS ago, or at the start
        "observation.q": feature("float32", 6, names=joints),  # rad
        "observation.velocity": feature("float32", 6, names=["vx", "vy", "vz", "wx", "wy", "wz"]),  # m/s, rad/s
        "observation.wrench": feature("float32", 6, names=["fx", "fy", "fz", "tx", "ty", "tz"]),  # N, Nm, tool frame
        "action": feature("float32", ACTION_WIDTH, names=[*POSE, "gripper"]),  # commanded in this tick
        "action_chunk": feature("float32", HORIZON, ACTION_WIDTH),  # commanded in this tick and the next
        "tick": feature("int64", 1),  # plan time: stands while the robot pauses
    }
