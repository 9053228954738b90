"""The simulated arm, its task and the score."""

from typing import Any

import numpy as np

from operators.drivers import Reading
from operators.messages import HZ, Episode
from operators.robot_model import RobotModel
from operators.settings import Settings
from simulation.arm import World
from simulation.tasks import Task, make_task

SCORE_EVERY = 6  # cycles: 10 Hz


class SimulatedRobot:
    """Physics that move on by one tick each time a target is set."""

    def __init__(self, config: Settings, model: RobotModel, which: str) -> None:
        make_task(config.task, config.seed, config.variant)  # a wrong one ends the run before it begins
        self.world = World()

    def episode(self, start: Episode) -> None:
        self.task = self.task_of(start)
        self._judge = self.task.judge()

    def task_of(self, start: Episode) -> Task:
        return make_task(start.task, start.seed, start.variant)

    def home(self) -> None:
        self._measured = self.world.reset(self.task)

    def read(self) -> Reading:
        return Reading(*self._measured)

    def servo(self, action: np.ndarray) -> None:
        self._measured = self.world.step(action)

    def scene(self) -> tuple[Any, ...]:
        return self.world.scene()

    def score(self, cycle: int) -> tuple[Any, ...] | None:
        self._judge.update(cycle / HZ, self._measured, self.world.marks.points)
        if cycle % SCORE_EVERY and not self._judge.done:
            return None
        score = self._judge.result()
        return bool(score["done"]), bool(score["success"]), list(score), [float(value) for value in score.values()]

    def stop(self) -> None:
        """Time stands still between episodes."""

    def close(self) -> None:
        """There is nothing to let go of."""
