"""Statistics of a data set's features as LeRobot keeps them: per episode, and merged over all of them."""

import numpy as np

Stats = dict[str, dict[str, np.ndarray]]  # feature -> min, max, mean, std in the feature's shape, and count (1,)

_SAMPLED = 16  # frames of an episode that image statistics are taken from


def array_stats(values: np.ndarray) -> dict[str, np.ndarray]:
    """Over the rows of (n, ...), float64; a column (n,) gives (1,)."""
    values = np.asarray(values, np.float64).reshape(len(values), *(values.shape[1:] or (1,)))
    found = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    return found | {"count": np.array([len(values)])}


def sampled_frames(count: int) -> set[int]:
    """Which of an episode's frames its image statistics are taken from."""
    return set(np.linspace(0, count - 1, _SAMPLED).astype(int).tolist())


def image_stats(sampled: np.ndarray) -> dict[str, np.ndarray]:
    """Over frames (n, h, w, 3) uint8: per channel, (3, 1, 1), pixels from 0 to 1."""
    found = array_stats(sampled.reshape(-1, 3) / 255.0)
    found = {name: value.reshape(3, 1, 1) for name, value in found.items() if name != "count"}
    return found | {"count": np.array([len(sampled)])}


def merged(first: Stats, second: Stats) -> Stats:
    """Statistics of two sets of rows together."""
    if not first:
        return second
    return {name: _merged(first[name], second[name]) for name in first}


def _merged(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    count = a["count"] + b["count"]
    share = b["count"][0] / count[0]
    mean = a["mean"] + (b["mean"] - a["mean"]) * share
    variance = (1 - share) * (a["std"] ** 2 + (a["mean"] - mean) ** 2)
    variance = variance + share * (b["std"] ** 2 + (b["mean"] - mean) ** 2)
    low, high = np.minimum(a["min"], b["min"]), np.maximum(a["max"], b["max"])
    return {"min": low, "max": high, "mean": mean, "std": np.sqrt(variance), "count": count}
