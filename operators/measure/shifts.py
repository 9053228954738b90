"""What the timing errors of chunks look like over an episode: one number a chunk, and how they follow each other.

Two chains of chunks that never meet would make each shift the opposite of the one before (lag-1 correlation -1, and a
speed that swings with a period of two execution horizons). Independent timing errors make it 0.
"""

from typing import NamedTuple

import numpy as np

from operators.measure.log import ChunkRecord, EpisodeLog, active
from operators.measure.plan_time import plan_time
from operators.measure.steadiness import every_cycle, execution_horizon_s, moving_mean, paced
from operators.messages import HZ
from operators.motion.align import Fit, fit
from operators.motion.rows import Rows

NEAR = 0.2  # of a frequency: what counts as at it
SLOWEST_HZ, FASTEST_HZ = 0.5, 10.0


class Shifted(NamedTuple):
    """One takeover."""

    chunk: ChunkRecord
    predicted: Rows  # by content, as it was before it was shifted where that was kept, otherwise as handed
    played: Rows  # up to the takeover
    estimate: Fit  # of the shift that lays it on what was played


def takeovers(log: EpisodeLog) -> list[Shifted]:
    """Those of chunks that took over from another, in order."""
    plan = plan_time(log)
    rows, found = Rows(plan.tick, plan.action), []
    for chunk in log.chunks:
        predicted = chunk.raw or chunk.handed
        if chunk.arrival_tick is None or predicted is None or chunk.arrival_tick <= chunk.t0:
            continue
        played = rows.between(rows.tick, chunk.arrival_tick)
        if len(played) and np.isfinite(played.action).all():
            found.append(Shifted(chunk, predicted, played, fit(predicted, played, chunk.arrival_tick)))
    return found


def lag_1(values: np.ndarray) -> float:
    """Correlation of each number with the next; NaN for fewer than four."""
    if len(values) < 4 or np.ptp(values) == 0:
        return np.nan
    away = values - values.mean()
    return float(np.sum(away[1:] * away[:-1]) / np.sum(away**2))


def at_two_horizons(log: EpisodeLog) -> tuple[float, float]:
    """Frequency 1 / (2 execution horizons) [Hz], and the share of the surging (0.5 to 10 Hz) within a fifth of it."""
    horizon_s = execution_horizon_s(log)
    pace = paced(every_cycle(active(log)), log.reference, horizon_s)
    frequency = 1 / (2 * horizon_s)
    if len(pace.speed) < 4 * HZ * horizon_s:
        return frequency, np.nan
    off = pace.speed - pace.wanted * pace.speed.sum() / max(pace.wanted.sum(), 1e-9)
    off = (off - moving_mean(off, horizon_s)) * np.hanning(len(off))
    power, hz = np.abs(np.fft.rfft(off)) ** 2, np.fft.rfftfreq(len(off), 1 / HZ)
    counted = (hz >= SLOWEST_HZ) & (hz <= FASTEST_HZ)
    near = np.abs(hz - frequency) <= NEAR * frequency
    return frequency, float(power[near].sum() / power[counted].sum()) if power[counted].any() else np.nan
