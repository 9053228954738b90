"""From a policy's chunk to rows to play: the one place where latent becomes action and relative absolute."""

import numpy as np

from operators.chunks.codec import Codec
from operators.messages import HZ, Chunk
from operators.motion.rotation import is_orthonormal, orthonormal_6d, to_absolute
from operators.motion.rows import Rows, rows


class UnfitChunk(ValueError):
    """A chunk that does not fit the decoder: another codec, an unknown space or rate."""


def decode(chunk: Chunk, codec: Codec) -> Rows:
    """Absolute 60 Hz rows of a chunk, row i due at `chunk.tick + i`.

    Raises:
        UnfitChunk: naming both codecs, or the space, rate or length that was not expected, or rotations that are none.
    """
    if chunk.space not in ("latent", "action"):
        raise UnfitChunk(f"expected a chunk in space latent or action, got {chunk.space!r}")
    if chunk.space == "latent" and chunk.codec != codec.name:
        raise UnfitChunk(f"expected a latent of codec {codec.name}, got one of {chunk.codec}")
    if len(chunk.values) == 0 or not 1 <= chunk.rate_hz <= HZ or HZ % chunk.rate_hz:
        raise UnfitChunk(f"expected rows at a rate that divides {HZ} Hz, got {len(chunk.values)} at {chunk.rate_hz} Hz")
    relative = codec.decode(chunk.values) if chunk.space == "latent" else chunk.values
    absolute = rows(chunk.tick, to_absolute(interpolate(relative, chunk.rate_hz), chunk.reference_pose))
    if not is_orthonormal(absolute.action[:, 3:9]):  # refinement would make rotations out of anything
        raise UnfitChunk("expected rotations of two independent columns, got others")
    return absolute


def interpolate(relative: np.ndarray, rate_hz: float) -> np.ndarray:
    """Rows at a lower rate -> 60 Hz by Catmull-Rom splines, the last row held for its period; (n, 10) -> (m, 10)."""
    factor = round(HZ / rate_hz)
    if factor == 1:
        return relative
    time = np.minimum(np.arange(len(relative) * factor) / factor, len(relative) - 1)
    at = np.floor(time).astype(int)
    u = (time - at)[:, None]
    first, last = relative[:2], relative[-2:]  # go on at constant velocity beyond both ends
    knots = np.concatenate([2 * first[:1] - first[-1:], relative, 2 * last[-1:] - last[:1], relative[-1:]])
    before, here, after, later = (knots[at + k] for k in range(4))
    slope, next_slope = (after - before) / 2, (later - here) / 2
    hermite = ((2 * u - 3) * u**2 + 1) * here + ((u - 2) * u + 1) * u * slope
    dense = hermite + (3 - 2 * u) * u**2 * after + (u - 1) * u**2 * next_slope
    dense[:, 3:9] = orthonormal_6d(dense[:, 3:9])
    return dense
