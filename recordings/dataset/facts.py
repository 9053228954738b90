"""What a training has to be told of a task, its tool and its cameras: `meta/augment.json` of a data set.

The encoder that was trained with them keeps them in its checkpoint, for they also say what it is to be shown.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

PLACE = Path("meta") / "augment.json"
Box = tuple[int, int, int, int]  # first row, row after the last, first column, column after the last


@dataclass(frozen=True)
class Press:
    """A springy tool that presses along its z axis, and what another force than usual means for the expert's path."""

    stiffness_n_m: float
    lag_ticks: float  # measured pose behind the command
    recovery_ticks: float  # in which the expert's correction of an offset falls to 1 / e
    trusted_m: float  # smaller offsets the expert lets be
    share: float  # of the samples in contact that are varied
    contact_n: float  # force from which on a sample is in contact
    least_n: float  # left at least
    softer_n: float  # less at most
    harder_n: float  # more at most


@dataclass(frozen=True)
class Facts:
    """Pictures are squares of `models.encoders.vision.SIZE`; vectors are in the base frame."""

    task: str  # its name, TASK
    front: Box  # of the front picture, where the task is
    wrist: Box  # of the wrist picture, around the tool
    near: Box  # of that part again, seen twice as sharply
    mirror: bool  # both cameras look along the base's and the tool's xz plane: a mirrored scene is as good
    centre_m: tuple[float, float, float]  # around which the TCP moves
    reach_m: float  # how far from it, usually
    upright: tuple[float, ...]  # (6,) first two columns of the tool's usual rotation
    tilt: float  # of the rotation's entries, usually
    speed_m_s: float  # usual
    standing_m_s: float  # slower is standing
    force_n: float  # usual, along the tool's z axis
    touch_n: tuple[float, float]  # below the first nothing is touched, above the second something is
    point_m: float  # in which the path to come is told
    sight_m: float  # an end of the path that is farther off may be out of sight
    finished_ticks: int  # before the expert's end: from there on the task is finished
    approach: int  # times a row without contact before that counts: it is short, and where it ends all else begins
    press: Press | None = None

    @classmethod
    def of(cls, told: Mapping[str, Any], where: object) -> "Facts":
        """From their JSON form, as `asdict` makes it.

        Args:
            where: they come from, for the refusal.

        Raises:
            ValueError: a fact is missing or unknown.
        """
        press = told.get("press")
        return _made(cls, {**told, "press": press and _made(Press, press, where)}, where)

    @classmethod
    def read(cls, root: Path) -> "Facts":
        """Those of a data set.

        Raises:
            ValueError: it has none, or they are damaged.
        """
        path = root / PLACE
        if not path.is_file():
            raise ValueError(f"{path}: expected facts of the task for training, found none: `rtr collect` writes them")
        try:
            return cls.of(json.loads(path.read_text()), path)
        except (json.JSONDecodeError, AttributeError, TypeError) as error:
            raise ValueError(f"{path}: expected a JSON object of facts, got {error}") from error

    def write(self, root: Path) -> None:
        """Put them into a data set."""
        (root / PLACE).write_text(json.dumps(asdict(self), indent=1) + "\n")


def _made(kind: Any, told: Mapping[str, Any], where: object) -> Any:
    names = [field.name for field in fields(kind)]
    if wrong := sorted(told.keys() ^ set(names)):
        raise ValueError(f"{where}: expected the facts {', '.join(names)}; missing or unknown: {', '.join(wrong)}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in told.items()})
