"""Lockstep's way to wait for an answer: what may have been lost is sent again, and some answers never come."""

import time
from dataclasses import dataclass
from typing import Any

from nodes._relay import Relay, Sender
from operators.messages import ActionChunk, Chunk, Fault, Request
from recordings.timeline import Course

AGAIN_NS = 300_000_000
OVERTAKEN = 8  # a chunk may be wanted after so many later ones
LOST_NS = {Chunk: 30_000_000_000, ActionChunk: 10_000_000_000}  # an answer that takes longer does not come


@dataclass
class Flight:
    """A request and how far its answer has come."""

    request: Request
    course: Course
    shown: int = 0  # to the policy, by this turn
    taken: bool = False  # by the executor
    decoded: bool = False
    rows: ActionChunk | None = None
    joined: bool = False

    def newer(self, other: "Flight") -> bool:
        return self.request.chunk_id > other.request.chunk_id


class Waiting(Relay):
    """Keeps what comes until it is waited for: the newest of each kind, and every chunk."""

    def __init__(self, sender: Sender, speed: float):
        super().__init__(sender, speed)
        self._inbox: dict[type, Any] = {}
        self._chunks: dict[int, Chunk] = {}

    def forget(self, kind: type) -> None:
        self._inbox.pop(kind, None)

    def chunk(self, number: int) -> Chunk | None:
        """The answer to a request; those to others may come before it."""
        while number not in self._chunks:
            chunk = self.wait(Chunk)
            if chunk is None:
                return None
            self._chunks[chunk.chunk_id] = chunk
        found = self._chunks.pop(number)
        self._chunks = {k: chunk for k, chunk in self._chunks.items() if k > number - OVERTAKEN}
        return found

    def rows(self, number: int) -> ActionChunk | None:
        """The rows of a chunk; those of one that was given up may come before them."""
        rows = self.wait(ActionChunk)
        while rows and rows.chunk_id < number:
            rows = self.wait(ActionChunk)
        return rows

    def wait(self, kind: type) -> Any | None:
        """The next message of a kind; None when it will not come: a fault was told, nothing for long, or the end.

        A plan is waited for without end: the evaluator's time limit ends the run.
        """
        begun = again = time.monotonic_ns()
        repeated = False
        if kind in self._inbox:
            return self._inbox.pop(kind)
        if kind in LOST_NS and self._inbox.pop(Fault, None):
            return None
        for _, message in self._heard(self.wire.messages()):
            if isinstance(message, kind):
                return message
            if (isinstance(message, Fault) and kind in LOST_NS) or time.monotonic_ns() - begun > LOST_NS.get(
                kind, 10**18
            ):
                return None
            if isinstance(message, Chunk):
                self._chunks[message.chunk_id] = message
            elif isinstance(message, tuple):
                self._inbox[type(message)] = message
            if time.monotonic_ns() - again > AGAIN_NS:
                self.sender.again(all_of_it=repeated)
                again, repeated = time.monotonic_ns(), True
        return None
