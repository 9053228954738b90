"""Chunks for the tests of plans and joins."""

import numpy as np

from operators.motion.rotation import action_from_pose
from operators.motion.rows import Rows, rows

POSE = np.array([0.4, 0.1, 0.2, 0, 3.0, 0])
START = action_from_pose(POSE, 0.5)


def curve(tick: int, n: int, seed: int = 0) -> Rows:
    """A smooth chunk near START, another for every seed; read-only, as messages are."""
    draw = np.random.default_rng(seed)
    time = np.arange(n)[:, None] / 60
    drift = draw.uniform(-0.02, 0.02, 6) + draw.uniform(-0.1, 0.1, 6) * time
    swing = drift + 0.02 * np.sin(4 * time + draw.uniform(0, 6))
    action = action_from_pose(POSE + swing, draw.uniform())
    action.flags.writeable = False
    return Rows(tick, action)


def line(tick: int, n: int, x: float = 0.0, step: float = 1e-3) -> Rows:
    """A chunk along x [m], untouched otherwise."""
    action = np.repeat(START[None], n, 0)
    action[:, 0] = x + step * np.arange(n)
    return rows(tick, action)
