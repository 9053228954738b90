"""One order for what comes from one sender on several topics.

dora keeps the order within a topic, not between topics: large messages go through shared memory, small ones through the
daemon, and a process that has several inputs waiting is given them in turn. A sender that needs one order says it in
`Turn` messages, and each receiver takes its inputs as they say, waiting for what has not come yet. A message that
several processes hear can be each one's turn at another time.
"""

from collections.abc import Iterator
from typing import Any

from operators.messages import Turn

KEPT = 64  # entries a turn repeats, so that one that is lost leaves no hole


class Trail:
    """The sender's side: numbers what it sends."""

    def __init__(self) -> None:
        self._count = 0
        self._kept: list[tuple[str, int, str]] = []

    def add(self, topic: str, number: int, to: str = "") -> tuple[int, list[str], list[int], list[str]]:
        """A message was sent, or is somebody's turn now: `first, topic, number, to` of the turn to send after it."""
        self._kept = [*self._kept[1 - KEPT :], (topic, number, to)]
        self._count += 1
        topics, numbers, receivers = (list(column) for column in zip(*self._kept, strict=True))
        return self._count - len(self._kept), topics, numbers, receivers


class Order:
    """The receiver's side: holds messages back until it is their turn.

    Args:
        topics: those of the sender that this process hears; entries of others are passed over.
        name: of this process; entries for others are passed over too.
    """

    def __init__(self, topics: set[str], name: str = ""):
        self._topics, self._name = topics, name
        self._next = 0  # number of the entry whose turn it is
        self._entries: dict[int, tuple[str, int, str]] = {}
        self._held: dict[tuple[str, int], Any] = {}
        self._done: dict[str, int] = {}  # topic -> newest number handed on

    def hold(self, topic: str, number: int, event: Any) -> Iterator[Any]:
        """A message came; what is ready now. One that was handed on already is dropped."""
        if number > self._done.get(topic, -1):
            self._held[topic, number] = event
        yield from self._ready()

    def known(self, message: Turn) -> bool:
        """Whether a turn tells nothing new: somebody waits for an answer, perhaps to what was done long ago."""
        return message.first + len(message.topic) <= self._next

    def turn(self, message: Turn) -> Iterator[Any]:
        """A turn came; what is ready now."""
        for i, entry in enumerate(zip(message.topic, message.number.tolist(), message.to, strict=True)):
            if message.first + i >= self._next:
                self._entries[message.first + i] = entry
        yield from self._ready()

    def _ready(self) -> Iterator[Any]:
        while entry := self._entries.get(self._next):
            topic, number, to = entry
            if topic in self._topics and to in ("", self._name):
                if (topic, number) not in self._held:
                    return
                self._done[topic] = number
                yield self._held.pop((topic, number))
                for passed in [each for each in self._held if each[0] == topic and each[1] < number]:
                    del self._held[passed]  # it was never this process's turn
            del self._entries[self._next]
            self._next += 1
