"""Plays a recording in the place of robot and cameras: at its own pace, at SPEED times it, or in lockstep (SPEED=0).

What the other processes tell each other goes through here (see dataflows/playback.yml). In lockstep each message is
followed by a `turn`, by which every process takes its inputs in one order, whatever the machine is doing: two runs are
equal bit by bit.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from dora import Node

from nodes._lockstep import Lockstep
from nodes._pictures import Pictures
from nodes._relay import RELAYED, Sender
from nodes._wire import ROOT, Wire, settings
from operators.messages import Episode, Fault, Proprio, pack, unpack
from operators.seen import FRESH_NS
from operators.settings import Settings
from recordings.drec import Damage, Message, Reader
from recordings.migrations import migrated
from recordings.timeline import CAMERAS, Timeline, read_timeline
from recordings.trim import episode_of

PLAYED = ("proprio", *CAMERAS)
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
    sync = "chunk_done" in wire.inputs
    if timeline.waits not in (sync, None):
        graph, did = ("playback_sync.yml", "waited") if timeline.waits else ("playback.yml", "did not wait")
        sys.exit(f"RECORDING: {path.name} expects {graph}: its robot {did} for chunks")
    sender = Sender(node, wire, config.lockstep)
    for _, message in wire.messages():
        if isinstance(message, Episode):
            sender.send("episode", pack(message))
        if isinstance(message, Episode) and message.phase == "start":
            time.sleep(SETTLING_S)  # the first messages of a run come late
            Playback(sender, config, timeline, message).play(path)


class Playback(Lockstep):
    """One episode."""

    def __init__(self, sender: Sender, config: Settings, timeline: Timeline, start: Episode):
        super().__init__(sender, config, timeline, start)
        self._to_come = {topic.split("/", 1)[1] for topic in timeline.topics} & set(CAMERAS)  # cameras

    def play(self, path: Path) -> None:
        """Send the samples of this episode, then tell that it is done."""
        with Reader(path) as reader, Reader(path) as pictures:
            if self.config.lockstep:
                self._in_lockstep(reader, Pictures(pictures, self.start.episode, self._picture))
            else:
                self._at_its_pace(reader)
        self.wire.send("score", self.last.tick if self.last else 0, True, False, [], np.zeros(0))

    def _in_lockstep(self, reader: Reader, pictures: Pictures) -> None:
        for offset_ns, _, content in self._samples(reader, ("proprio",)):
            self.cycles(unpack(Proprio, migrated("proprio", content.array)), pictures, offset_ns)
        self.cycles(None, pictures, float("inf"))

    def _at_its_pace(self, reader: Reader) -> None:
        begun, first = time.monotonic_ns(), None
        for offset_ns, topic, content in self._samples(reader, PLAYED):
            first = offset_ns if first is None else first
            if offset_ns - first > FRESH_NS:  # a policy waits no longer for a camera's first picture
                self._to_come.clear()
            due = round((offset_ns - first) / self.config.speed)
            if topic != "proprio":
                self._relay_until(begun + due)
                self._picture(topic, content)
                self._to_come.discard(topic)
                continue
            proprio = unpack(Proprio, migrated("proprio", content.array))
            if proprio.tick + 1 < self.reached:  # the recorded robot stood longer than this run's
                begun = time.monotonic_ns() - due
                continue
            self._relay_until(begun + due)
            begun += self._go_on(proprio)
        self._relay_until(time.monotonic_ns() + 100_000_000)

    def _samples(self, reader: Reader, topics: tuple[str, ...]) -> Iterator[tuple[int, str, Message]]:
        """Time, topic and content of what the recording holds of this episode, until that is over."""
        for record in reader:
            content = reader.message(record) if record.output in topics else None
            if content is None or episode_of(content) != self.start.episode:
                continue
            if not self.wire.open or self.wire.episode != self.start.episode:
                return
            yield record.offset_ns, record.output, content

    def _picture(self, topic: str, content: Message) -> None:
        self.sender.send(topic, content.array, content.metadata)

    def _hold(self, tick: int) -> int:
        """Before a camera's first picture the recording runs ahead: the policy may be waiting for that."""
        return 0 if self._to_come else super()._hold(tick)

    def _go_on(self, proprio: Proprio) -> int:
        """At its own pace or faster: send a sample; for how long the recording had to stand [ns]."""
        stood = self._hold(proprio.tick) if self.last else 0
        first = self.last is None
        self.measure(proprio)
        return stood + (self._shake_hands(self.start) if first else 0)


if __name__ == "__main__":
    main()
