"""The path of a scripted writer, one point a tick: approach, write along the stroke, lift."""

import numpy as np

from operators.messages import HZ
from simulation.tasks.write_board.strokes import along

SPEED = 0.075  # m/s, the fastest along and off the board
LIFT = 0.03  # m off the surface at the end
ALONG = 0.4  # m/s^2 along the stroke
ACROSS = 0.3  # m/s^2 across it in bends
CORNER_CUT = 0.00025  # m by which smoothing may cut a sharp corner
_CORNER = 0.001  # m to each side within which a turn is measured
_SMOOTHING = np.convolve(np.convolve(np.ones(4), np.ones(4)), np.ones(4)) / 64  # weights of ticks; bounds the jerk
_SPREAD_S = float(np.abs(np.arange(10) - 4.5) @ _SMOOTHING) / HZ  # mean distance of the weights from their middle


def reference_path(home: np.ndarray, target: np.ndarray, depth: float) -> np.ndarray:
    """Commanded TCP positions (n, 3) [m, board frame], one a tick, at rest at both ends.

    Args:
        home: (3,) first position, off the surface.
        target: (m, 2) stroke in the board plane.
        depth: [m] below the surface where the spring presses as it should.
    """
    drawn = _timed(target.astype(np.float64))
    written = np.column_stack([drawn, np.full(len(drawn), -depth)])
    lifted = written[-1] + [0.0, 0.0, LIFT + depth]
    return _smoothed(np.concatenate([_approach(home, written[0]), written, _moved(written[-1], lifted)[1:]]))


def _approach(home: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Minimum jerk from home; sideways it is over after 0.7 of the time, so that the tip lands where ink may be."""
    straight = _moved(home, start)
    u = np.minimum(np.linspace(0, 1, len(straight)) / 0.7, 1.0)
    straight[:, :2] = home[:2] + _minimum_jerk(u)[:, None] * (start - home)[:2]
    return straight[:-1]


def _moved(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """A minimum-jerk move that peaks at SPEED, (n, 3), both ends included."""
    ticks = int(np.ceil(1.875 * np.linalg.norm(end - start) / SPEED * HZ))  # 1.875: peak over mean speed
    return start + _minimum_jerk(np.linspace(0, 1, ticks + 1))[:, None] * (end - start)


def _minimum_jerk(u: np.ndarray) -> np.ndarray:
    return u**3 * (10 - 15 * u + 6 * u**2)


def _timed(points: np.ndarray) -> np.ndarray:
    """The stroke (m, 2) as one point a tick, from rest to rest."""
    step = np.linalg.norm(np.diff(points, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(step)])
    speed = _accelerable(_speed_limit(points, at), step)
    time_s = np.concatenate([[0.0], np.cumsum(2 * step / (speed[1:] + speed[:-1]))])
    way = np.interp(np.arange(int(np.ceil(time_s[-1] * HZ)) + 1) / HZ, time_s, at)
    return along(points, at, way)


def _speed_limit(points: np.ndarray, at: np.ndarray) -> np.ndarray:
    """How fast each point of the stroke may be passed [m/s], (m,), for its turn within _CORNER to each side.

    In a bend the limit is the acceleration across. In a corner it is what smoothing cuts: weights whose mean distance
    from their middle is _SPREAD_S cut a turn by angle a at speed v by v * _SPREAD_S * sin(a / 2).
    """
    before, after = along(points, at, at - _CORNER), along(points, at, at + _CORNER)
    into, out = points - before, after - points
    turn = np.abs(np.arctan2(into[:, 0] * out[:, 1] - into[:, 1] * out[:, 0], np.sum(into * out, axis=1)))
    bend = np.sqrt(ACROSS * _CORNER / np.maximum(turn, 1e-6))
    corner = CORNER_CUT / (_SPREAD_S * np.maximum(np.sin(turn / 2), 1e-6))
    return np.minimum(np.minimum(bend, corner), SPEED)


def _accelerable(limit: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The fastest speeds (m,) below `limit` that start and end at rest and change by at most ALONG."""
    squared = limit**2
    squared[0] = squared[-1] = 0.0
    for i in range(len(step)):
        squared[i + 1] = min(squared[i + 1], squared[i] + 2 * ALONG * step[i])
    for i in range(len(step) - 1, -1, -1):
        squared[i] = min(squared[i], squared[i + 1] + 2 * ALONG * step[i])
    return np.sqrt(squared)


def _smoothed(path: np.ndarray) -> np.ndarray:
    rest = len(_SMOOTHING) - 1
    padded = np.concatenate([np.repeat(path[:1], rest, 0), path, np.repeat(path[-1:], rest, 0)])
    return np.stack([np.convolve(axis, _SMOOTHING, "valid") for axis in padded.T], 1)
