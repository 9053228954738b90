"""What the decoder does with a chunk: decode it and, where it hears what was executed, align and refine it."""

from collections.abc import Callable
from math import inf
from typing import ClassVar

from operators.actor import UNSENT, Outputs
from operators.chunks.codec import Codec, reconstruct
from operators.chunks.decode import decode
from operators.chunks.refine import AS_PUBLISHED, EASED_M, HANDOVER, refine
from operators.messages import ActionChunk, Chunk, Episode, Plan
from operators.motion.align import blocked, fit, known, resampled
from operators.motion.rows import Rows, concat
from operators.settings import Settings


class Decoding:
    """The decoder's decisions, message by message. Without a `Plan` (the edge `executed`) it only decodes.

    Args:
        make_codec: codec by name.
        clock: nanoseconds, read before and after each chunk to tell how long it took; nothing depends on it.
    """

    INPUTS: ClassVar[dict[str, type]] = {"chunk": Chunk, "executed": Plan, "episode": Episode}
    wake_ns: int | None = None

    def __init__(self, config: Settings, make_codec: Callable[[str], Codec], clock: Callable[[], int] = int):
        self.codec, self._method, self._margin = make_codec(config.codec), config.refine, config.margin
        self._by_phase = config.align == "phase" and config.refine not in AS_PUBLISHED
        self._refining = make_codec(config.refine_codec) if config.refine_codec else self.codec
        self._plan: Plan | None = None
        self._clock = clock

    def receive(self, port: str, message: object, now_ns: int) -> Outputs:
        """A chunk that does not fit or comes too late is dropped: UnfitChunk, LateChunk."""
        if isinstance(message, Plan):
            self._plan = message
        elif isinstance(message, Episode):
            self._plan = None
        elif isinstance(message, Chunk):
            begun, (rows, shift_ticks) = self._clock(), self.rows(message)
            number, settled = (self._plan.seq, True) if self._plan else (-1, message.aligned)
            about = message.chunk_id, message.tick, rows.tick, (self._clock() - begun) / 1e6
            yield ActionChunk(*UNSENT, *about, rows.action, number, settled, shift_ticks)

    def wake(self, now_ns: int) -> Outputs:
        return ()

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
