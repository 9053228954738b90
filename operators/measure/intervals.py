"""Means with 95 % intervals, and paired comparisons. NaN values are left out; what cannot be said is NaN."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

BOOTSTRAP_DRAWS = 10_000
_Z95 = 1.959963984540054  # normal quantile of a two-sided 95 % interval

Interval = dict[str, Any]  # {"mean": float, "ci95": [low, high], "n": int}


def aggregate(episodes: Sequence[Mapping[str, float]]) -> dict[str, Interval]:
    """Mean and 95 % interval of each metric over episodes: Wilson's for `success`, Student's t for the others.

    Episodes in which a metric is NaN or absent are left out of it; `n` says how many are left.
    """
    names = dict.fromkeys(name for episode in episodes for name in episode)
    return {name: _summary(name, [episode.get(name, np.nan) for episode in episodes]) for name in names}


def wilson(k: int, n: int) -> list[float]:
    """Wilson's 95 % score interval of k successes in n trials."""
    if n == 0:
        return [np.nan, np.nan]
    share, z2 = k / n, _Z95**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 / (1 + z2 / n) * np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return [max(0.0, float(centre - half)), min(1.0, float(centre + half))]


def mean_interval(values: np.ndarray | Sequence[float]) -> Interval:
    """Mean with Student's t interval; the interval is NaN for fewer than two values."""
    finite = _finite(np.asarray(values, np.float64))
    n, centre = len(finite), mean(finite)
    half = student_t95(n - 1) * float(np.std(finite, ddof=1)) / np.sqrt(n) if n > 1 else np.nan
    return {"mean": centre, "ci95": [centre - half, centre + half], "n": n}


def paired_difference(new: Sequence[float], old: Sequence[float]) -> Interval:
    """Mean of new - old over the same episodes, with Student's t interval of the differences."""
    return mean_interval(np.asarray(new, np.float64) - np.asarray(old, np.float64))


def paired_ratio(new: Sequence[float], old: Sequence[float], seed: int = 0) -> Interval:
    """mean(new) / mean(old) over the same episodes; the interval resamples episodes (seeded percentile bootstrap)."""
    pairs = np.stack([np.asarray(new, np.float64), np.asarray(old, np.float64)], -1)
    pairs = pairs[np.isfinite(pairs).all(-1)]
    if not len(pairs) or pairs[:, 1].sum() == 0:
        return {"mean": np.nan, "ci95": [np.nan, np.nan], "n": len(pairs)}
    above, below = pairs.sum(0)
    drawn = np.random.default_rng(seed).integers(0, len(pairs), (BOOTSTRAP_DRAWS, len(pairs)))
    sums = pairs[drawn].sum(1)
    ratios = sums[sums[:, 1] != 0]
    ratios = ratios[:, 0] / ratios[:, 1]
    interval = [percentile(ratios, 2.5), percentile(ratios, 97.5)] if len(pairs) > 1 else [np.nan, np.nan]
    return {"mean": float(above / below), "ci95": interval, "n": len(pairs)}


def student_t95(freedom: int) -> float:
    """Two-sided 95 % quantile of Student's t; Hill's expansion (Abramowitz and Stegun 26.7.5), 0.2 % at 3."""
    if freedom < 3:
        return {1: 12.706204736, 2: 4.302652730}[freedom]
    z, v = _Z95, float(freedom)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / v ** (i + 1) for i, term in enumerate(terms))


def _summary(name: str, values: list[float]) -> Interval:
    summary = mean_interval(values)
    if name == "success":
        summary["ci95"] = wilson(round(summary["mean"] * summary["n"]) if summary["n"] else 0, summary["n"])
    return summary


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def mean(values: np.ndarray) -> float:
    """Of the finite values; NaN where there are none."""
    finite = _finite(values)
    return float(finite.mean()) if finite.size else np.nan


def percentile(values: np.ndarray, percent: float) -> float:
    """The same, as `np.percentile`."""
    finite = _finite(values)
    return float(np.percentile(finite, percent)) if finite.size else np.nan


def largest(values: np.ndarray) -> float:
    """The same."""
    finite = _finite(values)
    return float(finite.max()) if finite.size else np.nan
