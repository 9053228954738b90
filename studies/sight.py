"""Does a policy look? Episodes in which its pictures, or what is painted on the board, are not those of the seed."""

from typing import Protocol

import numpy as np

from operators.messages import Scene
from simulation.arm import World
from simulation.tasks.write_board.strokes import REACH, stroke
from simulation.tasks.write_board.task import WriteBoard

SIGHTS = ("true", "black", "other_episode", "other_target")
OTHER = 5_000  # added to a seed for another episode
REPLAN = 24  # ticks between two chunks of the other episode's expert


class Sight(Protocol):
    """What the pictures show in the place of the scene."""

    def scene(self, true: Scene) -> Scene | None:
        """The scene to draw, once a cycle at most; None for black pictures."""
        ...


class TrueSight:
    """The scene as it is."""

    def scene(self, true: Scene) -> Scene | None:
        return true


class Black:
    """Nothing."""

    def scene(self, true: Scene) -> Scene | None:
        return None


class OtherEpisode:
    """Another board on which the expert writes another stroke, undisturbed."""

    def __init__(self, seed: int, variant: str):
        self._task, self._world = WriteBoard(seed + OTHER, variant), World()
        self._measured, self._tick = self._world.reset(self._task), 0

    def scene(self, true: Scene) -> Scene | None:
        last = self._task.duration_ticks
        for tick in range(self._tick, min(true.tick, last)):
            if tick % REPLAN == 0:
                self._chunk = self._task.expert_chunk(tick, self._measured.tcp_pose, self._measured.wrench)
            self._measured = self._world.step(self._chunk[tick % REPLAN])
        self._tick = min(true.tick, last)
        ink = self._world.ink, np.array(self._world.pen_down, np.int64)
        return Scene(*true[:4], self._world.qpos, self._task.board_pose, self._task.target, *ink)


def make_sight(name: str, seed: int, variant: str) -> Sight:
    """One of SIGHTS for an episode; other_target is a true sight of another task (`painted`).

    Raises:
        ValueError: there is no such sight.
    """
    if name not in SIGHTS:
        raise ValueError(f"--sight: expected one of {', '.join(SIGHTS)}, got {name}")
    if name == "black":
        return Black()
    return OtherEpisode(seed, variant) if name == "other_episode" else TrueSight()


def painted(seed: int, variant: str) -> np.ndarray:
    """Another stroke that begins where the seed's does and fits on the board, (n, 2): for the same arm and board."""
    start = stroke(variant, seed)[0]
    for other in range(seed + OTHER, seed + 2 * OTHER):
        moved = stroke(variant, other)
        moved = (moved - moved[0] + start).astype(np.float32)
        if np.abs(moved).max() <= REACH:
            return moved
    raise ValueError(f"expected a stroke that can begin at {start} on the board, found none")
