"""A camera that draws the simulated scene: a picture that is asked for at once, and otherwise every second one."""

from collections.abc import Callable
from functools import cache

import numpy as np

from operators.messages import Episode, Scene
from operators.settings import Settings
from simulation.renderer import NoGraphics, Renderer
from simulation.shutter import EVERY, Shutter
from simulation.tasks import task_class


class SimulatedCamera:
    """A view of the scene: the one called like the camera, or another (`sim:front`)."""

    INPUTS = ("scene", "request")

    def __init__(self, config: Settings, name: str, which: str, every: int = EVERY) -> None:
        self._view, self._shutter = which or name, Shutter(every)
        try:
            self._renderer = renderer(config.task, config.image_width, config.image_height)
        except NoGraphics as error:
            raise ValueError(str(error)) from error
        if self._view not in self._renderer.cameras:
            raise ValueError(f"expected a view of {', '.join(self._renderer.cameras)}, got {self._view!r}")

    def start(self, send: Callable[[np.ndarray, int], None], fault: Callable[[str, str], None]) -> None:
        self._send = send

    def receive(self, message: object) -> None:
        if scene := self.exposed(message):
            self._send(self.drawn(scene), scene.t_ns)

    def exposed(self, message: object) -> Scene | None:
        """The scene to draw now, if there is one."""
        if isinstance(message, Episode):
            self._shutter.restart()
            return None
        return self._shutter.receive(message)  # pyright: ignore[reportArgumentType]

    def drawn(self, scene: Scene) -> np.ndarray:
        """The camera's picture of a scene, (height, width, 3) uint8 RGB."""
        return self._renderer.render(scene, self._view)

    def close(self) -> None:
        """There is nothing to let go of."""


@cache
def renderer(task: str, width: int, height: int) -> Renderer:
    """One for all the cameras of a process: each holds a context of the graphics library."""
    return Renderer(task_class(task), width, height)
