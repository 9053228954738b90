"""Alignment by phase: a new chunk is moved in time to where it agrees with the plan at the takeover.

A chunk says: from where the arm was at t0, go on. Row i is due at t0 + i, so at the takeover it claims the place where
the arm would be had it moved meanwhile as this chunk would have had it. It moved as the chunk before had it, a little
farther or less far. The difference along the path is only a difference of time, and it is taken out in time: content
row i + tau is played at tick t0 + i. What is left across the path is for refinement and join.

    tau = argmin  sum_k |r(n - t0 + k + tau) - p(n + k)|^2 / sigma^2  +  tau^2 / sigma_tau^2,     k = -6 .. 2

n is the takeover tick, r the chunk by content row, p the plan by tick. Rows around the takeover, not one, so that
directions count: the right strand at a crossing, the right side of a turning point. The prior takes tau to 0 where the
plan says nothing about time: while it stands, waits or presses. If what is left *along* the path is more than time can
explain, chunk and plan are different motions (another mode, a scene that moved), and tau is 0.
"""

from typing import NamedTuple

import numpy as np

from operators.motion.rotation import orthonormal_6d
from operators.motion.rows import Rows

WAYS = ("tick", "phase")
BEFORE, AFTER = 6, 2  # rows of the plan before and after the takeover that are compared
POSITION_M, ROTATION = 1e-3, 0.02  # sigma of a row: each axis; each number of the 6-D rotation (about a degree)
PRIOR_TICKS = 2.0  # sigma of tau
LARGEST_TICKS = 12
LEAST_LEFT = 12  # rows a shifted chunk still has from the takeover on
LEAST_COMPARED = 3  # rows; with fewer nothing is known
RESERVE_ROWS = 4  # of a chunk that the feed does not count on: what a shift may cost, and the row of its rounding
WORST_FIT = 3.0  # sigmas along the path, root mean square: more than time explains, so these are different motions
STANDING = 0.05  # sigmas a tick: slower than this there is no direction
LAG_ROWS, BLOCKED_M = 8, 3e-3  # an arm farther than this from all of its last commands is blocked


class Fit(NamedTuple):
    """Where a chunk agrees best with the plan."""

    ticks: float  # tau; 0 where it is not to be trusted
    residual: float  # left along the path at the best tau, root mean square over rows [sigma]; NaN: too little compared


def fit(chunk: Rows, plan: Rows, takeover: int) -> Fit:
    """The shift that lays a chunk on the plan.

    Args:
        chunk: rows by content, the first observed at `chunk.tick`.
        plan: executed and planned rows.
        takeover: tick at which the chunk takes over.

    Returns:
        tau in -12 .. 12 ticks, such that the takeover gets no row before the chunk's first, and 12 rows are left.

    Raises:
        ValueError: numbers that are not finite.
    """
    p, k = _compared(plan, takeover)
    r = _weighed(chunk.action)
    if not (np.isfinite(p).all() and np.isfinite(r).all()):
        raise ValueError("expected finite actions to align, got NaN or infinity")
    row, best, cost = takeover - chunk.tick, Fit(0.0, np.nan), np.inf
    low = max(-LARGEST_TICKS, -row)
    high = min(LARGEST_TICKS, max(0, len(r) - LEAST_LEFT - row))
    for whole in range(low, high):
        at = row + k + whole
        there = (at >= 0) & (at + 1 < len(r))
        if there.sum() < LEAST_COMPARED:
            continue
        gap, step = r[at[there]] - p[there], r[at[there] + 1] - r[at[there]]
        share = len(k) / there.sum()  # a shift for which less is known costs as much
        slope, bend = share * np.sum(gap * step), share * np.sum(step**2) + PRIOR_TICKS**-2
        part = np.clip(-(slope + whole * PRIOR_TICKS**-2) / bend, 0.0, 1.0)  # the least of a parabola
        left = gap + part * step
        total = share * np.sum(left**2) + ((whole + part) / PRIOR_TICKS) ** 2
        if total < cost:
            best, cost = Fit(float(whole + part), _along(left, step)), total
    return best if best.residual <= WORST_FIT else best._replace(ticks=0.0)


def resampled(rows: Rows, shift_ticks: float, count: int | None = None) -> Rows:
    """Rows whose content comes `shift_ticks` sooner: row i is content row i + shift, as many as there were.

    Between two rows positions are linear and rotations orthonormal; a gripper holds what the earlier one says. Before
    the first row it is the first, beyond the last the last two are extrapolated (see `known`).

    Args:
        count: rows wanted, from the same tick on.
    """
    n = len(rows) if count is None else count
    if shift_ticks == 0 and n == len(rows):
        return rows
    at = np.maximum(np.arange(n) + shift_ticks, 0.0)
    whole = np.clip(np.floor(at).astype(int), 0, max(len(rows) - 2, 0))
    after = np.minimum(whole + 1, len(rows) - 1)
    part = (at - whole)[:, None]
    action = rows.action.astype(np.float64)
    mixed = action[whole] + part * (action[after] - action[whole])
    mixed[:, 3:9] = orthonormal_6d(mixed[:, 3:9])
    mixed[:, 9] = action[np.minimum(np.floor(at + 1e-9).astype(int), len(rows) - 1), 9]
    return Rows(rows.tick, mixed.astype(np.float32))


def known(rows: Rows, shift_ticks: float) -> tuple[int, int]:
    """First tick, and the one after the last, at which shifted rows have content that was not made up."""
    first = rows.tick + max(0, int(np.ceil(-shift_ticks)))
    return first, min(rows.end, rows.tick + int(np.floor(len(rows) - 1 - shift_ticks)) + 1)


def lag_m(position: np.ndarray, commanded: Rows) -> float:
    """How far an arm (3,) [m] is from the nearest of its last commands; 0 where there are none.

    A servo's usual lag is a time, so an arm that follows is near a command of a few ticks ago, however fast it moves.
    """
    last = commanded.action[-LAG_ROWS:, :3]
    return float(np.linalg.norm(last - position, axis=-1).min()) if len(last) else 0.0


def blocked(position: np.ndarray, commanded: Rows) -> bool:
    """Whether an arm does not follow: then the plan has run ahead, and says nothing about where a chunk belongs."""
    return lag_m(position, commanded) > BLOCKED_M


def _along(left: np.ndarray, step: np.ndarray) -> float:
    """Root mean square of what is left in the direction of motion. Across it, a chunk may well correct the plan."""
    length = np.linalg.norm(step, axis=-1)
    along = np.sum(left * step, -1) / np.maximum(length, STANDING)
    return float(np.sqrt(np.mean(along**2)))


def _compared(plan: Rows, takeover: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the plan around the takeover, and how far from it each is."""
    around = plan.between(takeover - BEFORE, takeover + AFTER + 1)
    return _weighed(around.action), np.arange(len(around)) + around.tick - takeover


def _weighed(action: np.ndarray) -> np.ndarray:
    """(n, 9) in sigmas; a gripper says nothing about time."""
    return action[:, :9].astype(np.float64) / np.repeat([POSITION_M, ROTATION], (3, 6))
