"""Differences of positions along rows, and what they say of an episode: jerk within chunks and of the whole command."""

import numpy as np

from operators.measure.intervals import mean, percentile
from operators.measure.log import Cycles, EpisodeLog, active
from operators.measure.plan_time import owned_rows, plan_time
from operators.messages import HZ

JERK_M_S3 = 1e-3 * HZ**3  # one mm/tick^3 in m/s^3


def step_mm(action: np.ndarray) -> np.ndarray:
    """Length of each step [mm]; (n, >=3) -> (n,), the first NaN."""
    return _difference_mm(action, 1)


def second_difference_mm(action: np.ndarray) -> np.ndarray:
    """|u[i] - 2 u[i-1] + u[i-2]| of xyz [mm/tick]; (n, >=3) -> (n,), the first two NaN."""
    return _difference_mm(action, 2)


def third_difference_mm(action: np.ndarray) -> np.ndarray:
    """Norm of the third difference of xyz [mm/tick^3]; (n, >=3) -> (n,), the first three NaN."""
    return _difference_mm(action, 3)


def jerk_metrics(log: EpisodeLog) -> dict[str, float]:
    plan, cycles = plan_time(log), active(log)
    within = np.concatenate([third_difference_mm(rows) for rows in owned_rows(plan)])
    whole = third_difference_mm(_without_gaps(cycles, cycles.planned))
    sent = third_difference_mm(_without_gaps(cycles, cycles.action))
    return {
        "chunk_jerk_mm_per_tick3": mean(within),
        "chunk_jerk_mm_per_tick3_p99": percentile(within, 99),
        "chunk_jerk_m_s3": JERK_M_S3 * mean(within),
        "command_jerk_mm_per_tick3": mean(whole),
        "command_jerk_mm_per_tick3_p99": percentile(whole, 99),
        "command_jerk_m_s3": JERK_M_S3 * mean(whole),
        "command_jerk_mm_per_tick3_sent": mean(sent),
        "command_jerk_mm_per_tick3_p99_sent": percentile(sent, 99),
        "sent_difference_mm": mean(1e3 * np.linalg.norm((cycles.action - cycles.planned)[:, :3], axis=-1)),
    }


def _difference_mm(action: np.ndarray, order: int) -> np.ndarray:
    xyz = 1e3 * np.asarray(action, np.float64)[:, :3]
    size = np.full(len(xyz), np.nan)
    size[order:] = np.linalg.norm(np.diff(xyz, order, axis=0), axis=-1)
    return size


def _without_gaps(cycles: Cycles, action: np.ndarray) -> np.ndarray:
    """The actions (n, 10) with a NaN row wherever commands were not received, so that no difference spans it."""
    missing = 1 + np.flatnonzero(np.diff(cycles.cycle) != 1)
    return np.insert(action.astype(np.float64), missing, np.nan, axis=0)
