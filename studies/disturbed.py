"""One episode of the expert, disturbed on purpose: data for policies that must find the way back."""

from typing import NamedTuple

import numpy as np

from operators.messages import HZ
from operators.schema import ACTION_WIDTH
from simulation.arm import LONGEST_PUSH, World
from simulation.renderer import Renderer
from simulation.tasks import Taught
from studies.notes import Notes

REPLAN = 24  # ticks between two chunks of the expert
REST = HZ // 2  # ticks recorded after the expert's end
HOLD = 15  # cycles of a pause
SHORTEST_PUSH = 0.001  # m, along the surface
PRESS = 0.0005  # m, along the normal
PRESS_SHARE = 0.2  # of the pushes, those along the normal
PUSH_SPREAD = np.radians(25)  # standard deviation of a push's direction from straight across the path
LEAST_DRIFT, FARTHEST_DRIFT = 0.002, 0.012  # m along the surface, over REPLAN ticks
AIR_DRIFT = 0.004  # m along the normal, standard deviation, off the work piece
AIR = 0.004  # m above the surface: higher than this the tool is off the work piece
PRESS_DRIFT = -0.004, 0.0006  # m along the normal on the work piece: pressing harder or nearly lifting
PRESS_DRIFT_SHARE = 0.3  # of the drifts on the work piece, those that also leave its surface


class Disturbances(NamedTuple):
    """Shares of the expert's chunks that are disturbed."""

    push: float
    drift: float
    pause: float


class Disturbed:
    """One episode: the expert plans anew every REPLAN ticks without delay, and is disturbed at some of its chunks.

    Args:
        every: cycles from one recorded row to the next.
        draw: its pictures are square; they are recorded with `image` pixels a side.

    Attributes:
        notes: the episode so far.
    """

    def __init__(self, task: Taught, shares: Disturbances, every: int, world: World, draw: Renderer, image: int):
        self._task, self._shares, self._every, self._world = task, shares, every, world
        self.notes = Notes(task, world, draw, image)
        self._rng = np.random.default_rng((task.seed, 3))
        self._measured = world.reset(task)
        self._judge = task.judge()
        self._chunk = np.zeros((0, ACTION_WIDTH), np.float32)  # being played, one REPLAN long
        self._disturbed = -1  # tick of the last disturbance

    def play(self, most: int) -> None:
        """From the start to REST ticks after the expert's end, or `most` ticks of it."""
        for tick in range(min(self._task.duration_ticks + REST, most)):
            if tick % REPLAN == 0:
                if tick and self._rng.random() < self._shares.pause:
                    self._pause(tick)
                self._plan(tick)
            self._cycle(tick, self._chunk[tick % REPLAN])

    def result(self) -> dict[str, float]:
        """How well it was done, disturbances and all."""
        score = self._judge.result()
        return {name: value for name, value in score.items() if name != "done"}

    def _pause(self, tick: int) -> None:
        """The last command holds for a while."""
        for _ in range(HOLD):
            self._cycle(tick, self._chunk[-1])

    def _cycle(self, tick: int, command: np.ndarray) -> None:
        self.notes.state(self._measured)
        cycle = self.notes.cycle
        if cycle % self._every == 0:
            self._look(tick, command)
        self._measured = self._world.step(command)
        self._judge.update(cycle / HZ, self._measured, self._world.marks.points)

    def _plan(self, tick: int) -> None:
        """A new chunk, perhaps after a push along the surface, or led off while it is played."""
        shift, leads = np.zeros(3), REPLAN  # m along the surface and out of it, and the ticks in which it grows
        if self._rng.random() < self._shares.drift:
            shift = self._drift(tick)
        elif self._rng.random() < self._shares.push:
            if self._rng.random() < PRESS_SHARE:
                shift, leads = np.array([0, 0, PRESS * self._rng.choice([-1.0, 1.0])]), REPLAN // 2
            else:
                size = self._rng.uniform(SHORTEST_PUSH, 0.999 * LONGEST_PUSH)
                self._measured = self._world.push(self._task.surface(tick)[:, :2] @ (size * self._across(tick)))
                self._disturbed = tick
        self._chunk = self._expert(tick)[:REPLAN].copy()
        if shift.any():
            grown = _smooth_step(np.arange(1, REPLAN + 1) / leads)[:, None]
            self._chunk[:, :3] += (grown * (self._task.surface(tick) @ shift)).astype(np.float32)
            self._disturbed = tick

    def _drift(self, tick: int) -> np.ndarray:
        """Where a chunk goes astray to until its end, (3,) m along the surface and out of it."""
        along = self._rng.uniform(LEAST_DRIFT, FARTHEST_DRIFT) * self._across(tick)
        normal = 0.0
        if self._task.height(self._measured.tcp_pose[:3]) > AIR:
            normal = self._rng.normal(0, AIR_DRIFT)
        elif self._rng.random() < PRESS_DRIFT_SHARE:
            normal = self._rng.uniform(*PRESS_DRIFT)
        return np.append(along, normal)

    def _across(self, tick: int) -> np.ndarray:
        """A direction on the surface more or less across the expert's, (2,); any where the expert stands."""
        along = self._task.heading(tick)
        still = np.linalg.norm(along) < 1e-5
        across = np.arctan2(along[0], -along[1]) if not still else self._rng.uniform(-np.pi, np.pi)
        angle = across + self._rng.normal(0, PUSH_SPREAD) + np.pi * self._rng.integers(2)
        return np.array([np.cos(angle), np.sin(angle)])

    def _look(self, tick: int, command: np.ndarray) -> None:
        """Record a row and its pictures: the state before this cycle's command."""
        since = tick - self._disturbed if self._disturbed >= 0 else -1
        phase = self.notes.phase(tick, self._measured)
        self.notes.look(tick, phase, self._measured, command, since)

    def _expert(self, tick: float) -> np.ndarray:
        return self._task.expert_chunk(tick, self._measured.tcp_pose, self._measured.wrench)


def _smooth_step(u: np.ndarray) -> np.ndarray:
    u = np.minimum(u, 1.0)
    return u * u * (3 - 2 * u)
