"""The evaluator's decisions: begin an episode, hear how it goes, have the robot come to rest, end it."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from operators.actor import NodeFailed, Outputs, Say
from operators.actors.journal import Journal
from operators.frame import Frame
from operators.messages import TOPICS, Chunk, Episode, Fault, Plan, Proprio, Stats
from operators.motion.rows import Rows

AGAIN_NS = 500_000_000  # a start is sent again until the robot has answered it
EVERY_NS = 1_000_000_000  # and then once a second: a process that has just begun must hear it too
BRAKING_NS = 100_000_000  # from one telling that the episode is ending to the next
REST_NS = 1_500_000_000  # the episode ends then, at rest or not
REST_CYCLES, REST_M_S = 6, 1e-3  # the plan has stood for so long, and the arm is slower than this


class Evaluating:
    """One episode.

    Args:
        start: its number, seed, task, variant and words; the header is filled in by the stage.
        about: what the log tells of the run.
        last: whether its end is that of the run.
        decode: makes rows of a policy's chunk, where the log shall hold them as they were predicted.

    Attributes:
        ending: why the episode ends; empty before. The journal is then closed.
        over: the same, once the robot has come to rest.
    """

    INPUTS: ClassVar[dict[str, type]] = {
        "frame_*": Frame,
        **{
            topic: TOPICS[topic].message
            for topic in ("proprio", "scene", "score", "command", "plan", "request", "chunk", "action_chunk")
        },
        "*_stats": Stats,
        "*_fault": Fault,
    }

    def __init__(
        self,
        start: Episode,
        about: dict[str, Any],
        clock: str,
        time_limit_s: float,
        last: bool,
        decode: Callable[[Chunk], Rows] | None = None,
    ):
        self.journal, self.failed = Journal(start, about, clock, decode), list[str]()
        self.ending = self.over = ""
        self._start, self._last, self._limit_ns = start._replace(t_ns=-1), last, round(time_limit_s * 1e9)
        self._begun_ns = self._told_ns = self._said_ns = self._ending_ns = 0
        self._stood, self._speed_m_s = 0, 0.0
        self.wake_ns: int | None = 0

    def receive(self, port: str, message: Any, now_ns: int) -> Outputs:
        if isinstance(message, NodeFailed):
            self.failed.append(message.node)
            return self._brake("node failed", now_ns)
        if isinstance(message, Plan):
            self._stood = message.stood
        if isinstance(message, Proprio):
            self._speed_m_s = float(np.linalg.norm(message.tcp_velocity[:3]))
        if self.ending:
            return self._rest(now_ns)
        if not isinstance(message, Frame):
            self.journal.receive(message)
        return self._brake("done", now_ns) if self.journal.score and self.journal.score.done else ()

    def wake(self, now_ns: int) -> Outputs:
        if not self.wake_ns:
            self._begun_ns = self._said_ns = now_ns
            self._told_ns = now_ns - EVERY_NS
        if self.ending:
            self.wake_ns = now_ns + BRAKING_NS
            yield self._start._replace(phase="ending", reason=self.ending)
            yield from self._rest(now_ns)
            return
        if now_ns - self._begun_ns >= self._limit_ns:
            yield from self._brake("time limit", now_ns)
            return
        if now_ns - self._told_ns >= (EVERY_NS if self.journal.heard[Proprio] else AGAIN_NS):
            self._told_ns = now_ns
            yield self._start
        if now_ns - self._said_ns >= EVERY_NS:
            self._said_ns = now_ns
            yield Say(self.journal.line())
        self.wake_ns = min(now_ns + AGAIN_NS, self._begun_ns + self._limit_ns)

    def _brake(self, reason: str, now_ns: int) -> Outputs:
        """Have the robot come to rest."""
        if not self.ending:
            self.ending, self._ending_ns, self.wake_ns = reason, now_ns, now_ns + BRAKING_NS
            yield self._start._replace(phase="ending", reason=reason)

    def _rest(self, now_ns: int) -> Outputs:
        """End the episode when the robot is at rest, or cannot be waited for."""
        resting = self._stood >= REST_CYCLES and self._speed_m_s < REST_M_S
        return self.end(self.ending) if resting or now_ns - self._ending_ns >= REST_NS else ()

    def end(self, reason: str) -> Outputs:
        """End the episode, and the run with it where this is the last one or something went wrong."""
        if self.over:
            return
        self.ending = self.over = reason
        self.wake_ns = None
        last = self._last or reason in ("stopped", "node failed")
        yield self._start._replace(phase="end", reason=reason, last=last)
        yield Say(f"episode {self._start.episode}: {reason}")
