"""Touch a point: the tool goes 40 mm along the base's y axis and marks its way."""

from pathlib import Path
from typing import Any

import numpy as np

from operators.messages import HORIZON, HZ
from operators.motion.kinematics import forward
from operators.motion.rotation import action_from_pose, vector_from_matrix
from simulation.tasks import Taught

FAR, TICKS = 0.04, 60  # m, and ticks the expert takes


class Touch(Taught):
    SCENE = Path(__file__).with_name("scene.xml")
    TCP = np.eye(4)
    VARIANTS, TEXTS = ("left", "right"), ("Touch the point.",)

    def __init__(self, seed: int, variant: str):
        self.seed, self.variant = seed, variant
        self.home_q = np.array([2.90, -1.30, 1.55, -1.60, -1.65, 1.35])
        pose = forward(self.home_q, self.TCP)
        self.reference_rotation = vector_from_matrix(pose[:3, :3])
        self.home_pose = np.concatenate([pose[:3, 3], self.reference_rotation])
        self.piece_pose = np.concatenate([pose[:3, 3] - [0, 0, 0.1], np.zeros(3)])
        self.goal = np.array([[0, 0], [0, FAR if variant == "left" else -FAR]], np.float32)
        u = np.minimum(np.arange(TICKS + 1) / TICKS, 1)
        self.reference_path = pose[:3, 3] + (u**3 * (10 - 15 * u + 6 * u**2))[:, None] * np.append(self.goal[1], 0)
        self.duration_ticks = TICKS

    def marks(self) -> "Trail":
        return Trail(self.piece_pose[:3])

    def judge(self) -> "Judge":
        return Judge(self.reference_path[-1])

    def other_goal(self) -> "Touch":
        return Touch(self.seed, "right" if self.variant == "left" else "left")

    def expert_chunk(self, tick: float, tcp_pose: np.ndarray, wrench: np.ndarray, horizon: int = HORIZON) -> np.ndarray:
        at = np.minimum(np.arange(horizon) + int(tick), TICKS)
        turned = np.tile(self.reference_rotation, (horizon, 1))
        return action_from_pose(np.concatenate([self.reference_path[at], turned], 1)).astype(np.float32)

    def phase(self, tick: int, tcp_pose: np.ndarray, begun: bool) -> float:
        return float(np.argmin(np.linalg.norm(self.reference_path - tcp_pose[:3], axis=1)))

    def surface(self, tick: float) -> np.ndarray:
        return np.eye(3)

    def heading(self, tick: float) -> np.ndarray:
        return self.goal[1] / TICKS

    def height(self, position: np.ndarray) -> float:
        return float(position[2] - self.piece_pose[2])


class Trail:
    def __init__(self, origin: np.ndarray):
        self.points, self.begins, self._origin = np.zeros((0, 2), np.float32), [0], origin

    def update(self, data: Any, measured: Any) -> None:
        point = (measured.tcp_pose[:2] - self._origin[:2]).astype(np.float32)
        self.points = np.concatenate([self.points, point[None]])


class Judge:
    def __init__(self, goal: np.ndarray):
        self.done, self._goal, self._far_m, self._begun_s = False, goal, np.inf, None

    def update(self, time_s: float, measured: Any, marks: np.ndarray) -> None:
        self._begun_s = time_s if self._begun_s is None else self._begun_s
        self._far_m = float(np.linalg.norm(measured.tcp_pose[:3] - self._goal))
        self.done = self._far_m < 0.002 or time_s - self._begun_s > 4 * TICKS / HZ

    def result(self) -> dict[str, float]:
        return {"far_mm": 1e3 * self._far_m, "success": float(self._far_m < 0.002), "done": float(self.done)}
