"""When things happened: the command's period, standing still, and each chunk's way from picture to takeover."""

import numpy as np

from operators.chunks.refine import HANDOVER
from operators.measure.intervals import largest, mean, percentile
from operators.measure.log import ChunkRecord, Cycles, EpisodeLog, active
from operators.messages import HZ


def jitter_ms(cycles: Cycles) -> np.ndarray:
    """abs(period - 1/60 s) of neighbouring cycles [ms], to the microsecond; none where no clock was read."""
    if not len(cycles) or cycles.t_ns[0] == cycles.t_ns[-1]:
        return np.zeros(0)
    return np.round(np.abs(np.diff(cycles.t_ns)[np.diff(cycles.cycle) == 1] / 1e6 - 1e3 / HZ), 3)


def is_late(chunk: ChunkRecord) -> bool:
    """Whether a chunk reached the executor after the tick it was prepared for.

    A refined chunk no longer begins at its observation: it is good for HANDOVER rows after its first. Any other
    was asked for with an expected delay.
    """
    if chunk.arrival_tick is None:
        return False
    if chunk.handed is not None and chunk.handed.tick > chunk.t0:
        return chunk.arrival_tick > chunk.handed.tick + HANDOVER
    return chunk.expected_tick is not None and chunk.arrival_tick > chunk.expected_tick


def observation_age_ms(chunk: ChunkRecord) -> float:
    """From the measurement a chunk answers to, to the first command that plays a row of it; NaN if not seen."""
    if chunk.exposed_ns is None or chunk.takeover_ns is None:
        return np.nan
    return (chunk.takeover_ns - chunk.exposed_ns) / 1e6


def picture_age_ms(chunk: ChunkRecord) -> float:
    """How old what a chunk answers to was when inference began; NaN if that was not seen."""
    if chunk.exposed_ns is None or chunk.inference_start_ns is None:
        return np.nan
    return (chunk.inference_start_ns - chunk.exposed_ns) / 1e6


def cycle_metrics(log: EpisodeLog) -> dict[str, float]:
    cycles = active(log)
    jitter = jitter_ms(log.cycles)
    return {
        "starved_percent": 100 * mean(np.isin(cycles.state, ("braking", "holding"))),
        "waiting_percent": 100 * mean(cycles.state == "waiting"),
        "clamped_percent": 100 * mean(cycles.clamped != 0),
        "feed_percent": 100 * (cycles.tick[-1] - cycles.tick[0] + 1) / len(cycles) if len(cycles) else np.nan,
        "jitter_ms_p50": percentile(jitter, 50),
        "jitter_ms_p99": percentile(jitter, 99),
        "jitter_ms_max": largest(jitter),
    }


def chunk_metrics(log: EpisodeLog) -> dict[str, float]:
    delay = np.array([chunk.arrival_tick - chunk.t0 for chunk in log.chunks if chunk.arrival_tick is not None])
    inference = np.array([chunk.inference_ms for chunk in log.chunks if chunk.inference_ms is not None], np.float64)
    picture = np.array([picture_age_ms(chunk) for chunk in log.chunks])
    age = np.array([observation_age_ms(chunk) for chunk in log.chunks])
    shift = np.array([chunk.shift_ticks for chunk in log.chunks if chunk.shift_ticks is not None], np.float64)
    refine = np.array([chunk.refine_ms for chunk in log.chunks if chunk.refine_ms is not None])
    return {
        "chunks": len(delay),
        "delay_ticks": mean(delay),
        "delay_ticks_max": largest(delay),
        "observation_age_ms": mean(age),
        "picture_age_ms_p50": percentile(picture, 50),
        "picture_age_ms_p95": percentile(picture, 95),
        "shift_ticks_rms": np.sqrt(mean(shift**2)),
        "shift_ticks_max": largest(np.abs(shift)),
        "late_handover": sum(is_late(chunk) for chunk in log.chunks),
        "inference_ms_p50": percentile(inference, 50),
        "inference_ms_p99": percentile(inference, 99),
        "refine_ms_p50": percentile(refine, 50),
        "refine_ms_p99": percentile(refine, 99),
    }
