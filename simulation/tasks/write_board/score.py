"""How well a stroke was written: coverage, stray ink, force and time."""

import numpy as np

from operators.motion.rotation import matrix_from_vector
from simulation.tasks import Measured
from simulation.tasks.write_board.ink import FORCE

COVERED = 0.003  # m: a target point with ink this near is written
STRAY = 0.005  # m: ink farther than this from the target is stray
LIFTED = 0.005  # m of the TCP above the surface
MOVED = 0.0005  # m from where it first was
IDLE_SPEED, IDLE_S = 0.002, 1.0  # m/s and s: slower and longer than this with the pen lifted, the writer has finished


class Judge:
    """Keeps the score of one episode; fed once a cycle, in time order."""

    def __init__(self, target: np.ndarray, board_pose: np.ndarray, expert_s: float):
        self._target, self._expert_s = target.astype(np.float64), expert_s
        self._normal, self._origin = matrix_from_vector(board_pose[3:])[:, 2], board_pose[:3]
        self._covered = np.zeros(len(target), bool)
        self._seen = self._stray = self._contacts = 0
        self._force_sum = self._force_max = 0.0
        self._first: np.ndarray | None = None  # TCP position when first seen
        self._start_s = self._now_s = self._busy_s = 0.0
        self._moved = False
        self.done = False

    def update(self, time_s: float, measured: Measured, marks: np.ndarray) -> None:
        if self.done:
            return
        self._clock(time_s, measured)
        self._weigh(float(measured.wrench[2]))
        self._look(marks)
        self.done = self._finished(float(self._normal @ (measured.tcp_pose[:3] - self._origin)))

    def result(self) -> dict[str, float]:
        score = {
            "coverage": float(self._covered.mean()),
            "stray": self._stray / max(self._seen, 1),
            "mean_force_n": self._force_sum / max(self._contacts, 1),
            "max_force_n": self._force_max,
            "duration_s": self._now_s - self._start_s,
            "expert_s": self._expert_s,
        }
        return score | {"success": float(_succeeded(score)), "done": float(self.done)}

    def _clock(self, time_s: float, measured: Measured) -> None:
        position = measured.tcp_pose[:3]
        if self._first is None:
            self._first, self._start_s, self._busy_s = position.copy(), time_s, time_s
        if not self._moved and np.linalg.norm(position - self._first) > MOVED:
            self._moved, self._start_s = True, time_s
        if np.linalg.norm(measured.tcp_velocity[:3]) > IDLE_SPEED:
            self._busy_s = time_s
        self._now_s = time_s

    def _weigh(self, force: float) -> None:
        self._force_max = max(self._force_max, force)
        if force >= FORCE:
            self._force_sum, self._contacts = self._force_sum + force, self._contacts + 1

    def _look(self, ink: np.ndarray) -> None:
        new = ink[self._seen :]
        if not len(new):
            return
        distance = np.linalg.norm(new[:, None] - self._target, axis=2)
        self._covered |= distance.min(0) <= COVERED
        self._stray += int(np.count_nonzero(distance.min(1) > STRAY))
        self._seen = len(ink)

    def _finished(self, height: float) -> bool:
        """Written and lifted, given up with the pen lifted, or out of time."""
        lifted = height > LIFTED and self._seen > 0
        written = self._covered.mean() >= 0.95
        idle = self._now_s - self._busy_s >= IDLE_S
        return bool(lifted and (written or idle)) or self._now_s - self._start_s > 2 * self._expert_s


def _succeeded(score: dict[str, float]) -> bool:
    gentle = 1.0 <= score["mean_force_n"] <= 3.0 and score["max_force_n"] <= 10.0
    accurate = score["coverage"] >= 0.95 and score["stray"] < 0.05
    return accurate and gentle and score["duration_s"] <= 2 * score["expert_s"]
