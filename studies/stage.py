"""The stage of simulated time: the actors of a graph, its edges as they are in the YAML, and no clock but its own.

The same actors and seeds give the same messages, bit by bit. A heap holds what is to come; of two things at one time
the one that was put there first comes first.
"""

from collections.abc import Callable, Mapping
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import Any

from operators.actor import Actor, Done, Say, Work
from operators.edge import Edge
from operators.frame import Frame
from operators.wiring import Wiring

LINK_NS = 1_000_000  # from one process to another: dora's median is 0.7 ms for a record
Link = Callable[[str, str, str, Any], list[int]]  # sender, hearer, port, message -> when its copies arrive, from now on


class Process:
    """An actor with the edge that checks what it hears and numbers what it sends."""

    def __init__(self, name: str, actor: Actor, begins_ns: int):
        self.name, self.actor, self.edge = name, actor, Edge(name, dict(actor.INPUTS), run_ns=begins_ns)
        self.begins_ns = begins_ns  # it is not woken before
        self.woken_ns: int | None = None  # the wake that is in the heap


class Stage:
    """Plays actors until something is over.

    Args:
        actors: by the id of their node; nodes that are not here hear and send nothing.
        begins_ns: when each process begins; 0 where it is not said.
        work_ns: when what takes long is done, not before now: its node, the work, now.
        link: how messages travel.
        clock: nanoseconds, to tell how long computation took; without it, none.
        listen: hears every message when it is sent: sender, output, message.
    """

    def __init__(
        self,
        wiring: Wiring,
        actors: Mapping[str, Actor],
        begins_ns: Mapping[str, int],
        work_ns: Callable[[str, Work, int], int],
        link: Link = lambda sender, hearer, port, message: [LINK_NS],
        clock: Callable[[], int] = int,
        listen: Callable[[str, str, Any], None] = lambda sender, output, message: None,
    ):
        self._edges, self._work_ns, self._link, self._clock, self._listen = wiring, work_ns, link, clock, listen
        self.processes = {name: Process(name, each, begins_ns.get(name, 0)) for name, each in actors.items()}
        self.now_ns, self.said = 0, list[str]()
        self._order, self._heap = count(), list[tuple[int, int, str, str, Any]]()
        for process in self.processes.values():
            self._wake_at(process, process.begins_ns)

    @property
    def coming(self) -> int:
        """How much is on its way."""
        return len(self._heap)

    def run(self, over: Callable[[], bool]) -> None:
        """Until it is over, or nothing is to come any more."""
        while self._heap and not over():
            self.now_ns, _, name, port, message = heappop(self._heap)
            process = self.processes.get(name)
            if process is None:  # it is down: what is on its way to it is lost
                continue
            if port:
                self._hear(process, port, message)
            elif process.woken_ns == message:  # or it has asked for another time meanwhile
                process.woken_ns, wake_ns = None, process.actor.wake_ns
                due = wake_ns is not None and wake_ns <= self.now_ns
                self._give(
                    process, "cycle", lambda process=process, due=due: process.actor.wake(self.now_ns) if due else ()
                )

    def fail(self, name: str) -> None:
        """A process is gone, with all it knew."""
        del self.processes[name]

    def restart(self, name: str, actor: Actor) -> None:
        """A process is there again and knows nothing."""
        self.processes[name] = process = Process(name, actor, self.now_ns)
        self._wake_at(process, self.now_ns)

    def put(self, at_ns: int, name: str, port: str, message: Any) -> None:
        """Have a process hear a message at a time."""
        heappush(self._heap, (at_ns, next(self._order), name, port, message))

    def _hear(self, process: Process, port: str, message: Any) -> None:
        heard = message if isinstance(message, Done) else process.edge.heard(port, message)
        self._give(process, port, tuple if heard is None else partial(process.actor.receive, port, heard, self.now_ns))

    def _give(self, process: Process, port: str, outputs: Callable[[], Any]) -> None:
        for output in process.edge.outcome(port, outputs):
            if isinstance(output, Work):
                self._work(process, output)
            elif isinstance(output, Say):
                self.said.append(output.line)
            elif isinstance(output, Frame):
                name = f"frame_{process.name.removeprefix('camera_')}"
                edge = process.edge
                numbered = output._replace(seq=edge.number(name), episode=edge.episode, run_ns=edge.run_ns)
                self._send(process, name, numbered)
            else:
                self._send(process, *process.edge.stamped(output, self.now_ns))
        self._send_faults(process)
        if process.actor.wake_ns is not None:
            self._wake_at(process, max(process.actor.wake_ns, self.now_ns, process.begins_ns))

    def _send_faults(self, process: Process) -> None:
        if process.edge.faults:
            for fault in process.edge.taken_faults():
                self._send(process, *process.edge.stamped(fault, self.now_ns))

    def _send(self, process: Process, output: str, message: Any) -> None:
        self._listen(process.name, output, message)
        for hearer, port in self._edges.get((process.name, output), ()):
            if hearer in self.processes:
                for travel_ns in self._link(process.name, hearer, port, message):
                    self.put(self.now_ns + travel_ns, hearer, port, message)

    def _work(self, process: Process, work: Work) -> None:
        begun = self._clock()
        value = work.call()
        done = Done(value, self.now_ns, (self._clock() - begun) / 1e6)
        self.put(max(self.now_ns, self._work_ns(process.name, work, self.now_ns)), process.name, work.port, done)

    def _wake_at(self, process: Process, at_ns: int) -> None:
        if process.woken_ns != at_ns:
            process.woken_ns = at_ns
            self.put(at_ns, process.name, "", at_ns)
