"""Ink: what the pen leaves on the board."""

from typing import TYPE_CHECKING

import numpy as np

from operators.motion.rotation import matrix_from_vector
from simulation.tasks import Measured

if TYPE_CHECKING:
    import mujoco

FORCE = 0.15  # N, the lightest touch that leaves ink
SPACING = 0.0003  # m


class Ink:
    """Points in the board plane [m]."""

    def __init__(self, board_pose: np.ndarray):
        self._origin, self._plane = board_pose[:3], matrix_from_vector(board_pose[3:])[:, :2].T
        self.begins: list[int] = []
        self._points, self._written = np.zeros((1024, 2), np.float32), 0  # room for more than is written
        self._writing = False

    @property
    def points(self) -> np.ndarray:
        points = self._points[: self._written]
        points.flags.writeable = False
        return points

    def update(self, data: "mujoco.MjData", measured: Measured) -> None:
        """Leave ink where the tip touches, if it presses enough."""
        if measured.wrench[2] < FORCE:
            self._writing = False
            return
        point = (self._plane @ (data.site("tip").xpos - self._origin)).astype(np.float32)
        if not self._writing:
            self.begins.append(self._written)
        elif np.linalg.norm(point - self._points[self._written - 1]) < SPACING:
            return
        if self._written == len(self._points):
            self._points = np.concatenate([self._points, np.zeros_like(self._points)])
        self._points[self._written] = point
        self._written, self._writing = self._written + 1, True
