"""One episode in which a learned policy moves the arm and the expert only labels what it sees.

So the data hold the states that policies get into, which an expert's, however disturbed, do not: DAgger (Ross, Gordon,
Bagnell 2011, arXiv 1011.0686).
"""

import numpy as np

from operators.messages import HZ, Command, Proprio
from simulation.renderer import Renderer
from simulation.tasks import make_task
from studies.notes import Notes
from studies.simulated import Simulated

SYNC = 0.25  # part of the episodes in which the robot waits for each chunk
DELAYS = 4, 17  # cycles, from and below


class Driven:
    """Through the same decisions as live, at a delay that follows from the seed.

    Args:
        rigs: mode -> what plays it: sync and async_rtr.
        every: cycles from one recorded row to the next.
        draw: draws the pictures.
        image: pixels a side of the pictures.

    Attributes:
        notes: the episode so far.
    """

    def __init__(self, seed: int, rigs: dict[str, Simulated], every: int, draw: Renderer, image: int):
        rng = np.random.default_rng((seed, 4))
        self._rig = rigs["sync" if rng.random() < SYNC else "async_rtr"]
        self._delay = int(rng.integers(*DELAYS))
        self._seed, self._every = seed, every
        config = self._rig.config
        self._task = make_task(config.task, seed, config.variant)
        self.notes = Notes(self._task, self._rig.driver.world, draw, image)
        self._command: Command | None = None
        self._phase, self._tick = 0.0, 0  # of the newest row
        self._score: dict[str, float] = {}

    def play(self, most: int) -> None:
        """To the end, at most twice as long as the expert needs, and at most `most` cycles."""
        limit_s = min(most / HZ, 2 * self._task.expert_s)
        self._score = self._rig.run(0, self._seed, lambda chunk: self._delay, self._hear, limit_s).score

    def result(self) -> dict[str, float]:
        """How well the policy did it."""
        return {name: value for name, value in self._score.items() if name != "done"}

    def _hear(self, sender: str, output: str, message: object) -> None:
        """While a `Proprio` is sent, the world is in the state it tells; the newest command is applied next."""
        if isinstance(message, Command):
            self._command = message
        if isinstance(message, Proprio):
            self.notes.state(message)
            if self._command and self.notes.cycle % self._every == 0:
                self._phase = self.notes.phase(round(self._phase + message.tick - self._tick), message)
                self._tick = message.tick
                self.notes.look(message.tick, self._phase, message, self._command.action, -1)
