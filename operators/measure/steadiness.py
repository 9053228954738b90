"""How steadily the arm moves along its path: what an eye sees and no seam metric does.

The measure is the reference, the path as its teacher moves along it: the speed there, *at the same place*, is what the
speed here is compared with. So a corner that is taken slowly costs nothing where the teacher takes it slowly, and an
arm that does everything at half the speed is as steady as one that does it at full speed. Where there is no reference,
the measure is the moving mean of the speed itself.

All series have one entry a cycle of 1/60 s.
"""

from typing import NamedTuple

import numpy as np

from operators.measure.log import Cycles, EpisodeLog, active
from operators.measure.plan_time import plan_time, switches
from operators.messages import HZ

MOVING_MM_S = 1.0  # slower than this the reference stands
FASTEST = 8  # ticks of the reference that may be passed in one cycle
WINDOW_HORIZONS = 4  # execution horizons over which slow changes are taken for intended
HIGHEST_HZ = 10.0  # faster changes are jerk, which has metrics of its own
DROP, RECOVERED = 0.5, 0.6  # of the reference's speed: below the first a drop begins, above the second it is over
SLOW = 0.2  # of the mean speed: where the reference is slower, a stop is meant
USUAL_HORIZON_S = 0.2
SPARC_HZ, SPARC_AMPLITUDE, SPARC_PADDING = 10.0, 0.05, 4

NOTHING = {
    name: np.nan
    for name in (
        "mean_speed_mm_s",
        "acceleration_rms_mm_s2",
        "acceleration_per_speed_1_s",
        "speed_ripple",
        "speed_drops_per_s",
        "sparc",
    )
}


class Paced(NamedTuple):
    """A motion beside its reference, from the first to the last motion of the reference."""

    start: int  # index of its first entry in the series that was given
    speed: np.ndarray  # (n,) mm/s
    wanted: np.ndarray  # (n,) mm/s, of the reference at the same place; its moving mean where there is no reference
    known: bool = True  # whether there is a reference


def steadiness(position: np.ndarray, reference: np.ndarray, horizon_s: float = USUAL_HORIZON_S) -> dict[str, float]:
    """All figures of a motion; NaN where it is too short to tell.

    Args:
        position: (n, 3) m, one a cycle.
        reference: (m, 3) m, one a tick, as the teacher moves; (0, 3) for none.
        horizon_s: the execution horizon: the time from one takeover to the next.
    """
    pace = paced(position, reference, horizon_s)
    speed, n = pace.speed, len(pace.speed)
    if n < 4 or not speed.any():
        return dict(NOTHING)
    acceleration = HZ * np.diff(speed)
    rms, mean = float(np.sqrt(np.mean(acceleration**2))), float(speed.mean())
    return {
        "mean_speed_mm_s": mean,
        "acceleration_rms_mm_s2": rms,
        "acceleration_per_speed_1_s": rms / mean,
        "speed_ripple": ripple(pace, horizon_s),
        "speed_drops_per_s": drops(pace, horizon_s) * HZ / n,
        "sparc": sparc(speed),
    }


def paced(position: np.ndarray, reference: np.ndarray, horizon_s: float = USUAL_HORIZON_S) -> Paced:
    """The speed of a motion and what it should be; see `Paced`."""
    speed = speed_mm_s(position)
    if len(reference) < 3 or len(position) < 2:
        moving = np.flatnonzero(speed > MOVING_MM_S)
        start, end = (int(moving[0]), int(moving[-1]) + 1) if len(moving) else (0, 0)
        return Paced(start, speed[start:end], moving_mean(speed[start:end], horizon_s), False)
    passed = speed_mm_s(reference)
    moves = np.flatnonzero(passed > MOVING_MM_S)
    if not len(moves):
        return Paced(0, speed[:0], speed[:0])
    place = places(position, reference)
    inside = np.flatnonzero((place >= moves[0]) & (place < moves[-1]))
    start, end = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)
    return Paced(start, speed[start:end], passed[place[start:end]])


def speed_mm_s(position: np.ndarray) -> np.ndarray:
    """Speed at which each position is left for the next, (n, 3) m -> (n,) mm/s; the last as the one before it."""
    step = 1e3 * HZ * np.linalg.norm(np.diff(np.asarray(position, np.float64)[:, :3], axis=0), axis=-1)
    return np.append(step, step[-1:]) if len(step) else np.zeros(len(position))


def places(position: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Which tick of the reference each position is at, (n,): the nearest in the sum of squares over the whole motion,
    going on by 0 to FASTEST ticks a cycle. So a crossing or a way back does not lead from one strand to another.
    """
    away = np.sum((position[:, None] - reference[None]) ** 2, -1)  # (n, m)
    cost, came = away[0].copy(), np.zeros(away.shape, np.int8)
    steps = np.arange(min(FASTEST, len(reference) - 1) + 1)
    for i in range(1, len(position)):
        padded = np.concatenate([np.full(steps[-1], np.inf), cost])
        options = np.stack([padded[steps[-1] - step : len(padded) - step] for step in steps])
        came[i] = options.argmin(0)
        cost = options.min(0) + away[i]
    place = np.empty(len(position), np.int64)
    place[-1] = int(cost.argmin())
    for i in range(len(position) - 1, 0, -1):
        place[i - 1] = place[i] - came[i, place[i]]
    return place


def ripple(pace: Paced, horizon_s: float) -> float:
    """Surging, as a share of the mean speed: root mean square of what the speed differs from the reference's at the
    same place, faster than over WINDOW_HORIZONS execution horizons and slower than HIGHEST_HZ. That band holds the
    period of two chunks, at which chains of chunks swing.

    The reference counts in proportion to the mean speed, so a motion that is slower everywhere has no ripple.
    """
    off = pace.speed - _share(pace) * pace.wanted
    slow = moving_mean(off, horizon_s)
    fast = _smoothed(off - slow)[_judged(pace, horizon_s)]
    return float(np.sqrt(np.mean(fast**2)) / pace.speed.mean()) if len(fast) else np.nan


def drops(pace: Paced, horizon_s: float) -> int:
    """How often the speed falls below half of the reference's where that moves: the "velocity drops" of the paper."""
    judged = _judged(pace, horizon_s)
    speed, wanted = pace.speed[judged], _share(pace) * pace.wanted[judged]
    meant = wanted > SLOW * pace.speed.mean()
    count, low = 0, False
    for slow, well in zip(meant & (speed < DROP * wanted), speed > RECOVERED * wanted, strict=True):
        count += slow and not low
        low = slow or (low and not well)
    return int(count)


def sparc(speed: np.ndarray) -> float:
    """Spectral arc length of a speed profile (Balasubramanian et al. 2012, IEEE Trans. Biomed. Eng. 59): 0 would be
    smoothest. For comparison with papers; a surge of a tenth leaves it as it is.
    """
    size = 2 ** int(np.ceil(np.log2(len(speed))) + SPARC_PADDING)
    magnitude = np.abs(np.fft.rfft(speed, size))
    if not magnitude.any():
        return np.nan
    frequency, magnitude = np.fft.rfftfreq(size, 1 / HZ), magnitude / magnitude.max()
    above = np.flatnonzero((magnitude >= SPARC_AMPLITUDE) & (frequency <= SPARC_HZ))
    part = slice(above[0], above[-1] + 1)
    frequency, magnitude = frequency[part], magnitude[part]
    if len(frequency) < 2:
        return np.nan
    along = np.diff(frequency) / (frequency[-1] - frequency[0])
    return -float(np.sum(np.hypot(along, np.diff(magnitude))))


def moving_mean(series: np.ndarray, horizon_s: float) -> np.ndarray:
    """Centred mean over WINDOW_HORIZONS execution horizons; at the ends over what there is of it."""
    half = _half_window(horizon_s)
    total = np.concatenate([[0.0], np.cumsum(series)])
    at = np.arange(len(series))
    first, last = np.maximum(at - half, 0), np.minimum(at + half + 1, len(series))
    return (total[last] - total[first]) / np.maximum(last - first, 1)


def _judged(pace: Paced, horizon_s: float) -> slice:
    """All of it; without a reference not the ends, where the moving mean tells of starting and stopping."""
    edge = 0 if pace.known else 2 * _half_window(horizon_s)
    return slice(edge, max(len(pace.speed) - edge, edge))


def _half_window(horizon_s: float) -> int:
    return round(WINDOW_HORIZONS * horizon_s * HZ / 2)


def _share(pace: Paced) -> float:
    """How fast the whole motion is beside its reference."""
    wanted = float(pace.wanted.sum())
    return float(pace.speed.sum()) / wanted if wanted else 0.0


def _smoothed(series: np.ndarray) -> np.ndarray:
    """Without what is faster than HIGHEST_HZ: a windowed sinc of 13 taps; the ends are mirrored."""
    taps = np.arange(-6, 7)
    kernel = np.sinc(2 * HIGHEST_HZ / HZ * taps) * np.hamming(13)
    padded = np.pad(series, 6, mode="reflect") if len(series) > 6 else np.pad(series, 6, mode="edge")
    return np.convolve(padded, kernel / kernel.sum(), "valid")


def steadiness_metrics(log: EpisodeLog) -> dict[str, float]:
    horizon_s = execution_horizon_s(log)
    commanded = steadiness(every_cycle(active(log)), log.reference, horizon_s)
    measured = steadiness(measured_every_cycle(log), log.reference, horizon_s)
    return {**commanded, **{f"{name}_measured": value for name, value in measured.items()}}


def execution_horizon_s(log: EpisodeLog) -> float:
    """Median time from one takeover to the next; the usual one where there are fewer than three."""
    at = np.array([switch.start for switch in switches(plan_time(log))])
    return float(np.median(np.diff(at))) / HZ if len(at) > 2 else USUAL_HORIZON_S


def every_cycle(cycles: Cycles) -> np.ndarray:
    """Commanded positions (n, 3) m, one a cycle; those not received lie on the line between their neighbours."""
    if not len(cycles):
        return np.zeros((0, 3))
    at = np.arange(cycles.cycle[0], cycles.cycle[-1] + 1)
    return np.stack([np.interp(at, cycles.cycle, axis) for axis in cycles.planned[:, :3].astype(np.float64).T], -1)


def measured_every_cycle(log: EpisodeLog) -> np.ndarray:
    """Measured positions (n, 3) m, one a cycle; by the stamps where a clock was read."""
    measured = log.proprio
    if not len(measured):
        return np.zeros((0, 3))
    periods = np.maximum(np.rint(np.diff(measured.t_ns) * HZ / 1e9), measured.t_ns[0] == measured.t_ns[-1])
    cycle = np.concatenate([[0], np.cumsum(periods)])
    at = np.arange(cycle[-1] + 1)
    return np.stack([np.interp(at, cycle, axis) for axis in measured.tcp_pose[:, :3].T], -1)
