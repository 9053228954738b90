"""The executor's decisions, cycle by cycle: receive, join, step, limit."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from operators.actor import UNSENT, Beat, Outputs, Wrong
from operators.chunks.correct import Head, corrected
from operators.messages import (
    HORIZON,
    HZ,
    READY,
    ActionChunk,
    ChunkDone,
    Command,
    Episode,
    Features,
    Mode,
    Plan,
    Proprio,
    Request,
    Stats,
)
from operators.motion.align import BLOCKED_M, LAG_ROWS, RESERVE_ROWS, WAYS, blocked, fit, known, resampled
from operators.motion.join import JOINS, Join
from operators.motion.limits import Envelope, Limiter
from operators.motion.plan import Due, PlanState, RefusedChunk, hold
from operators.motion.rotation import action_from_pose
from operators.motion.rows import Rows, rows
from operators.motion.smooth import STAGES, Tracker
from operators.settings import Settings

BLOCKED_CYCLES = HZ // 2  # an arm held back for so long is a fault


@dataclass(frozen=True)
class Cycle:
    """The outcome of one cycle."""

    due: Due  # what the join produced, corrected where there is a head
    action: np.ndarray  # (10,) float32 after smoothing and limits
    clamped: int
    plan: PlanState
    blocked: str = ""  # in the cycle from which on an arm counts as blocked, what is wrong


class Execution:
    """One episode's plan, output stage and limits. Until the first measured pose there is nothing to command."""

    def __init__(
        self,
        join: Join,
        slowest: float,
        envelope: Envelope,
        smooth: str = STAGES[0],
        sync_horizon: int = HORIZON,
        head: Head | None = None,
        align: str = WAYS[0],
    ):
        self._join, self._slowest, self._smooth, self._sync_horizon = join, slowest, smooth, sync_horizon
        self._envelope, self._head, self._by_phase = envelope, head, align == "phase"
        self.most = 1.0  # upper bound of the feed rate
        self.restart()

    def restart(self) -> None:
        """A new episode: forget the plan."""
        self.plan: PlanState | None = None
        self._limiter: Limiter | None = None
        self._tracker: Tracker | None = None
        self._measured: Proprio | None = None
        self._seen: Features | None = None
        self._corrected: np.ndarray | None = None  # the newest corrected action
        self._content_t0 = 0.0  # tick of the newest chunk's first row, as its content is played
        self._blocked_cycles = 0

    @property
    def newest(self) -> tuple[int, int]:
        """Numbers of the newest measurement and features taken in; -1 for none."""
        return self._measured.seq if self._measured else -1, self._seen.seq if self._seen else -1

    def seen(self, features: Features) -> None:
        """Of the newest pictures; only a correction head looks at them."""
        self._seen = features

    def measured(self, proprio: Proprio) -> None:
        """Hold the episode's first pose of a ready robot. Later ones tell a correction head, and if the arm follows."""
        self._measured = proprio
        if self.plan is None and proprio.state == READY:
            pose = action_from_pose(proprio.tcp_pose, proprio.gripper)
            self.plan, self._limiter = (
                hold(pose, RESERVE_ROWS if self._by_phase else 0, proprio.tick - 1),
                Limiter.start(pose, self._envelope),
            )
            self._tracker = Tracker(pose) if self._smooth == "ruckig" else None

    def requested(self, request: Request) -> None:
        """A chunk is on its way."""
        if self.plan is not None:
            self.plan = self.plan.request(request.chunk_id, request.delay_cycles, request.waits, request.tick)

    def chunk(self, chunk: ActionChunk) -> None:
        """Join a chunk.

        Raises:
            RefusedChunk: it was dropped; the plan is as before, but that it came.
        """
        if self.plan is None:
            raise RefusedChunk("early", f"expected proprio before a chunk, got chunk {chunk.chunk_id}")
        played, shift_ticks = self._aligned(rows(chunk.tick, chunk.action), chunk)
        if self.plan.waits:
            played = played.between(chunk.tick, chunk.t0 + self._sync_horizon)
        try:
            self.plan = self.plan.receive(played, chunk.chunk_id, self._join, chunk.t0, shift_ticks)
        except RefusedChunk:
            self.plan = self.plan.answer(chunk.chunk_id)
            raise
        self._content_t0 = chunk.t0 - shift_ticks

    def cycle(self) -> Cycle | None:
        """One period of 1/60 s."""
        if self.plan is None or self._limiter is None:
            return None
        plan, due = self.plan.step(self._slowest, self.most)
        if self._head and self._seen and self._measured and due.chunk_id >= 0:
            ticks = due.tick, self._content_t0
            if not plan.stood or self._corrected is None:  # a robot that stands is not corrected any further
                self._corrected = corrected(self._head, due.planned, plan.ahead(), *ticks, self._seen, self._measured)
            due = replace(due, planned=self._corrected)
        wanted = self._tracker.follow(due.planned, plan.ahead()) if self._tracker else due.planned
        self._limiter, action, clamped = self._limiter.limit(wanted)
        self.plan = plan.sent(action)
        return Cycle(due, action, clamped, self.plan, self._watched())

    def _aligned(self, chunk: Rows, about: ActionChunk) -> tuple[Rows, float]:
        """A chunk laid on the plan, and its shift. Nothing is shifted twice, nor where the plan says nothing of time:
        the robot waits for the chunk, or does not follow its commands.
        """
        assert self.plan is not None
        takeover = max(self.plan.next_tick, chunk.tick)
        settled = about.aligned or not self._by_phase or self.plan.waits or self._follows_not()
        if settled or takeover <= about.t0:
            return chunk, about.shift_ticks
        shift_ticks = fit(chunk, self.plan.rows, takeover).ticks
        return resampled(chunk, shift_ticks).between(*known(chunk, shift_ticks)), shift_ticks

    def _follows_not(self) -> bool:
        if self._measured is None or self.plan is None:
            return False
        newest = self._measured.tick
        return blocked(self._measured.tcp_pose[:3], self.plan.rows.between(newest - LAG_ROWS, newest))

    def _watched(self) -> str:
        """What is wrong once an arm has been blocked for BLOCKED_CYCLES, told once."""
        self._blocked_cycles = self._blocked_cycles + 1 if self._follows_not() else 0
        if self._blocked_cycles != BLOCKED_CYCLES:
            return ""
        return f"expected the arm within {1e3 * BLOCKED_M:g} mm of its last commands, it has been farther for 0.5 s"


class Executing:
    """Commands one action a cycle: on a 60 Hz of its own, or with CLOCK=rig at every measurement.

    Args:
        head: of the correction, where the features are wired.
    """

    INPUTS: ClassVar[dict[str, type]] = {
        "action_chunk": ActionChunk,
        "proprio": Proprio,
        "features": Features,
        "request": Request,
        "mode": Mode,
        "episode": Episode,
    }

    def __init__(self, config: Settings, envelope: Envelope, head: Head | None = None):
        output = config.slowest, envelope, config.smooth
        self.execution = Execution(JOINS[config.join], *output, config.sync_horizon, head, config.align)
        self.execution.most = self._most = config.rate_scale  # until the supervisor says otherwise
        self._ending = False  # the plan is fed down to rest
        self._beat = None if config.clock == "rig" else Beat(HZ)
        self._before_ns = 0
        self._late_ms: list[float] = []  # how unevenly the cycles of the last second began

    @property
    def wake_ns(self) -> int | None:
        return self._beat and self._beat.due_ns

    def receive(self, port: str, message: object, now_ns: int) -> Outputs:
        match message:
            case Episode(phase="ending"):
                self._ending, self.execution.most = True, 0.0
            case Episode():
                self._ending, self.execution.most = False, self._most
                self.execution.restart()
            case Mode():
                self._most = message.most
                self.execution.most = 0.0 if self._ending else message.most
            case Features():
                self.execution.seen(message)
            case Request():
                self.execution.requested(message)
            case ActionChunk():
                self.execution.chunk(message)
            case Proprio():
                self.execution.measured(message)
                if self._beat is None:
                    return self.cycle(message.cycle, message.t_ns)
        return ()

    def wake(self, now_ns: int) -> Outputs:
        assert self._beat
        cycle = self._beat.next(now_ns)
        yield from self.cycle(cycle, now_ns)
        if cycle > 1:
            self._late_ms.append(abs((now_ns - self._before_ns) / 1e6 - 1000 / HZ))
        self._before_ns = now_ns
        if len(self._late_ms) >= HZ:
            p50, p99 = np.percentile(self._late_ms, [50, 99])
            names = ["cycle", "jitter_ms_p50", "jitter_ms_p99", "jitter_ms_max"]
            yield Stats(*UNSENT, "executor", names, np.array([cycle, p50, p99, max(self._late_ms)]))
            self._late_ms.clear()

    def cycle(self, cycle: int, t_ns: int) -> Outputs:
        """One period of 1/60 s."""
        done = self.execution.cycle()
        if done is None:
            return
        header, due, plan = (-1, -1, t_ns), done.due, done.plan
        yield Command(*header, cycle, due.tick, due.state, due.planned, done.action, done.clamped, due.chunk_id)
        rows = plan.executed.action, plan.planned.action, plan.owners()
        heard = plan.asked, plan.asked_age, plan.answered, plan.answered_age
        newest = plan.stood, *self.execution.newest, plan.shift_ticks, self.execution.most
        yield Plan(*header, cycle, plan.next_tick, due.state, *rows, *heard, *newest)
        if done.blocked:
            yield Wrong("blocked", done.blocked)
        if plan.stood and not len(plan.planned):
            yield ChunkDone(*header, plan.newest_chunk, plan.stood)
