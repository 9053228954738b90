"""Sending a recording and passing on what other processes say: what playback needs of a wire beyond reading it."""

import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from nodes._ordered import number
from nodes._wire import Wire
from operators.edge import AGAIN
from operators.messages import HZ, ActionChunk, Chunk, ChunkDone, Episode, Fault, Plan, Proprio, Request, pack
from operators.order import Trail

RELAYED = {"plan": Plan, "request": Request, "chunk": Chunk, "action_chunk": ActionChunk, "chunk_done": ChunkDone}
ALL = ("",)
ANSWERING = ("executor", "scheduler", "policy", "decoder")
STUCK_NS = 1_000_000_000
REMEMBERED = 1200  # messages sent again when nobody answers: more than go out in all cycles a recording stands
FEW = 16  # sent again at first
BREATH_S = 0.001  # between as many, so that a receiver's queue does not run over


class Sender:
    """Sends, in lockstep with a turn after each message. One for the whole run.

    Attributes:
        repeated: measurements sent once more than recorded, so far: later ones are numbered so much higher.
    """

    def __init__(self, node: Any, wire: Wire, lockstep: bool):
        self.node, self.wire, self.repeated = node, wire, 0
        self.numbers: tuple[int, int | None] = 0, None  # lockstep: seq of the next measurement, cycle of the newest
        self._trail = Trail() if lockstep else None
        self._recent: deque[tuple[int, str, pa.Array, dict, tuple]] = deque(maxlen=REMEMBERED)
        self._newest: dict[str, int] = {}  # output -> number of what was sent last
        self.count = 0  # turns given
        self._answered: dict[str, int] = dict.fromkeys(
            ANSWERING, 0
        )  # receiver -> turns after which it is known to have answered

    def send(
        self, output: str, array: pa.Array, metadata: dict[str, Any] | None = None, to: tuple[str, ...] = ALL
    ) -> None:
        """Send a message; in lockstep it is the turn of `to` to take it. One behind a later one nobody would take."""
        seq = number({"value": array, "metadata": metadata or {}})
        if self._trail is not None and 0 <= seq <= self._newest.get(output, -1):
            return
        self._newest[output] = seq
        self.node.send_output(output, array, metadata or {})
        self.turn(output, array, metadata, to)

    def turn(self, output: str, array: pa.Array, metadata: dict[str, Any] | None, to: tuple[str, ...]) -> None:
        """Lockstep: it is the turn of `to` to take a message that was sent."""
        about = metadata or {}
        for receiver in to if self._trail is not None else ():
            assert self._trail is not None
            first, topics, numbers, receivers = self._trail.add(
                output, number({"value": array, "metadata": about}), receiver
            )
            turn = first, topics, np.array(numbers), receivers
            self.count += 1
            self._recent.append((self.count, output, array, about, turn))
            self.wire.send("turn", *turn)

    def again(self, all_of_it: bool) -> None:
        """Lockstep: send what may have been lost once more, the newest or all of it; who has it drops it."""
        recent = list(self._recent)
        for sent, (_, output, array, about, turn) in enumerate(recent if all_of_it else recent[-FEW:], 1):
            self.node.send_output(output, array, {**about, AGAIN: True})
            self.wire.send("turn", *turn)
            if sent % FEW == 0:
                time.sleep(BREATH_S)

    def answered(self, receiver: str, count: int) -> None:
        """Lockstep: a process has answered to that turn, so it has all before. What all have need not be kept."""
        self._answered[receiver] = max(self._answered[receiver], count)
        while self._recent and self._recent[0][0] <= min(self._answered.values()):
            self._recent.popleft()


class Relay:
    """One episode's messages to and fro; they go out as they came in, numbers and stamps included."""

    def __init__(self, sender: Sender, speed: float):
        self.sender, self.wire, self._speed = sender, sender.wire, speed
        self.out, self.reached = -1, -1  # chunk that is out; the plan's tick, -1 before the first
        self.last: Proprio | None = None  # newest measurement sent

    def measure(self, proprio: Proprio) -> Proprio:
        """Send a measurement, numbered on behind those that were repeated."""
        shift = self.sender.repeated
        self.last = proprio
        sent = proprio._replace(seq=proprio.seq + shift, cycle=proprio.cycle + shift)
        self.sender.send("proprio", pack(sent))
        return sent

    def measure_again(self) -> Proprio:
        """The recording stands, cycles go on."""
        assert self.last is not None
        self.sender.repeated += 1
        return self.measure(self.last)

    def _pass(self, output: str, message: tuple, to: tuple[str, ...] = ALL) -> None:
        self.sender.send(output, pack(message), to=to)

    def _heard(self, coming: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
        """What comes; episodes are passed on at once."""
        for source, message in coming:
            if isinstance(message, Episode):
                self._pass("episode", message)
            yield source, message

    def _relay_until(self, due_ns: int) -> None:
        """Pass on what comes until then; if that is over already, what has come."""
        while self.wire.open and (left := due_ns - time.monotonic_ns()) > 0:
            self._relay(*next(self._heard(self.wire.messages(left / 1e9)), ("", None)))
        for source, message in self._heard(self.wire.drain()):
            self._relay(source, message)

    def _hold(self, tick: int) -> int:
        """The recording does not run ahead of the plan, whose rows are due at its ticks; how long it waited [ns]."""
        begun = time.monotonic_ns()
        while self.wire.open and tick > self.reached and (self.out >= 0 or time.monotonic_ns() - begun < STUCK_NS):
            self._relay_until(time.monotonic_ns() + round(1e9 / HZ / self._speed))
            if tick > self.reached:
                self.measure_again()
        return time.monotonic_ns() - begun

    def _shake_hands(self, start: Episode) -> int:
        """Send episode and first sample until a plan is back; how long it waited [ns]."""
        begun = time.monotonic_ns()
        while self.wire.open and self.reached < 0:
            self._relay_until(time.monotonic_ns() + 200_000_000)
            if self.reached < 0:
                self._pass("episode", start)
                self.measure_again()
        return time.monotonic_ns() - begun

    def _relay(self, source: str, message: Any) -> None:
        if isinstance(message, Plan):
            self.reached = message.tick
        if isinstance(message, Request):
            self.out = message.chunk_id
        if isinstance(message, ActionChunk | Fault):
            self.out = -1
        if message is not None and source in RELAYED:
            self._pass(source, message)
