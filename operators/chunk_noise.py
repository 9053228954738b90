"""Errors like a learned policy's, put on an expert's chunk: for trying joins before any policy is trained."""

import numpy as np

KNOTS = 5  # the error bends this often over a chunk


def noisy(action: np.ndarray, scale: float, seed: int, episode: int, chunk_id: int) -> np.ndarray:
    """Add position errors to a chunk.

    Two parts, as in chunks of learned policies: a smooth error, independent between chunks and growing along the chunk
    (standard deviation per axis 0.25 mm at the first row, 1.65 mm at row 47, times `scale`: a policy knows the near
    future better), and white jitter of 0.04 mm per axis times `scale` (what a direct 60 Hz policy adds). At scale 1 and
    a delay of 8 ticks the naive join jumps by about 1.7 mm/tick, as small learned policies do.

    Args:
        action: (H, 10) absolute.
        scale: 1 for the figures above, 0 for none.
        seed, episode, chunk_id: the error depends on these alone, never on the order of calls.
    """
    if not scale:
        return action
    draw = np.random.default_rng((0x401, seed, episode, chunk_id))
    time = np.linspace(0, 1, len(action))
    waves = np.cos(np.pi * np.arange(KNOTS) * time[:, None])  # (H, KNOTS)
    weights = draw.standard_normal((KNOTS, 3)) / (1 + np.arange(KNOTS)[:, None])
    smooth = waves @ weights / np.sqrt(((waves / (1 + np.arange(KNOTS))) ** 2).sum(-1, keepdims=True))
    error = (0.25e-3 + 1.4e-3 * time[:, None]) * smooth + 0.04e-3 * draw.standard_normal((len(action), 3))
    return np.concatenate([action[:, :3] + scale * error, action[:, 3:]], -1).astype(np.float32)
