"""A2C2: a small residual head corrects every action when it is due, from the newest picture's features and state.

"Leave No Observation Behind: Real-time Correction for VLA Action Chunks" (arXiv 2509.23224; our own code). The features
come from the policy's encoder, once a picture; the head alone runs every tick. Only positions are corrected.
"""

from typing import NamedTuple

import numpy as np

from operators.messages import HORIZON, Features, Proprio
from operators.motion.rotation import matrix_from_vector

LARGEST_M = 0.01  # correction along each axis
LATEST = 8  # ticks a state may be late for its action
STALE = 30  # ticks: the features of an older picture correct nothing
MEASURED = 15  # numbers beside the features


class Sight(NamedTuple):
    """What the head is told beside the features, any leading shape; axes are the tool's where it is measured."""

    moved: np.ndarray  # (..., 3) m, of the TCP since the picture, in the tool's axes then
    velocity: np.ndarray  # (..., 3) m/s
    force: np.ndarray  # (...,) N, along the tool
    base: np.ndarray  # (..., 3) m, from the TCP to the action that is due
    slope: np.ndarray  # (..., 3) m, from that action to the next
    age: np.ndarray  # (...,) ticks since the chunk's observation
    lag: np.ndarray  # (...,) ticks since the picture

    def numbers(self, features: np.ndarray) -> np.ndarray:
        """The head's inputs, (..., F + 15) float32 of order one."""
        flat = np.stack([self.force / 2, self.age / HORIZON, self.lag / 8], -1)
        parts = features, self.moved / 0.01, self.velocity / 0.05, self.base / 0.01, self.slope / 0.001, flat
        return np.concatenate(parts, -1).astype(np.float32)


class Head(NamedTuple):
    """A multilayer perceptron of ReLUs on normalised inputs."""

    mean: np.ndarray  # (I,)
    spread: np.ndarray
    layers: tuple[tuple[np.ndarray, np.ndarray], ...]  # weight (out, in) and bias of each

    def residual(self, numbers: np.ndarray) -> np.ndarray:
        """Inputs (I,) -> correction (3,) m in the tool's axes."""
        x = (numbers - self.mean) / self.spread
        for weight, bias in self.layers[:-1]:
            x = np.maximum(weight @ x + bias, 0)
        weight, bias = self.layers[-1]
        return LARGEST_M * np.tanh(weight @ x + bias)


def corrected(
    head: Head, action: np.ndarray, ahead: np.ndarray, due: int, t0: float, seen: Features, measured: Proprio
) -> np.ndarray:
    """The action that is due, corrected, (10,) float32; as it is where the features are stale.

    A head was trained on actions due at the tick of the state. A state is a tick or two old when it has arrived, in
    which the arm moves by millimetres: the head is told the action of the state's tick, found along the chunk's slope.

    Args:
        action: (10,) base frame.
        ahead: the one after it.
        due: tick of the action.
        t0: tick at which the first row of its chunk was due, as the chunk was shifted: the age is that of the content.
        seen: features of the newest picture.
        measured: newest state.
    """
    lag = measured.tick - seen.tick
    if lag > STALE:
        return action
    frame, place = matrix_from_vector(measured.tcp_pose[3:]), measured.tcp_pose[:3]
    step = ahead[:3] - action[:3]
    then = action[:3] - np.clip(due - measured.tick, -LATEST, LATEST) * step
    told = Sight(
        moved=matrix_from_vector(seen.reference_pose[3:]).T @ (place - seen.reference_pose[:3]),
        velocity=frame.T @ measured.tcp_velocity[:3],
        force=np.asarray(measured.wrench[2]),
        base=frame.T @ (then - place),
        slope=frame.T @ step,
        age=np.array(measured.tick - t0),
        lag=np.array(lag),
    )
    out = action.astype(np.float64)
    out[:3] += frame @ head.residual(told.numbers(seen.values))
    return out.astype(np.float32)
