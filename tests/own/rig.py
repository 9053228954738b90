"""A robot that is slow to get ready, and a camera that shows one colour."""

import time
from threading import Event, Thread
from typing import Any

import numpy as np

from nodes.drivers.robot_sim import SimulatedRobot


class Slow(SimulatedRobot):
    """Is homing for its first twenty cycles."""

    def home(self) -> None:
        super().home()
        self._left = 20

    def read(self) -> Any:
        self._left -= 1
        return super().read()._replace(state="ready" if self._left < 0 else "homing")


class Plain:
    INPUTS = ()

    def __init__(self, config: Any, name: str, which: str):
        self._level, self._ended = int(which), Event()

    def start(self, send: Any, fault: Any) -> None:
        self._thread = Thread(target=self._run, args=(send,))
        self._thread.start()

    def _run(self, send: Any) -> None:
        while not self._ended.wait(0.03):
            send(np.full((48, 64, 3), self._level, np.uint8), time.monotonic_ns())

    def receive(self, message: object) -> None:
        """Nothing is of interest."""

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
