"""Plays a recording in the place of robot and cameras, at its own pace or SPEED times as fast.

Policy, decoder and executor are live; their commands go nowhere. The recording does not run ahead of the plan, whose
rows are due at its ticks: while a chunk is out and the plan is behind, it stands and the newest sample is sent again.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from dora import Node

from nodes._wire import ROOT, Found, Wire, settings
from operators.actor import UNSENT
from operators.actors.seen import FRESH_NS
from operators.messages import HZ, ActionChunk, Episode, Fault, Plan, Proprio, Request, Score
from operators.schema import pack
from operators.settings import Settings
from recordings.drec.file import Damage, Reader
from recordings.drec.messages import Entry, messages
from recordings.drec.survey import pictures_to_play

INPUTS = {"plan": Plan, "request": Request, "action_chunk": ActionChunk, "episode": Episode}
INPUTS |= {"policy_fault": Fault, "decoder_fault": Fault}
SETTLING_S = 0.5  # the first messages of a run come late
STUCK_NS = 1_000_000_000  # with no chunk out, a plan that stands holds the recording up no longer than this
LAST_NS = 100_000_000  # in which the plan of the last sample comes


def main() -> None:
    config = settings()
    path = ROOT / config.recording
    if not config.recording or (config.record and path == ROOT / config.record):
        sys.exit(f"RECORDING: expected a recording other than RECORD, got {config.recording!r}")
    try:
        with Reader(path) as reader:
            cameras = pictures_to_play(reader)
            print("".join(f"{line}\n" for line in reader.damage), end="", flush=True)
    except (OSError, Damage) as error:
        sys.exit(f"RECORDING: {error}")
    run(Node(), config, path, cameras)


def run(node: Node, config: Settings, path: Path, cameras: set[str]) -> None:
    wire = Wire(node, "playback", INPUTS)
    while wire.open:
        _, message = wire.next(0.1) or ("", None)
        if isinstance(message, Episode) and message.phase == "start":
            time.sleep(SETTLING_S)
            Playback(node, wire, config.speed, message.episode, cameras & wire.outputs).play(path)


class Playback:
    """One episode."""

    def __init__(self, node: Any, wire: Wire, speed: float, episode: int, cameras: set[str]):
        self._node, self._wire, self._speed, self._episode = node, wire, speed, episode
        self._to_come = set(cameras)  # those of which no picture has been sent yet
        self._played = {"proprio", *cameras}
        self._out, self._reached = -1, -1  # chunk that is out; tick of the plan, -1 before the first
        self._last: Proprio | None = None  # newest sample sent
        self._repeated = 0  # samples sent once more than recorded: later ones are numbered so much higher

    def play(self, path: Path) -> None:
        """Send the samples of this episode, then tell that it is done."""
        with Reader(path) as reader:
            begun, first = time.monotonic_ns(), None
            for found in self._samples(reader):
                offset_ns, output = found.record.offset_ns, found.record.output
                first = offset_ns if first is None else first
                if offset_ns - first > FRESH_NS:  # a policy waits no longer for a camera's first picture
                    self._to_come.clear()
                due = round((offset_ns - first) / self._speed)
                if output != "proprio":
                    self._until(begun + due)
                    self._node.send_output(output, found.content.array, found.content.metadata)
                    self._to_come.discard(output)
                    continue
                proprio = found.unpack()
                if proprio.tick + 1 < self._reached:  # the recorded robot stood longer than this run's
                    begun = time.monotonic_ns() - due
                    continue
                self._until(begun + due)
                begun += self._measure(proprio)
        self._until(time.monotonic_ns() + LAST_NS)
        self._wire.send(Score(*UNSENT, self._last.tick if self._last else 0, True, False, [], np.zeros(0)))

    def _samples(self, reader: Reader) -> Iterator[Entry]:
        """What the recording holds of this episode, until that is over."""
        for found in messages(reader, self._played):
            if found.episode != self._episode:
                continue
            if not self._wire.open or self._wire.episode != self._episode:
                return
            yield found

    def _measure(self, proprio: Proprio) -> int:
        """Send a sample once the plan is there; for how long the recording had to stand [ns]."""
        begun, first = time.monotonic_ns(), self._last is None
        if not first and not self._to_come:  # before a camera's first picture the policy may be waiting for that
            self._hold(proprio.tick)
        self._send(proprio)
        while first and self._wire.open and self._reached < 0:  # until the executor has heard episode and sample
            self._until(time.monotonic_ns() + 200_000_000)
            if self._reached < 0:
                self._again()
        return time.monotonic_ns() - begun

    def _hold(self, tick: int) -> None:
        begun = time.monotonic_ns()
        while self._wire.open and tick > self._reached and (self._out >= 0 or time.monotonic_ns() - begun < STUCK_NS):
            self._until(time.monotonic_ns() + round(1e9 / HZ / self._speed))
            if tick > self._reached:
                self._again()

    def _again(self) -> None:
        assert self._last is not None
        self._repeated += 1
        self._send(self._last)

    def _send(self, proprio: Proprio) -> None:
        self._last, more = proprio, self._repeated
        sent = proprio._replace(seq=proprio.seq + more, cycle=proprio.cycle + more)
        self._node.send_output("proprio", pack(sent))

    def _until(self, due_ns: int) -> None:
        """Hear what comes until then."""
        while self._wire.open and (left := due_ns - time.monotonic_ns()) > 0:
            self._hear(self._wire.next(left / 1e9))
        for found in self._wire.drain():
            self._hear(found)

    def _hear(self, found: Found | None) -> None:
        _, message = found or ("", None)
        if isinstance(message, Plan):
            self._reached = message.tick
        elif isinstance(message, Request):
            self._out = message.chunk_id
        elif isinstance(message, ActionChunk | Fault):
            self._out = -1


if __name__ == "__main__":
    main()
