"""Lockstep: each sample is sent after everything that came of the one before."""

import sys
import time
from typing import Any

from nodes._relay import Relay, Sender
from operators.messages import ActionChunk, Chunk, Episode, Fault, Plan, Proprio, Request, pack
from operators.schedule import Scheduling
from operators.settings import Settings
from recordings.timeline import Timeline, same_state

AGAIN_NS = 300_000_000
LOST_NS = {Chunk: 30_000_000_000, ActionChunk: 3_000_000_000}  # an answer that takes longer does not come
PATIENCE = 240  # cycles the recording stands for a plan that does not move on


class Lockstep(Relay):
    """One episode: the cycles its executor made then, each with the measurement it had, chunks when they came."""

    def __init__(self, sender: Sender, config: Settings, timeline: Timeline, start: Episode):
        super().__init__(sender, config.speed or 1.0)
        self.config, self.start, self.recorded = config, start, timeline.episode(start.episode)
        self.mirror = Scheduling(config, sync=False)  # whether the scheduler will ask, it alone could not say in time
        self.inbox: dict[type, Any] = {}
        self.newest: Proprio | None = None  # of the recording, at the cycle that is next
        self.played, self.cycle = 0, 0  # cycles of the recording; and with those in which it stands
        self.request: Request | None = None  # that was not passed on yet
        self.asking = 0  # cycle in which it is
        self.due, self.decoding = 0, False  # cycle in which the chunk that is out is due; whether the decoder has it
        self.patience = PATIENCE

    def cycles(self, following: Proprio | None) -> None:
        """Lockstep: the cycles the recording's executor made until the next sample, or its end."""
        until = self.recorded.cycles_before(following.t_ns if following else None)
        if until is None:  # it tells of no cycles: one a sample
            until = self.played + 1
        while self.wire.open and self.newest and self.played < until:
            self._stand(self.newest)
            self._step(self._sample(self.newest))
            self.played += 1
        self.newest = following

    def _sample(self, newest: Proprio) -> Proprio:
        """The newest one; but the executor holds the very first, and the policy answers to what it answered to then."""
        if not self.played and self.recorded.first and len(self.recorded.times):
            return self.recorded.first
        observed = self.recorded.observed.get(self.played) if self.config.delay < 0 else None
        return newest if observed is None or same_state(observed, newest) else observed._replace(t_ns=newest.t_ns)

    def _stand(self, sample: Proprio) -> None:
        """While the plan is behind the recording, cycles go on and the recording stands."""
        while self.wire.open and self.last and sample.tick > self.reached and self.patience:
            self._step(self.last)
            self.patience = self.patience - 1 if sample.tick > self.reached else PATIENCE

    def _step(self, sample: Proprio) -> None:
        """Lockstep: send a sample, wait for its plan, and for whatever comes of that before the next."""
        self.cycle += 1
        sent, plan = self.number(sample), None
        while self.wire.open and (plan is None or plan.cycle != sent.cycle):
            plan = self._wait(Plan)
        if plan is None:
            return
        self.reached = plan.tick
        if self.recorded.asked.get(self.out + 1) == self.played:  # the scheduler had the rows before this plan
            self._rows()
        self._pass("plan", plan)
        if self.mirror.receive(plan) and (request := self._wait(Request)):
            early, delay = 0, self.config.delay  # a live scheduler heard the plan later than here
            if delay < 0:
                delay = self.recorded.delay(request.chunk_id)
                early = max(0, self.recorded.asked.get(request.chunk_id, 0) - self.played)
            self.asking = max(self.cycle + early, 2)  # the policy has to see more than the first measurement
            self.request, self.due = request, self.cycle + early + max(delay, 1) - 1
        if self.request and self.cycle >= self.asking:
            self.inbox.pop(Fault, None)  # of an earlier one
            self._pass("request", self.request)
            self.out, self.request, self.decoding = self.request.chunk_id, None, False
        if self.out >= 0:
            self._answer(plan.tick)

    def _answer(self, tick: int) -> None:
        """Hand the chunk on to the decoder after the plan it saw in the recording, and its rows when they are due."""
        due = self.cycle >= self.due
        if not self.decoding and (due or self._decoded_at(tick)):
            chunk = self._wait(Chunk)
            while chunk and chunk.chunk_id < self.out:  # an answer to a request that was given up
                chunk = self._wait(Chunk)
            if chunk is None:
                self.out = -1
                return
            self._pass("chunk", chunk)
            self.decoding = True
        self._rows()

    def _rows(self) -> None:
        """Hand the rows of the chunk that is out to executor and scheduler, if they are due."""
        if self.out < 0 or not self.decoding or self.cycle < self.due:
            return
        self.out = -1
        if rows := self._wait(ActionChunk):
            self.sender.settled()
            self._pass("action_chunk", rows)
            self.mirror.receive(rows)

    def _decoded_at(self, tick: int) -> bool:
        return self.config.delay < 0 and tick >= self.recorded.decoded.get(self.out, sys.maxsize)

    def number(self, proprio: Proprio) -> Proprio:
        """Lockstep: send a measurement, numbered in a row, whichever it is."""
        seq, cycle = self.sender.numbers
        self.sender.numbers, self.last = (seq + 1, cycle + 1), proprio
        sent = proprio._replace(seq=seq, cycle=cycle)
        self.sender.send("proprio", pack(sent))
        return sent

    def _wait(self, kind: type) -> Any | None:
        """The next message of a kind; None when it will not come: a fault was told, nothing for long, or the end.

        A plan is waited for without end: the evaluator's time limit ends the run.
        """
        begun = again = time.monotonic_ns()
        if kind in self.inbox:
            return self.inbox.pop(kind)
        if kind in LOST_NS and self.inbox.pop(Fault, None):
            return None
        for _, message in self._heard():
            if isinstance(message, kind):
                return message
            if (isinstance(message, Fault) and kind in LOST_NS) or time.monotonic_ns() - begun > LOST_NS.get(
                kind, 10**18
            ):
                return None
            if isinstance(message, tuple):
                self.inbox[type(message)] = message
            if time.monotonic_ns() - again > AGAIN_NS:
                self.sender.again()
                again = time.monotonic_ns()
        return None
