"""Takes dora events in the order a sender tells on its topic `turn`, and keeps what was answered in case it is lost."""

import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from operators.edge import AGAIN
from operators.messages import BadMessage, Turn, unpack
from operators.order import Order

TURN = "turn"
KEPT = 4  # messages of an output: lockstep waits for each, so the newest is the one that may be missing
PAUSE_NS = 100_000_000  # between repetitions, however many turns ask for one


def sources(config: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Input id -> (node, output), from a node's configuration."""
    wired = {name: edge if isinstance(edge, str) else edge["source"] for name, edge in config.get("inputs", {}).items()}
    return {name: (source.split("/", 1)[0], source.split("/", 1)[1]) for name, source in wired.items()}


def number(event: dict[str, Any]) -> int:
    """The sender's number of a message: in its metadata, or its first column."""
    seq, array = event["metadata"].get("seq"), event["value"]
    if seq is None and getattr(array.type, "num_fields", 0) and array.type.field(0).name == "seq" and len(array):
        seq = array.field(0)[0].as_py()
    return seq if isinstance(seq, int) else -1


class Ordered:
    """Messages of the sender of `turn` wait for their turn; everything else passes at once."""

    def __init__(self, config: dict[str, Any], name: str):
        wired = sources(config)
        sender = wired[TURN][0]
        self._topics = {name: output for name, (node, output) in wired.items() if node == sender and name != TURN}
        self._order = Order(set(self._topics.values()), name)
        self._sent: dict[str, deque[pa.Array]] = {}  # by output
        self._asked, self._repeated_ns = False, 0

    def sent(self, output: str, array: pa.Array) -> None:
        """Keep a message that was sent."""
        self._sent.setdefault(output, deque(maxlen=KEPT)).append(array)

    def repeat(self, node: Any) -> None:
        """Send the newest messages once more if a turn that was over before has come."""
        now = time.monotonic_ns()
        if self._asked and now - self._repeated_ns >= PAUSE_NS:
            self._repeated_ns = now
            for output, messages in self._sent.items():
                for array in messages:
                    node.send_output(output, array, {AGAIN: True})
        self._asked = False

    def take(self, event: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """An event came; those whose turn it is now."""
        if event["type"] != "INPUT":
            yield event
        elif event["id"] == TURN:
            try:
                turn = unpack(Turn, event["value"])
            except BadMessage:
                yield event  # the edge names what is wrong with it
                return
            self._asked = self._asked or self._order.known(turn)
            yield from self._order.turn(turn)
        elif event["id"] in self._topics and (seq := number(event)) >= 0:
            yield from self._order.hold(self._topics[event["id"]], seq, event)
        else:
            yield event
