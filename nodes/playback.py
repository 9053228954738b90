"""Plays a recording in the place of robot and cameras: at its own pace, at SPEED times it, or in lockstep (SPEED=0).

What the other processes tell each other goes through here (see dataflows/playback.yml). So in lockstep every process
hears everything in one order, whatever the machine is doing, and two runs are equal bit by bit.
"""

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from dora import Node

from nodes._relay import AGAIN_NS, RELAYED, Relay
from nodes._wire import ROOT, Wire, settings
from operators.messages import ActionChunk, Chunk, Episode, Fault, Plan, Proprio, Request, unpack
from operators.schedule import Scheduling
from operators.settings import Settings
from recordings.drec import Damage, Message, Reader
from recordings.migrations import migrated
from recordings.timeline import Timeline, read_timeline
from recordings.trim import episode_of

PLAYED = ("proprio", "frame_front", "frame_wrist")
INPUTS = {**RELAYED, "episode": Episode, "policy_fault": Fault, "decoder_fault": Fault}
SETTLING_S = 0.5


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
    for _, message in wire.messages():
        if isinstance(message, Episode) and message.phase == "start":
            time.sleep(SETTLING_S)  # until everybody has heard of the episode
            with Reader(path) as reader:
                Playback(node, wire, config, timeline).play(reader)


class Playback(Relay):
    """One episode."""

    def __init__(self, node: Any, wire: Wire, config: Settings, timeline: Timeline):
        super().__init__(node, wire)
        self.config, self.timeline = config, timeline
        self.episode, self.tick = wire.episode, 0
        self.mirror = Scheduling(config, sync=False)  # whether the scheduler will ask, it alone could not say in time
        self.sample, self.due = 0, 0  # proprio sent; at which of them the chunk that is out is due

    def play(self, reader: Reader) -> None:
        """Send the samples of this episode, then tell that it is done."""
        begun, first = time.monotonic_ns(), None
        for record in reader:
            content = reader.message(record) if record.output in PLAYED else None
            if content is None or episode_of(content) != self.episode:
                continue
            content = content._replace(array=migrated(record.output, content.array))
            first = record.offset_ns if first is None else first
            if self.config.speed:
                self._relay_until(begun + round((record.offset_ns - first) / self.config.speed))
                if record.output == "proprio":
                    begun += self._hold(content.array.field("tick")[0].as_py())
            if not self.wire.open or self.wire.episode != self.episode:
                return
            self.node.send_output(record.output, content.array, content.metadata)
            if record.output == "proprio":
                self.sample += 1
                self.tick = content.array.field("tick")[0].as_py()
                if not self.config.speed:
                    self._step(unpack(Proprio, content.array), content)
                elif self.sample == 1:
                    begun += self._shake_hands(content)
        if self.config.speed:
            self._relay_until(time.monotonic_ns() + 100_000_000)
        self.wire.send("score", self.tick, True, False, [], np.zeros(0))

    def _step(self, proprio: Proprio, content: Message) -> None:
        """Lockstep: wait for the plan of this sample, and for whatever comes of it before the next."""
        plan = None
        while self.wire.open and (plan is None or plan.cycle != proprio.cycle):
            plan = self._wait(Plan, AGAIN_NS)
            if plan is None and self.sample == 1:
                self.node.send_output("proprio", content.array, content.metadata)  # it came before the episode
        if plan is None:
            return
        self._pass("plan", plan)
        if self.mirror.receive(plan) and (request := self._wait(Request)):
            self._pass("request", request)
            delay = self.config.delay if self.config.delay >= 0 else self.timeline.delay(self.episode, request.chunk_id)
            self.out, self.due = request.chunk_id, self.sample + max(delay, 1) - 1
        if self.out >= 0 and self.sample >= self.due:
            chunk = self._wait(Chunk)
            while chunk and chunk.chunk_id < self.out:  # an answer to a request that was given up
                chunk = self._wait(Chunk)
            self.out = -1
            if chunk:
                self._pass("chunk", chunk)
                if rows := self._wait(ActionChunk):
                    self._pass("action_chunk", rows)
                    self.mirror.receive(rows)


if __name__ == "__main__":
    main()
