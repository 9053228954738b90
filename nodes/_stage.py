"""The stage of real processes: one actor (operators.actor) on one dora node, by this machine's clock."""

import gc
import os
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

from dora import Node

from nodes._wire import Wire
from operators.actor import Actor, Done, Leaving, Outputs, Recorded, Say, Work

EXECUTOR, ROBOT, DECODER = 60, 50, 40  # priorities: the higher goes first
POLICY = 20  # before those who draw and watch: a chunk that takes 50 ms of computation took 300 ms among them
SPIN_NS = 300_000  # sleep wakes up late by about this much: the rest is waited for awake
PATIENCE_S, WORKING_S = 0.1, 0.001  # between looks at the clock: usually, and while something long is out


def serve(name: str, actor: Actor, node: Node, priority: int = 0, steady: bool = False) -> None:
    """Play an actor until the run is over.

    Args:
        priority: of real time; 0 for none.
        steady: wake on the microsecond, and read what has come right before that; for actors with a beat.
    """
    stage = Stage(Wire(node, name, dict(actor.INPUTS)), actor)
    if priority and not realtime(priority) and steady:
        print("SCHED_FIFO is not permitted here: cycles will jitter (rtr doctor says how to allow it)")
    stage.run_steadily() if steady and actor.wake_ns is not None else stage.run()


class Stage:
    """Calls the actor when a message, a time or the end of long work is there, and sends what it gives out.

    Args:
        listen: also hears every message, before the actor.
    """

    def __init__(self, wire: Wire, actor: Actor, listen: Callable[[str, Any], None] = lambda port, message: None):
        self._wire, self._actor, self._listen = wire, actor, listen
        self._workers: dict[str, Executor] = {}  # port -> its thread
        self._out: dict[str, Future[Done]] = {}

    def run(self, over: Callable[[], bool] = lambda: False) -> None:
        """Until the run is over, or that is true."""
        try:
            while self._wire.open and not over():
                if found := self._wire.next(self._patience_s()):
                    self._hear(*found)
                for port in [port for port, future in self._out.items() if future.done()]:
                    self._hear(port, self._out.pop(port).result())  # an error in the worker ends the process
                wake_ns, now_ns = self._actor.wake_ns, time.monotonic_ns()
                if wake_ns is not None and wake_ns <= now_ns:
                    self.give("cycle", lambda now_ns=now_ns: self._actor.wake(now_ns))
        finally:
            for worker in self._workers.values():
                worker.shutdown()

    def run_steadily(self) -> None:
        """Wake on absolute deadlines. What lives now is left out of garbage collection, and the rest is collected once
        a second, after a cycle's work."""
        gc.collect()
        gc.freeze()
        gc.disable()
        cycle = 0
        while True:
            now_ns = _sleep_until(self._actor.wake_ns or 0)
            for found in self._wire.drain():
                self._hear(*found)
            if not self._wire.open and (not isinstance(self._actor, Leaving) or self._actor.leave()):
                return
            self.give("cycle", lambda now_ns=now_ns: self._actor.wake(now_ns))
            cycle += 1
            if cycle % 60 == 0:
                gc.collect(0)

    def _hear(self, port: str, message: Any) -> None:
        self._listen(port, message)
        self.give(port, lambda: self._actor.receive(port, message, time.monotonic_ns()))

    def give(self, port: str, outputs: Callable[[], Outputs]) -> None:
        """Send what the actor gives out; what it refuses is a fault of this port."""
        for output in self._wire.edge.outcome(port, outputs):
            if isinstance(output, Work):
                self._workers[output.port] = worker = self._workers.get(output.port) or worker_thread()
                self._out[output.port] = worker.submit(_timed, output.call)
            elif isinstance(output, Say):
                print(output.line, flush=True)
            elif isinstance(output, Recorded):
                self._wire.send_recorded(output)
            else:
                self._wire.send(output)
        self._wire.send_faults()

    def _patience_s(self) -> float:
        patience_s = WORKING_S if self._out else PATIENCE_S
        wake_ns = self._actor.wake_ns
        return patience_s if wake_ns is None else min(patience_s, max(0.0, (wake_ns - time.monotonic_ns()) / 1e9))


def worker_thread() -> Executor:
    """For what takes long; one for each port."""
    return ThreadPoolExecutor(max_workers=1)


def realtime(priority: int) -> bool:
    """Ask for SCHED_FIFO for the calling thread. Call it after Node(): threads inherit it.

    Returns:
        Whether it was granted; without it everything works, with more jitter.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except (PermissionError, AttributeError):
        return False
    return True


def _timed(call: Callable[[], Any]) -> Done:
    begun_ns = time.monotonic_ns()
    value = call()
    return Done(value, begun_ns, (time.monotonic_ns() - begun_ns) / 1e6)


def _sleep_until(deadline_ns: int) -> int:
    """The time of waking."""
    left_ns = deadline_ns - time.monotonic_ns()
    if left_ns > SPIN_NS:
        time.sleep((left_ns - SPIN_NS) / 1e9)
    while (now_ns := time.monotonic_ns()) < deadline_ns:
        pass
    return now_ns
