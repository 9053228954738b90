"""Command one action per cycle. Which row is due is decided in motion.plan, what may be sent in motion.limits."""

import sys

import numpy as np
from dora import Node

from models.stored import read_head
from nodes._clock import EXECUTOR, cycles, realtime
from nodes._wire import Wire, settings
from operators.actors.executing import Execution
from operators.messages import HZ, ActionChunk, Episode, Features, Proprio, Request
from operators.motion.join import JOINS
from operators.settings import Settings
from robots import read_robot

INPUTS = {
    "action_chunk": ActionChunk,
    "proprio": Proprio,
    "features": Features,
    "request": Request,
    "episode": Episode,
}


class Executor:
    """Feeds messages to the execution and sends what each cycle brings."""

    def __init__(self, wire: Wire, config: Settings):
        self.wire = wire
        head = read_head(config.policy) if "features" in wire.inputs else None  # this edge makes it A2C2
        output = config.slowest, read_robot(config.robot_model).envelope, config.smooth
        self.execution = Execution(JOINS[config.join], *output, config.sync_horizon, head, config.align)
        self.late: list[float] = []  # how late each cycle woke up [ms], of the last second

    def receive(self, source: str, message: object) -> None:
        if isinstance(message, Episode):
            self.execution.restart()
        elif isinstance(message, Proprio):
            self.wire.attempt("pose refused", self.execution.measured, message)
        elif isinstance(message, Features):
            self.execution.seen(message)
        elif isinstance(message, Request):
            self.execution.requested(message)
        elif isinstance(message, ActionChunk):
            self.wire.attempt("chunk refused", self.execution.chunk, message)

    def cycle(self, cycle: int, t_ns: int) -> None:
        done = self.execution.cycle()
        if done is None:
            return
        due, plan = done.due, done.plan
        command = due.tick, due.state, due.planned, done.action, done.clamped, due.chunk_id
        self.wire.send("command", cycle, *command, t_ns=t_ns)
        self.wire.send("plan", cycle, *done.told(), t_ns=t_ns)
        if done.blocked:
            self.wire.fault("blocked", done.blocked)
        if plan.stood and not len(plan.planned):
            self.wire.send("chunk_done", plan.newest_chunk, plan.stood, t_ns=t_ns)

    def watch(self, cycle: int, t_ns: int, before_ns: int) -> None:
        """Once a second, tell how even the cycles were."""
        self.late.append(abs((t_ns - before_ns) / 1e6 - 1000 / HZ))
        if len(self.late) >= HZ:
            p50, p99 = np.percentile(self.late, [50, 99])
            self.wire.stats(
                {"cycle": cycle, "jitter_ms_p50": p50, "jitter_ms_p99": p99, "jitter_ms_max": max(self.late)}
            )
            self.late.clear()


def main() -> None:
    config = settings()
    run(Node(), config)


def run(node: Node, config: Settings) -> None:
    """With CLOCK=own at 60 Hz; with CLOCK=rig one cycle for each proprio received, stamped with its time."""
    wire = Wire(node, "executor", INPUTS)
    try:
        executor = Executor(wire, config)
    except ValueError as error:
        sys.exit(str(error))
    if config.clock == "rig":
        for source, message in wire.messages():
            executor.receive(source, message)
            if isinstance(message, Proprio):
                executor.cycle(message.cycle, message.t_ns)
        return
    granted, before = realtime(EXECUTOR), 0
    for cycle, t_ns in cycles(HZ):
        for source, message in wire.drain():
            executor.receive(source, message)
        if not wire.open:
            return
        executor.cycle(cycle, t_ns)
        if cycle > 1:
            executor.watch(cycle, t_ns, before)
        elif not granted:
            print("SCHED_FIFO is not permitted here: cycles will jitter (rtr doctor says how to allow it)")
        before = t_ns


if __name__ == "__main__":
    main()
