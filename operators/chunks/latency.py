"""Inference delays to try a system with: drawn per chunk, the same whatever the order of calls."""

import numpy as np

TRACES = ("constant", "lognormal", "spikes", "outage")
OUTAGE_CHUNK, OUTAGE_MS = 5, 3000.0


def latency_ms(trace: str, mean_ms: float, seed: int, episode: int, chunk_id: int) -> float:
    """Delay [ms] of one chunk.

    Args:
        trace: `constant`; `lognormal` (sigma 0.35, median `mean_ms`); `spikes` (one chunk in ten takes three times as
            long); `outage` (chunk 5 of each episode takes 3 s more).
        mean_ms: the usual delay.
    """
    draw = np.random.default_rng((0x1A7, seed, episode, chunk_id))
    if trace == "constant":
        return mean_ms
    if trace == "lognormal":
        return float(mean_ms * np.exp(0.35 * draw.standard_normal()))
    if trace == "spikes":
        return mean_ms * (3.0 if draw.random() < 0.1 else 1.0)
    if trace == "outage":
        return mean_ms + (OUTAGE_MS if chunk_id == OUTAGE_CHUNK else 0.0)
    raise ValueError(f"expected LATENCY_TRACE to be one of {', '.join(TRACES)}, got {trace}")
