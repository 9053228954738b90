"""A camera that draws the simulated scene: a picture that is asked for at once, and otherwise every second one."""

import os
from collections.abc import Callable

import numpy as np

from operators.messages import Episode, Request, Scene
from simulation.renderer import NoGraphics, Renderer
from simulation.shutter import Shutter
from simulation.tasks import task_class


class SimulatedCamera:
    """A view of the scene: the one called like the camera, or another (`sim:front`)."""

    INPUTS = ("scene", "request")

    def __init__(self, name: str, which: str, width: int, height: int) -> None:
        self._view, self._shutter = which or name, Shutter()
        try:
            self._renderer = Renderer(task_class(os.environ.get("TASK", "")), width, height)
        except NoGraphics as error:
            raise ValueError(str(error)) from error
        if self._view not in self._renderer.cameras:
            raise ValueError(f"expected a view of {', '.join(self._renderer.cameras)}, got {self._view!r}")

    def start(self, send: Callable[[np.ndarray, int], None], fault: Callable[[str, str], None]) -> None:
        self._send = send

    def receive(self, message: object) -> None:
        if isinstance(message, Episode):
            self._shutter.restart()
        elif isinstance(message, Scene | Request) and (scene := self._shutter.receive(message)):
            self._send(self._renderer.render(scene, self._view), scene.t_ns)

    def close(self) -> None:
        """There is nothing to let go of."""
