"""Go 40 mm aside at a steady pace, as long as it is not dark. A policy that looks must not load the simulation."""

from typing import Any

import numpy as np

from operators.messages import HORIZON
from operators.motion.rotation import matrix_from_vector
from operators.policy import Prediction

PACE = 0.04 / 60  # m a tick
STILL = np.tile(np.array([0, 0, 0, 1, 0, 0, 0, 1, 0, 0], np.float32), (HORIZON, 1))


class Aside:
    cameras = ("side",)

    def __init__(self, config: Any):
        self._gone = 0.0  # m of the way to the point

    def start(self, episode: Any) -> None:
        self._start = np.zeros(0)

    def predict(self, observation: Any) -> Prediction:
        pose, frame = observation.proprio.tcp_pose, observation.frames["side"]
        self._start = self._start if len(self._start) else pose[:3].copy()
        goal = self._start + [0, 0.04, 0] if frame.pixels.mean() > 10 else self._start  # in the dark it stays
        way = goal - pose[:3]
        left = np.linalg.norm(way)
        along = np.minimum(PACE * np.arange(1, HORIZON + 1), left)[:, None] * way / max(left, 1e-9)
        values = STILL.copy()
        values[:, :3] = along @ matrix_from_vector(pose[3:])
        return Prediction(values)
