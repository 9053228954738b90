"""What a new chunk must agree with: the rows that will have been played when it takes over, and how firmly each counts.

For samplers that continue a plan ("Real-Time Execution of Action Chunking Flow Policies", arXiv 2506.07339).
"""

from typing import NamedTuple

import numpy as np

from operators.motion.rows import Rows

GUIDES = {  # GUIDE -> what it needs of a policy
    "rtc": "it steers the sampling steps of a flow or diffusion policy",
    "rtc_trained": "it needs a flow policy of actions trained with clean first rows",
    "bid": "it chooses among several samples of a flow or diffusion policy",
    "paint": "it inverts the sampling of a flow policy of actions",
    "vlash": "it needs a policy that looks at the robot's state",
}
SCHEDULES = ("exp", "linear", "ones", "zeros")


class Prefix(NamedTuple):
    """The old plan under a new chunk of H rows."""

    action: np.ndarray  # (H, 10) absolute, the last known row repeated
    weight: np.ndarray  # (H,) in 0..1: 1 for rows that cannot change any more, 0 where nothing is known
    frozen: int  # rows that will have been played when the chunk takes over


def prefix(plan: Rows, t0: int, takeover: int, horizon: int, schedule: str = "exp") -> Prefix | None:
    """The prefix of a chunk observed at t0, or None where nothing binds it: no row from t0 on is known.

    Args:
        plan: executed and planned rows, oldest first.
        takeover: tick at which the chunk is expected to take over.
        horizon: H.
        schedule: one of SCHEDULES.

    Raises:
        ValueError: rows that do not reach back to t0, or an unknown schedule.
    """
    if len(plan) and plan.tick > t0:
        raise ValueError(f"expected executed rows from tick {t0} on, got them from {plan.tick} on")
    old = plan.between(t0, t0 + horizon).action
    if not len(old):
        return None
    frozen = min(max(takeover - t0, 0), len(old))
    action = np.concatenate([old, np.repeat(old[-1:], horizon - len(old), 0)])
    return Prefix(action, prefix_weights(frozen, len(old), horizon, schedule), frozen)


def prefix_weights(start: int, end: int, total: int, schedule: str = "exp") -> np.ndarray:
    """Weights (total,): 1 before `start`, falling to 0 at `end` by c = (end - i) / (end - start + 1).

    `linear` is c, `exp` c (e^c - 1) / (e - 1); `ones` does not fall before `end`, `zeros` falls at once at `start`.

    Raises:
        ValueError: an unknown schedule.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"expected a schedule of {', '.join(SCHEDULES)}, got {schedule}")
    start = min(start, end)
    row = np.arange(total)
    fall = np.clip((end - row) / (end - start + 1), 0, 1)
    between = {"exp": fall * np.expm1(fall) / np.expm1(1), "linear": fall, "ones": 1.0, "zeros": 0.0}[schedule]
    return np.where(row < start, 1.0, np.where(row < end, between, 0.0))
