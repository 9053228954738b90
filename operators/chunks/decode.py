"""From a policy's chunk to rows to play: the one place where latent becomes action and relative absolute."""

from collections.abc import Callable
from math import inf
from typing import ClassVar, NamedTuple

import numpy as np

from operators.chunks.codec import Codec, reconstruct
from operators.chunks.refine import AS_PUBLISHED, EASED_M, HANDOVER, refine
from operators.messages import HZ, Chunk, Episode, Plan
from operators.motion.align import blocked, fit, known, resampled
from operators.motion.rotation import is_orthonormal, orthonormal_6d, to_absolute
from operators.motion.rows import Rows, concat, rows
from operators.settings import Settings


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


class Decoded(NamedTuple):
    """Columns of `ActionChunk`."""

    chunk_id: int
    t0: int
    tick: int
    refine_ms: float
    action: np.ndarray
    plan: int = -1  # number of the one it was refined against
    aligned: bool = False
    shift_ticks: float = 0.0


class Decoding:
    """The decoder's decisions, message by message. Without a `Plan` (the edge `executed`) it only decodes."""

    INPUTS: ClassVar[dict[str, type]] = {"chunk": Chunk, "executed": Plan, "episode": Episode}

    def __init__(self, config: Settings, make_codec: Callable[[str], Codec]):
        self.codec, self._method, self._margin = make_codec(config.codec), config.refine, config.margin
        self._by_phase = config.align == "phase" and config.refine not in AS_PUBLISHED
        self._refining = make_codec(config.refine_codec) if config.refine_codec else self.codec
        self._plan: Plan | None = None

    def receive(self, message: object, clock: Callable[[], int]) -> Decoded | None:
        """Take in a message; for a chunk, what to hand over.

        Args:
            clock: nanoseconds, read before and after to tell how long it took.

        Raises:
            ValueError: the chunk must be dropped (UnfitChunk, LateChunk among them).
        """
        if isinstance(message, Plan):
            self._plan = message
        elif isinstance(message, Episode):
            self._plan = None
        elif isinstance(message, Chunk):
            begun, (rows, shift_ticks) = clock(), self.rows(message)
            number, settled = (self._plan.seq, True) if self._plan else (-1, message.aligned)
            about = message.chunk_id, message.tick, rows.tick, (clock() - begun) / 1e6
            return Decoded(*about, rows.action, number, settled, shift_ticks)
        return None

    def rows(self, chunk: Chunk) -> tuple[Rows, float]:
        """Absolute rows of a chunk, aligned and refined against the newest plan where there is one; and the shift.

        The codec gets as many rows as a chunk has: a shift leaves the end without content, which is made up for it and
        cut off again.
        """
        predicted = decode(chunk, self.codec)
        if self._plan is None:
            first, end = known(predicted, chunk.shift_ticks)
            return resampled(predicted, chunk.shift_ticks).between(first, end), chunk.shift_ticks
        executed = Rows(self._plan.tick - len(self._plan.executed), self._plan.executed)
        planned = Rows(self._plan.tick, self._plan.planned)
        shift_ticks = chunk.shift_ticks if chunk.aligned else self._shift(predicted, executed, planned, chunk)
        _, end = known(predicted, shift_ticks)
        shifted = resampled(predicted, shift_ticks)
        largest = EASED_M if self._by_phase else inf
        refined = refine(
            self._method, shifted, executed, planned, lambda s: self._pass(s, chunk), self._margin, largest
        )
        return refined.between(refined.tick, end), shift_ticks

    def _shift(self, predicted: Rows, executed: Rows, planned: Rows, chunk: Chunk) -> float:
        """Ticks by which a chunk is shifted; none where the robot stood, or does not follow."""
        takeover = planned.tick + HANDOVER
        stood = planned.tick <= predicted.tick
        if not self._by_phase or stood or blocked(chunk.reference_pose[:3], executed.between(0, predicted.tick)):
            return 0.0
        return fit(predicted, concat(executed, planned), takeover).ticks

    def _pass(self, splice: Rows, chunk: Chunk) -> Rows:
        return reconstruct(splice, chunk.reference_pose, self._refining)
