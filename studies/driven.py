"""One episode in which a learned policy moves the arm and the expert only labels what it sees.

So the data hold the states that policies get into, which an expert's, however disturbed, do not: DAgger (Ross, Gordon,
Bagnell 2011, arXiv 1011.0686).
"""

from dataclasses import replace

import numpy as np

from operators.messages import HZ, Command, Proprio
from simulation.tasks import make_task
from studies.lockstep import Lockstep
from studies.notes import Notes

SYNC = 0.25  # part of the episodes in which the robot waits for each chunk
DELAYS = 4, 17  # cycles, from and below


class Driven:
    """Through the same decisions as live, at a delay that follows from the seed.

    Args:
        rigs: mode -> what plays it: sync and async_rtr.
        every: cycles from one recorded row to the next.
        image: pixels a side of the pictures.

    Attributes:
        notes: the episode so far.
    """

    def __init__(self, seed: int, rigs: dict[str, Lockstep], every: int, image: int):
        rng = np.random.default_rng((seed, 4))
        self._rig = rigs["sync" if rng.random() < SYNC else "async_rtr"]
        self._delay = int(rng.integers(*DELAYS))
        self._seed, self._every = seed, every
        config = self._rig.config
        self._task = make_task(config.task, seed, config.variant)
        assert self._rig.renderer is not None  # a learned policy looks
        self.notes = Notes(self._task, self._rig.world, self._rig.renderer, image)
        self._seen: Proprio | None = None
        self._phase, self._tick = 0.0, 0  # of the newest row
        self._score: dict[str, float] = {}

    def play(self, most: int) -> None:
        """To the end, at most twice as long as the expert needs, and at most `most` cycles."""
        limit_s = min(most / HZ, 2 * self._task.expert_s)
        self._rig.config = replace(self._rig.config, time_limit_s=limit_s)
        self._score = self._rig.run(0, self._seed, lambda chunk: self._delay, self._hear).score

    def result(self) -> dict[str, float]:
        """How well the policy did it."""
        return {name: value for name, value in self._score.items() if name != "done"}

    def _hear(self, topic: str, message: tuple) -> None:
        if isinstance(message, Proprio):
            self._seen = message
            self.notes.state(message)
        if isinstance(message, Command) and self._seen and self.notes.cycle % self._every == 0:
            tick = self._seen.tick
            self._phase = self.notes.phase(round(self._phase + tick - self._tick), self._seen)
            self._tick = tick
            self.notes.look(tick, self._phase, self._seen, message.action, -1)
