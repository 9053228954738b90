"""Rows and pictures of an episode under way, each with what the expert would do from there."""

import cv2
import numpy as np

from operators.messages import Proprio, Scene
from operators.motion.rotation import action_from_pose
from recordings.dataset.features import LAGS
from recordings.dataset.reader import Columns
from simulation.arm import World
from simulation.renderer import Renderer
from simulation.tasks import Measured, Taught


class Notes:
    """What becomes an episode of a data set.

    A row's `action_chunk` is what the expert would command from the state in that row, whoever moves the arm: the label
    of a policy that sees this state. There the expert goes by where the tool is (`Taught.phase`) and not by the
    clock, which nobody can see in a picture.

    Args:
        draw: its pictures are square; they are kept with `image` pixels a side.
    """

    def __init__(self, task: Taught, world: World, draw: Renderer, image: int):
        self._task, self._world, self._draw, self._image = task, world, draw, image
        self._states: list[np.ndarray] = []  # (9,) measured pose of every cycle so far
        self._rows: list[dict[str, np.ndarray | int]] = []
        self._frames: dict[str, list[np.ndarray]] = {name: [] for name in draw.cameras}

    @property
    def cycle(self) -> int:
        """Of the newest state, counted from 0."""
        return len(self._states) - 1

    def state(self, measured: Measured | Proprio) -> None:
        self._states.append(action_from_pose(measured.tcp_pose)[:9])

    def phase(self, tick: int, measured: Measured | Proprio) -> float:
        """How far the task is, near `tick`."""
        return self._task.phase(tick, measured.tcp_pose, begun=len(self._world.marks.points) > 0)

    def look(self, tick: int, phase: float, measured: Measured | Proprio, command: np.ndarray, since_push: int) -> None:
        """Record a row and its pictures: the newest state, before this cycle's command (10,)."""
        task = self._task
        self._rows.append(
            {
                "observation.state": self._states[-1],
                "observation.past": np.stack([self._states[max(self.cycle - lag, 0)] for lag in LAGS]),
                "observation.q": measured.q.astype(np.float32),
                "observation.velocity": measured.tcp_velocity.astype(np.float32),
                "observation.wrench": measured.wrench.astype(np.float32),
                "action": command,
                "action_chunk": task.expert_chunk(phase, measured.tcp_pose, measured.wrench),
                "tick": tick,
                "since_push": since_push,
                **{f"label.{name}": value.astype(task.LABELS[name][0]) for name, value in task.labels(phase).items()},
            }
        )
        scene = Scene(tick, task.seed, 0, tick, *self._world.scene())
        for name, pictures in self._frames.items():
            drawn = self._draw.render(scene, name)
            pictures.append(cv2.resize(drawn, (self._image, self._image), interpolation=cv2.INTER_AREA))

    def rows(self) -> Columns:
        """Feature -> (n, ...)."""
        return {name: np.stack([np.asarray(row[name]) for row in self._rows]) for name in self._rows[0]}

    def frames(self) -> dict[str, np.ndarray]:
        """Camera -> (n, h, w, 3) uint8 RGB."""
        return {name: np.stack(pictures) for name, pictures in self._frames.items()}
