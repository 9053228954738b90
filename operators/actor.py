"""What one process of the dataflow decides, and nothing else. Who calls it is a stage: dora, simulated time, a replay.

An actor acts when a message comes and when a time it asked for is there. It reads no clock: `now_ns` is told, late or
early, and the same calls give the same outputs. Messages it sends carry the header UNSENT; the stage numbers and stamps
them, and sends each from the output that is called like its topic (operators.messages.TOPICS).
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

UNSENT = -1, -1, -1  # seq, episode and t_ns of a message before the stage has sent it


class Work(NamedTuple):
    """Something that takes long. The stage runs it beside, and hands what it returns to `receive(port, Done, now_ns)`.

    At most one of a port is out: an actor asks for no second one before it has received the first.
    """

    port: str
    number: int  # of the job: what a simulated delay is drawn by
    call: Callable[[], Any]
    since_ns: int  # when what it is about was measured: simulated delays count from there


class Done(NamedTuple):
    """What a Work returned. Whether it still counts, the actor decides."""

    value: Any
    begun_ns: int
    took_ms: float  # of computation


class Wrong(NamedTuple):
    """Something that went wrong: counted, and sent as a `Fault`."""

    kind: str
    detail: str


class Recorded(NamedTuple):
    """A message of a recording, sent as it is."""

    output: str
    array: Any
    metadata: dict[str, Any]


class Say(NamedTuple):
    """A line for those who watch."""

    line: str


class NodeFailed(NamedTuple):
    """A process of the dataflow has failed; comes through the port `node_failed`, to those who hear its outputs."""

    node: str


class Param(NamedTuple):
    """`dora param set NODE KEY VALUE`; comes through the port `param`."""

    key: str
    value: Any


Outputs = Iterable[Any]  # messages, Recorded, Work, Wrong, Say


class Actor(Protocol):
    """One process's decisions.

    A ValueError that a call raises is a fault of the kind `<port> refused`; the actor is then as before.
    """

    INPUTS: ClassVar[dict[str, type]]  # port -> message class; `frame_*` and the like stand for a family

    @property
    def wake_ns(self) -> int | None:
        """When to be woken next, by the stage's clock; 0: at once; None: only messages count."""
        ...

    def receive(self, port: str, message: Any, now_ns: int) -> Outputs:
        """A checked message of this episode has come, or what a Work returned."""
        ...

    def wake(self, now_ns: int) -> Outputs:
        """The time `wake_ns` has come."""
        ...


@runtime_checkable
class Leaving(Protocol):
    """An actor with a beat that brings something to rest before its process ends."""

    def leave(self) -> bool:
        """The run is over. Whether there is nothing left to do; asked before each cycle."""
        ...


class Beat:
    """Periods on an even grid that begins with the first one; those that were slept through are passed over.

    Attributes:
        due_ns: when the next period begins; 0 before the first.
    """

    def __init__(self, hz: int):
        self._period_ns, self._begun_ns, self.due_ns = 1_000_000_000 // hz, 0, 0

    def next(self, now_ns: int) -> int:
        """The number of the period that begins now."""
        if not self.due_ns:
            self._begun_ns = now_ns
        number = max(0, (now_ns - self._begun_ns) // self._period_ns)
        self.due_ns = self._begun_ns + (number + 1) * self._period_ns
        return number
