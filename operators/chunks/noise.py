"""Errors like a learned policy's, put on an expert's chunk: for trying joins before any policy is trained."""

import numpy as np

KNOTS = 5  # the error bends this often over a chunk
WHITE_M = 0.04e-3


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
    basis = smooth_basis(len(action))
    error = basis @ draw.standard_normal((KNOTS, 3)) + WHITE_M * draw.standard_normal((len(action), 3))
    return np.concatenate([action[:, :3] + scale * error, action[:, 3:]], -1).astype(np.float32)


def smooth_basis(rows: int) -> np.ndarray:
    """(rows, KNOTS) m: times standard normal numbers, the smooth error of one axis."""
    time = np.linspace(0, 1, rows)[:, None]
    waves = np.cos(np.pi * np.arange(KNOTS) * time) / (1 + np.arange(KNOTS))
    return (0.25e-3 + 1.4e-3 * time) * waves / np.linalg.norm(waves, axis=-1, keepdims=True)
