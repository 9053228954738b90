"""Passing on what other processes say, and waiting for it: what playback needs of a wire beyond reading it."""

import time
from typing import Any

from nodes._wire import Wire
from operators.messages import ActionChunk, Chunk, Fault, Plan, Request, pack
from recordings.drec import Message

RELAYED = {"plan": Plan, "request": Request, "chunk": Chunk, "action_chunk": ActionChunk}
AGAIN_NS = 1_000_000_000
AHEAD = 2  # ticks: a plan is on its way for so long


class Relay:
    """Messages go out as they came in, numbers and stamps included."""

    def __init__(self, node: Any, wire: Wire):
        self.node, self.wire = node, wire
        self.inbox: dict[type, Any] = {}
        self.out, self.reached = -1, -1  # chunk that is out; the plan's tick, -1 before the first

    def _pass(self, output: str, message: tuple) -> None:
        self.node.send_output(output, pack(message))

    def _wait(self, kind: type, at_most_ns: int = 0) -> Any | None:
        """The next message of a kind; None when it will not come: a process told a fault, or the run is over."""
        begun = time.monotonic_ns()
        if kind in self.inbox:
            return self.inbox.pop(kind)
        for _, message in self.wire.messages():
            if isinstance(message, kind):
                return message
            if isinstance(message, Fault) and kind in (Chunk, ActionChunk):
                return None
            if isinstance(message, tuple):
                self.inbox[type(message)] = message
            if at_most_ns and time.monotonic_ns() - begun > at_most_ns:
                return None
        return None

    def _relay_until(self, due_ns: int) -> None:
        while self.wire.open and (left := due_ns - time.monotonic_ns()) > 0:
            self._relay(left / 1e9)

    def _hold(self, tick: int) -> int:
        """While a chunk is out, the recording does not run ahead of the plan; for how long it had to wait [ns]."""
        begun = time.monotonic_ns()
        while (
            self.wire.open and tick > self.reached + AHEAD and (self.out >= 0 or time.monotonic_ns() - begun < AGAIN_NS)
        ):
            self._relay(0.1)
        return time.monotonic_ns() - begun

    def _shake_hands(self, content: Message) -> int:
        """Send the first sample until its plan is back; for how long it had to wait [ns]."""
        begun = time.monotonic_ns()
        while self.wire.open and self.reached < 0:
            self._relay(0.2)
            if self.reached < 0:
                self.node.send_output("proprio", content.array, content.metadata)
        return time.monotonic_ns() - begun

    def _relay(self, timeout: float) -> None:
        source, message = next(self.wire.messages(timeout), ("", None))
        if isinstance(message, Plan):
            self.reached = message.tick
        if isinstance(message, Request):
            self.out = message.chunk_id
        if isinstance(message, ActionChunk | Fault):
            self.out = -1
        if message is not None and source in RELAYED:
            self._pass(source, message)
