"""Plays a recording in the place of robot and cameras: at its own pace, at SPEED times it, or in lockstep (SPEED=0).

What the other processes tell each other goes through here (see dataflows/playback.yml). In lockstep each message is
followed by a `turn`, by which every process takes its inputs in one order, whatever the machine is doing: two runs are
equal bit by bit.
"""

import sys
import time
from pathlib import Path

import numpy as np
from dora import Node

from nodes._relay import RELAYED, Relay, Sender
from nodes._wire import ROOT, Wire, settings
from operators.messages import ActionChunk, Chunk, Episode, Fault, Plan, Proprio, Request, pack, unpack
from operators.schedule import Scheduling
from operators.settings import Settings
from recordings.drec import Damage, Reader
from recordings.migrations import migrated
from recordings.timeline import Timeline, read_timeline, same_state
from recordings.trim import episode_of

PLAYED = ("proprio", "frame_front", "frame_wrist")
INPUTS = {**RELAYED, "episode": Episode, "policy_fault": Fault, "decoder_fault": Fault}
SETTLING_S = 0.5
PATIENCE = 240  # cycles the recording stands for a plan that does not move on


def main() -> None:
    config = settings()
    path = ROOT / config.recording
    if not config.recording or (config.record and path == ROOT / config.record):
        sys.exit(f"RECORDING: expected a recording other than RECORD, got {config.recording!r}")
    if config.speed == 0 and config.clock != "rig":
        sys.exit(f"SPEED=0, lockstep: expected CLOCK=rig, got {config.clock!r}")
    try:
        with Reader(path) as reader:
            timeline = read_timeline(reader)
    except (OSError, Damage) as error:
        sys.exit(f"RECORDING: {error}")
    for line in timeline.damage:
        print(line, flush=True)
    run(Node(), config, path, timeline)


def run(node: Node, config: Settings, path: Path, timeline: Timeline) -> None:
    wire = Wire(node, "playback", INPUTS)
    sender = Sender(node, wire, config.lockstep)
    for _, message in wire.messages():
        if isinstance(message, Episode):
            sender.send("episode", pack(message))
        if isinstance(message, Episode) and message.phase == "start":
            time.sleep(SETTLING_S)  # the first messages of a run come late
            with Reader(path) as reader:
                Playback(sender, config, timeline, message).play(reader)


class Playback(Relay):
    """One episode."""

    def __init__(self, sender: Sender, config: Settings, timeline: Timeline, start: Episode):
        super().__init__(sender, config.speed or 1.0)
        self.config, self.start, self.recorded = config, start, timeline.episode(start.episode)
        self.mirror = Scheduling(config, sync=False)  # whether the scheduler will ask, it alone could not say in time
        self.newest: Proprio | None = None  # of the recording, at the cycle that is next
        self.played, self.cycle = 0, 0  # cycles of the recording; and with those in which it stands
        self.request: Request | None = None  # that was not passed on yet
        self.due, self.decoding = 0, False  # cycle in which the chunk that is out is due; whether the decoder has it
        self.patience = PATIENCE

    def play(self, reader: Reader) -> None:
        """Send the samples of this episode, then tell that it is done."""
        begun, first = time.monotonic_ns(), None
        for record in reader:
            content = reader.message(record) if record.output in PLAYED else None
            if content is None or episode_of(content) != self.start.episode:
                continue
            first = record.offset_ns if first is None else first
            if self.config.speed:
                self._relay_until(begun + round((record.offset_ns - first) / self.config.speed))
            if not self.wire.open or self.wire.episode != self.start.episode:
                return
            if record.output != "proprio":
                self.sender.send(record.output, content.array, content.metadata)
                continue
            proprio = unpack(Proprio, migrated("proprio", content.array))
            if self.config.speed:
                begun += self._go_on(proprio)
            else:
                self._cycles(proprio)
        if self.config.speed:
            self._relay_until(time.monotonic_ns() + 100_000_000)
        else:
            self._cycles(None)
        self.wire.send("score", self.last.tick if self.last else 0, True, False, [], np.zeros(0))

    def _go_on(self, proprio: Proprio) -> int:
        """At its own pace or faster: send a sample; for how long the recording had to stand [ns]."""
        stood = self._hold(proprio.tick) if self.last else 0
        first = self.last is None
        self.measure(proprio)
        return stood + (self._shake_hands(self.start) if first else 0)

    def _cycles(self, following: Proprio | None) -> None:
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
        self._pass("plan", plan)
        if self.mirror.receive(plan) and (request := self._wait(Request)):
            delay = self.config.delay if self.config.delay >= 0 else self.recorded.delay(request.chunk_id)
            self.request, self.due = request, self.cycle + max(delay, 1) - 1
        if self.request and self.cycle > 1:  # the policy has to see more than the first measurement
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
        if due:
            self.out = -1
            if rows := self._wait(ActionChunk):
                self.sender.settled()
                self._pass("action_chunk", rows)
                self.mirror.receive(rows)

    def _decoded_at(self, tick: int) -> bool:
        return self.config.delay < 0 and tick >= self.recorded.decoded.get(self.out, sys.maxsize)


if __name__ == "__main__":
    main()
