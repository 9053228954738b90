"""When to ask for a chunk, and how long the answer will take. Counts in plan ticks and in cycles the executor made: its
plans are numbered by them, so what is counted does not depend on which of them were heard. No clock."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from operators.actor import UNSENT, Outputs
from operators.messages import HORIZON, HZ, ChunkDone, Episode, Plan, Request
from operators.motion.feed import STOPPING_ROWS, sustainable
from operators.settings import Settings

HISTORY = 32  # delays remembered
DECAY = 0.9  # weight of a delay against the next one
QUANTILE = 0.9
STARTING = 3  # chunks asked for one upon the other: the first may have waited for first pictures, and tells too much
SLACK_ROWS = 3  # ask this much earlier than the expected delay needs


@dataclass(frozen=True)
class Schedule:
    """What the scheduler knows; immutable."""

    execution_horizon: int = 12  # ticks between requests in async
    settle: int = 12  # cycles the robot stands before a sync request
    timeout: int = 180  # cycles after which an answer counts as lost
    cycles: tuple[int, ...] = (8,)  # from request to chunk, newest last; begins with a guess
    ticks: tuple[int, ...] = ()  # from the tick asked at to the takeover, while the robot moved
    next_chunk: int = 0
    asked_cycle: int | None = None  # of the request that is out
    asked_tick: int = 0  # of the newest request

    @property
    def delay_cycles(self) -> int:
        """Expected from the request to the answer: how long the rows must last."""
        return expected(self.cycles)

    @property
    def delay_ticks(self) -> int:
        """Expected from the tick asked at to the takeover: fewer than cycles where a slow policy slows the feed."""
        if self.ticks:
            return expected(self.ticks)
        return round(self.delay_cycles * sustainable(HORIZON, self.delay_cycles))

    def answered(self, chunk_id: int, cycle: int, takeover: int) -> "Schedule":
        """A chunk came. An answer to an older request, overtaken by a timeout, changes nothing.

        What is expected follows from chunks that came while the robot moved; before there are any, from the first.

        Args:
            cycle: in which it came.
            takeover: tick from which it is played.
        """
        if self.asked_cycle is None or chunk_id != self.next_chunk - 1:
            return self
        measured, moved = cycle - self.asked_cycle, takeover - self.asked_tick
        if moved <= 0:  # the robot stood, perhaps for its first pictures, or for a policy that starts
            cycles = self.cycles if self.ticks else (measured,)
            return replace(self, asked_cycle=None, cycles=cycles)
        cycles = (*(self.cycles if self.ticks else ()), measured)
        ticks = (*(self.ticks if self.next_chunk > STARTING else ()), moved)  # the feed was still rising
        return replace(self, asked_cycle=None, cycles=cycles[-HISTORY:], ticks=ticks[-HISTORY:])

    def moving(self, cycle: int, tick: int, planned: int) -> tuple["Schedule", Request | None]:
        """Async: ask when the last answer is in and the execution horizon has run, or the rows would not last.

        The first chunks are asked for at once, so that the feed soon follows what a chunk really takes.

        Args:
            cycle: executor cycle.
            tick: first planned tick.
            planned: rows left.
        """
        lost = self._lost(cycle)
        if self.asked_cycle is not None and not lost:
            return self, None
        due = tick - self.asked_tick >= self.execution_horizon or self.next_chunk < STARTING
        short = planned < self.delay_ticks + STOPPING_ROWS + SLACK_ROWS
        return self._ask(cycle, tick, planned, waits=False) if due or short or lost else (self, None)

    def standing(self, cycle: int, tick: int, stood: int) -> tuple["Schedule", Request | None]:
        """Sync: ask when the chunk is used up and the robot has stood for `settle` cycles."""
        out = self.asked_cycle is not None and not self._lost(cycle)
        return (self, None) if out or stood < self.settle else self._ask(cycle, tick, 0, waits=True)

    def _lost(self, cycle: int) -> bool:
        if self.asked_cycle is None:
            return False
        return cycle < self.asked_cycle or cycle - self.asked_cycle >= self.timeout  # or an executor counts anew

    def _ask(self, cycle: int, tick: int, planned: int, waits: bool) -> tuple["Schedule", Request]:
        """The takeover cannot be later than after the rows there are: then the robot stands and ticks with it."""
        delays = self.delay_cycles, min(self.delay_ticks, planned)
        request = Request(*UNSENT, self.next_chunk, tick, *delays, waits, -1, -1)
        return replace(self, next_chunk=self.next_chunk + 1, asked_cycle=cycle, asked_tick=tick), request


def expected(delays: tuple[int, ...]) -> int:
    """A decaying high quantile of measured delays, newest last."""
    weights = DECAY ** np.arange(len(delays))[::-1]
    order = np.argsort(delays)
    reached = np.cumsum(weights[order]) >= QUANTILE * weights.sum() - 1e-9
    return int(np.asarray(delays)[order][np.argmax(reached)])


def takeover_tick(plan: Plan) -> int:
    """From which the newest answer is played; where none of it is (it was refused), the tick that is next now."""
    owned = np.flatnonzero(plan.chunk_id == plan.answered)
    return plan.tick - len(plan.executed) + int(owned[0]) if len(owned) else plan.tick


class Scheduling:
    """The scheduler's decisions, message by message: async asks on `plan`, sync on `chunk_done`.

    That an answer is in is told by the plan, not by the answer: what the plan then holds counts, however messages
    overtake each other, and a chunk that the executor refuses is asked for again at once.
    """

    INPUTS: ClassVar[dict[str, type]] = {"plan": Plan, "chunk_done": ChunkDone, "episode": Episode}
    wake_ns: int | None = None

    def __init__(self, config: Settings, sync: bool):
        timeout = round(config.request_timeout_ms * HZ / 1000)
        self._fresh = Schedule(config.execution_horizon, config.settle, timeout)
        self._sync, self._ending = sync, False
        self._restart()

    @property
    def delay_cycles(self) -> int:
        return self._schedule.delay_cycles

    @property
    def delay_ticks(self) -> int:
        return self._schedule.delay_ticks

    def receive(self, port: str, message: object, now_ns: int) -> Outputs:
        request = None
        if isinstance(message, Episode):
            self._restart()
            self._ending = message.phase != "start"
        elif isinstance(message, Plan):
            self._plan = message
            known = max(message.asked, message.answered)  # a request may be lost on its way to the executor
            if known >= self._schedule.next_chunk:  # of another scheduler, which this one stands for
                self._schedule = replace(self._schedule, next_chunk=known + 1)
            came = message.seq - 1 - max(0, message.answered_age)  # before that cycle; plans may be missed
            came = self._stood if self._sync else came
            self._schedule = self._schedule.answered(message.answered, came, takeover_tick(message))
            if not self._sync:
                self._schedule, request = self._schedule.moving(message.seq, message.tick, len(message.planned))
        elif isinstance(message, ChunkDone) and self._sync and self._plan and self._used_up(message):
            self._stood = message.stood  # sync counts by this: the robot stands from the request to the answer
            self._schedule, request = self._schedule.standing(message.stood, self._plan.tick, message.stood)
        if isinstance(message, ChunkDone if self._sync else Plan) and not self._ending:
            before, newest = self._before, self._plan.seq if self._plan else -1
            self._before = -1 if self._sync else newest  # what it missed of `chunk_done`, plans do not tell
            if request:  # with the numbers of plans that tell a replay which of them it had not heard in time
                yield request._replace(plan=newest, plan_before=before)

    def wake(self, now_ns: int) -> Outputs:
        return ()

    def _used_up(self, done: ChunkDone) -> bool:
        """Whether it is the newest chunk: what was said before that came may arrive after it."""
        return self._plan is None or not len(self._plan.chunk_id) or done.chunk_id >= self._plan.chunk_id[-1]

    def _restart(self) -> None:
        self._schedule, self._plan, self._before, self._stood = self._fresh, None, -1, 0
