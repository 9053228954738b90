"""How a new chunk takes over from the plan. Only here both are known together with the true takeover tick."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from operators.motion.rotation import (
    matrix_from_6d,
    matrix_from_vector,
    mean_matrix,
    sixd_from_matrix,
    vector_from_matrix,
)
from operators.motion.rows import Rows

FADE_ROWS = 16
LARGEST_EXTRAPOLATION_M = 0.02
ENSEMBLE_DECAY = 0.01  # m of temporal ensembling (Zhao et al. 2023, arXiv 2304.13705)


class Join(Protocol):
    """One of JOINS."""

    def __call__(self, old: Rows, start: int, chunk: Rows, live: Sequence[Rows] = (), /) -> Rows:
        """The rows from the takeover tick to the chunk's end.

        Args:
            old: executed and planned rows; reaches at least to the tick before `start`.
            start: takeover tick, the first that may still change.
            chunk: the new chunk; has a row at `start`.
            live: the chunks handed over before that still have a row at `start`, oldest first.
        """
        ...


def newest(old: Rows, start: int, chunk: Rows, live: Sequence[Rows] = ()) -> Rows:
    """Play the newest chunk: the naive join."""
    return chunk.since(start)


def ensemble(old: Rows, start: int, chunk: Rows, live: Sequence[Rows] = ()) -> Rows:
    """Average all live predictions of each tick with weights exp(-0.01 k), k = 0 the oldest that has the tick.

    Rotations by the mean that minimises the squared distances of matrices.
    """
    new = chunk.since(start)
    cut = [other.between(start, chunk.end) for other in (*live, chunk)]
    covered = np.array([np.arange(len(new)) < len(part) for part in cut])  # (chunks, rows); all begin at `start`
    weight = np.where(covered, np.exp(-ENSEMBLE_DECAY * (np.cumsum(covered, 0) - 1)), 0.0)
    weight /= weight.sum(0)
    action = np.array([_padded(part.action.astype(np.float64), len(new)) for part in cut])
    mean = np.einsum("kn,knc->nc", weight, action)
    mean[:, 3:9] = sixd_from_matrix(mean_matrix(matrix_from_6d(action[..., 3:9]), weight))
    alone = covered.sum(0) == 1  # there the chunk itself, bit by bit
    return Rows(start, np.where(alone[:, None], new.action, mean).astype(np.float32))


def blend(old: Rows, start: int, chunk: Rows, live: Sequence[Rows] = ()) -> Rows:
    """From the old plan to the chunk by a quintic ramp over all ticks both have; without overlap the chunk itself."""
    before, new = old.between(start, chunk.end), chunk.since(start)
    n = len(before)
    if n == 0:
        return new
    share = quintic(np.arange(n) / n)[:, None]
    action = new.action.astype(np.float64)
    turned = matrix_from_6d(action[:n, 3:9])
    turn = vector_from_matrix(turned @ matrix_from_6d(before.action[:, 3:9]).swapaxes(1, 2))
    action[:n] += (1 - share) * (before.action - action[:n])
    back = matrix_from_vector((share - 1) * turn)  # from the chunk, so that nothing moves where both agree
    action[:n, 3:9] = sixd_from_matrix(back @ turned)
    return Rows(start, np.concatenate([action[:n].astype(np.float32), new.action[n:]]))


def fade(old: Rows, start: int, chunk: Rows, live: Sequence[Rows] = ()) -> Rows:
    """Newest chunk plus the residual to the old plan at the takeover tick, faded out over 16 rows by a quintic.

    Where the old plan has no row at `start`, its last two rows are extrapolated, at most 20 mm.
    """
    new = chunk.since(start)
    before = old.at(start) if start < old.end else _extrapolate(old)
    left = 1 - quintic(np.arange(len(new)) / FADE_ROWS)[:, None]
    action = new.action.astype(np.float64)
    turn = vector_from_matrix(matrix_from_6d(before[3:9]) @ matrix_from_6d(action[0, 3:9]).T)
    action[:, :3] += left * (before[:3] - action[0, :3])
    gripper = action[:, 9:] + left * (before[9:] - action[0, 9:])
    action[:, 9:] = np.clip(gripper, min(0, action[:, 9].min()), max(1, action[:, 9].max()))  # not beyond its stops
    action[:, 3:9] = sixd_from_matrix(matrix_from_vector(left * turn) @ matrix_from_6d(action[:, 3:9]))
    faded = np.where(left > 0, action, new.action)  # past the fade the chunk itself, bit by bit
    return Rows(start, faded.astype(np.float32))


def quintic(u: np.ndarray) -> np.ndarray:
    """0 at u <= 0, 1 at u >= 1, first and second derivative 0 at both."""
    u = np.clip(u, 0, 1)
    return 10 * u**3 - 15 * u**4 + 6 * u**5


def _padded(action: np.ndarray, n: int) -> np.ndarray:
    """(k, 10) -> (n, 10), the last row repeated; its weight is 0."""
    return action[np.minimum(np.arange(n), len(action) - 1)]


def _extrapolate(old: Rows) -> np.ndarray:
    if len(old) < 2:
        return old.action[-1]
    step = old.action[-1, :3] - old.action[-2, :3]
    length = float(np.linalg.norm(step))
    shorter = min(1.0, LARGEST_EXTRAPOLATION_M / length) if length else 1.0
    return np.concatenate([old.action[-1, :3] + shorter * step, old.action[-1, 3:]])


JOINS: dict[str, Join] = {"newest": newest, "ensemble": ensemble, "blend": blend, "fade": fade}
