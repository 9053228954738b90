"""The edge of a process: what comes in is checked, and dropped and named if bad; what goes out is numbered."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

import pyarrow as pa

from operators.actor import UNSENT, Outputs, Wrong
from operators.frame import Frame, read_frame
from operators.messages import TOPICS, Episode, Fault
from operators.schema import BadMessage, unpack

OUTPUTS = {topic.message: name for name, topic in TOPICS.items()}  # what each message is sent from


@dataclass
class Edge:
    """Checks everything one process receives and numbers everything it sends.

    Only messages of the current episode pass; an `Episode` that starts another one changes it. `faults` collects what
    went wrong as (kind, detail, count) until somebody sends them on; a fault is reported at its 1st, 2nd, 4th, 8th ...
    occurrence, so that a broken sender cannot flood the dataflow.
    """

    node: str
    topics: dict[str, type]  # input id -> message class; `frame_*` and the like stand for a family
    episode: int = -1
    run_ns: int = -1  # when this process began, by its own clock
    last: bool = False  # the run is over
    missed: dict[str, int] = field(default_factory=dict)  # input id -> messages lost on the way
    counts: dict[str, int] = field(default_factory=dict)
    faults: list[tuple[str, str, int]] = field(default_factory=list)
    _kinds: dict[str, type | None] = field(default_factory=dict)
    _newest: dict[str, tuple[int, int]] = field(default_factory=dict)  # of each input: run_ns and number
    _sent: dict[str, int] = field(default_factory=dict)

    def stamped(self, message: Any, now_ns: int) -> tuple[str, Any]:
        """A message of operators.actor.UNSENT header -> output, and the message as it is sent.

        A time that is already there, of a measurement or of a cycle, stays.
        """
        output = OUTPUTS[type(message)]
        t_ns = now_ns if message.t_ns < 0 else message.t_ns
        header = {"seq": self.number(output), "episode": self.episode, "t_ns": t_ns, "run_ns": self.run_ns}
        return output, message._replace(**header)

    def number(self, output: str) -> int:
        """The next sequence number of an output."""
        self._sent[output] = self._sent.get(output, -1) + 1
        return self._sent[output]

    def kind(self, source: str) -> type | None:
        """The message class of an input, None where it is not listened to."""
        if source not in self._kinds:
            fitting = (kind for name, kind in self.topics.items() if fnmatchcase(source, name))
            self._kinds[source] = next(fitting, None)
        return self._kinds[source]

    def read(self, source: str, array: pa.Array, metadata: dict[str, Any] | None = None) -> Any | None:
        """The message, or None when it must not be used."""
        if (topic := self.kind(source)) is None:
            return None
        received: Any
        try:
            received = read_frame(array, metadata or {}) if topic is Frame else unpack(topic, array)
        except BadMessage as error:
            self.fault(f"{source} {error.kind}", str(error))
            return None
        return self.heard(source, received)

    def heard(self, source: str, received: Any) -> Any | None:
        """A message that was read, or None when it must not be used: of another episode, known, or out of order."""
        if self.kind(source) is None:
            return None
        if isinstance(received, Episode):
            return self._episode(received)
        if received.episode != self.episode:
            detail = f"expected episode {self.episode}, got {received.episode}"
            self.fault(f"{source} episode", f"{type(received).__name__}: {detail}")
            return None
        return self._in_order(source, received)

    def receive(self, event: dict[str, Any]) -> Any | None:
        """The message of a dora event, or None when there is none to use."""
        if event["type"] != "INPUT":
            return None
        return self.read(event["id"], event["value"], event["metadata"])

    def fault(self, kind: str, detail: str) -> None:
        """Count something that went wrong and report it if its turn has come."""
        self.counts[kind] = count = self.counts.get(kind, 0) + 1
        if count & (count - 1) == 0:
            self.faults.append((kind, detail, count))

    def outcome(self, port: str, outputs: Callable[[], Outputs]) -> Iterator[Any]:
        """What an actor gives out; what it refuses with a ValueError, and what is wrong, becomes a fault."""
        try:
            for output in outputs():
                if isinstance(output, Wrong):
                    self.fault(*output)
                else:
                    yield output
        except ValueError as error:
            self.fault(f"{port} refused", str(error))

    def taken_faults(self) -> list[Fault]:
        """The faults collected since the last call, to be sent."""
        taken, self.faults = self.faults, []
        return [Fault(*UNSENT, self.node, *fault) for fault in taken]

    def _episode(self, received: Episode) -> Episode | None:
        self.last |= received.last
        if received.phase == "start" and received.episode == self.episode:
            return None  # sent again until everybody has heard it
        if received.phase == "start":
            self.episode = received.episode
            self._newest.clear()
        return received

    def _in_order(self, source: str, received: Any) -> Any | None:
        came, newest = (received.run_ns, received.seq), self._newest.get(source)
        if newest is not None and came <= newest:
            kind = "duplicate" if came == newest else "out of order"
            before = "" if came[0] == newest[0] else ", of a process that was started again since"
            self.fault(f"{source} {kind}", f"expected a message after number {newest[1]}, got {came[1]}{before}")
            return None
        if newest is not None and came[0] == newest[0]:
            self.missed[source] = self.missed.get(source, 0) + came[1] - newest[1] - 1
        self._newest[source] = came
        return received
