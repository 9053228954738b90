"""A robot and its tool as robots/NAME.toml describes them, the one owner of their limits. A shell reads the file."""

from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from math import isfinite
from typing import Any, get_args, get_type_hints

from operators.motion.limits import Envelope, Vector

Six = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class Joints:
    """Limits of the six joints, base to wrist."""

    low_rad: Six
    high_rad: Six
    speed_rad_s: Six
    acceleration_rad_s2: Six

    def __post_init__(self):
        if not all(low < high for low, high in zip(self.low_rad, self.high_rad, strict=True)):
            raise ValueError(f"expected low_rad below high_rad in each joint, got {self.low_rad} and {self.high_rad}")
        if min(*self.speed_rad_s, *self.acceleration_rad_s2) <= 0:
            raise ValueError(f"expected positive limits, got {self.speed_rad_s} and {self.acceleration_rad_s2}")


@dataclass(frozen=True)
class RobotModel:
    """What executor, driver and home motion need to know of a robot; every key of its file."""

    tcp: Six  # flange -> tool centre point: xyz [m], rotation vector [rad]
    payload_kg: float
    payload_centre_m: Vector  # in the flange frame
    home_rad: Six
    servo_lag_ms: float  # from a command to the pose that follows it
    envelope: Envelope
    joints: Joints

    def __post_init__(self):
        if min(self.payload_kg, self.servo_lag_ms) < 0:
            both = f"{self.payload_kg}, {self.servo_lag_ms}"
            raise ValueError(f"expected payload_kg and servo_lag_ms from 0 up, got {both}")
        ranges = zip(self.joints.low_rad, self.home_rad, self.joints.high_rad, strict=True)
        if not all(low <= at <= high for low, at, high in ranges):
            raise ValueError(f"expected home_rad within the joints' limits, got {self.home_rad}")


def robot_model(table: Mapping[str, Any], name: str) -> RobotModel:
    """A file's content, checked.

    Args:
        table: as parsed.
        name: of the file, for messages.

    Raises:
        ValueError: one sentence: the key, what was expected there and what came.
    """
    return _read(RobotModel, table, name)


def _read(kind: type, table: Any, where: str) -> Any:
    hints = get_type_hints(kind)
    keys = list(table) if isinstance(table, Mapping) else [f"{table!r}"]
    if set(keys) != set(hints):
        raise ValueError(f"{where}: expected the keys {', '.join(hints)}, got {', '.join(keys)}")
    values = {name: _value(hint, table[name], f"{where}, {name}") for name, hint in hints.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _value(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return _read(hint, value, where)  # pyright: ignore[reportArgumentType]
    count = len(get_args(hint))  # 0: one number
    numbers = value if count and isinstance(value, list) else [value]
    good = [float(n) for n in numbers if type(n) in (int, float) and isfinite(n)]
    if len(good) != len(numbers) or len(good) != max(count, 1):
        expected = f"{count} finite numbers" if count else "a finite number"
        raise ValueError(f"{where}: expected {expected}, got {value!r}")
    return tuple(good) if count else good[0]
