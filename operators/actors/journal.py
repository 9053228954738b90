"""Collects the messages of one episode, for the line a second and for the log."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from operators.measure.jerk import second_difference_mm
from operators.measure.log import ChunkRecord, EpisodeLog, cycles_from_commands, measured_from_proprio
from operators.measure.plan_time import PlanTimeBuilder
from operators.messages import (
    HZ,
    ActionChunk,
    Chunk,
    Command,
    Episode,
    Fault,
    Plan,
    Proprio,
    Request,
    Scene,
    Score,
)
from operators.motion.rows import Rows

OWN_STAMPS = ("request_ns", "inference_start_ns", "inference_end_ns", "handed_ns")
# settings that a log tells
SHOWN = "task", "policy", "noise", "latency_ms", "latency_trace", "codec", "refine", "margin", "join", "align"
SHOWN += "smooth", "guide"


def _stations(chunk: Chunk) -> dict[str, int | float]:
    """When what a chunk answers to was measured, and inference began and ended: as far as it tells."""
    begun = chunk.begun_ns if chunk.begun_ns >= 0 else chunk.t_ns - round(chunk.inference_ms * 1e6)
    known = {"inference_start_ns": begun, "inference_end_ns": chunk.t_ns, "inference_ms": chunk.inference_ms}
    return known | ({"exposed_ns": chunk.exposed_ns} if chunk.exposed_ns >= 0 else {})


class Journal:
    """One episode, message by message.

    Args:
        clock: CLOCK. With `rig`, commands and measurements have the stamps of a recording, what processes do has this
            machine's: only the first are then kept, since nothing could be told from the two together.
        decode: makes rows of a policy's chunk, where they shall be kept as they were predicted.
    """

    def __init__(
        self,
        start: Episode,
        about: dict[str, Any],
        clock: str = "own",
        decode: Callable[[Chunk], Rows] | None = None,
    ):
        self._decode = decode
        self.start, self.about, self._own = start, about, clock == "own"
        self.score: Score | None = None
        self.faults: list[tuple[int, str, str, str]] = []
        self.heard: Counter[type] = Counter()
        self._commands: list[Command] = []
        self._proprio: list[Proprio] = []
        self._chunks: dict[int, ChunkRecord] = {}
        self._scene: Scene | None = None
        self._plan_time = PlanTimeBuilder()

    def receive(self, message: Any) -> None:
        self.heard[type(message)] += 1
        match message:
            case Command():
                self._command(message)
            case Plan():
                self._plan(message)
            case Proprio():
                self._proprio.append(message)
            case Scene():
                self._scene = message
            case Score():
                self.score = message
            case Fault():
                self.faults.append((message.t_ns, message.node, message.kind, message.detail))
            case Request():
                self._note(
                    message.chunk_id,
                    message.tick,
                    request_ns=message.t_ns,
                    expected_tick=message.tick + message.delay_ticks,
                )
            case Chunk():
                raw = {"raw": self._decode(message)} if self._decode else {}
                self._note(message.chunk_id, message.tick, **_stations(message), **raw)
            case ActionChunk():
                rows = Rows(message.tick, message.action)
                about = {"refine_ms": message.refine_ms, "handed_ns": message.t_ns}
                self._note(message.chunk_id, message.t0, handed=rows, **about)

    def line(self) -> str:
        """The last second in a line."""
        last = self._commands[-HZ:]
        if not last:
            return "waiting for the first command"
        played = self._plan_time.build().action[-HZ:]
        jump = np.nanmax(second_difference_mm(played), initial=0.0)
        starved = sum(c.state in ("braking", "holding") for c in last if c.tick >= 0)
        arrived = self._plan_time.arrival_tick
        delay = [arrived[c.chunk_id] - c.t0 for c in self._chunks.values() if c.chunk_id in arrived]
        return (
            f"tick {last[-1].tick:5d}   delay {(delay or [0])[-1]:2d} ticks   velocity jump {jump:5.2f} mm/tick"
            f"   starved {starved:2d} cycles   {last[-1].state}"
        )

    def log(self, reference: Mapping[str, np.ndarray] | None = None) -> EpisodeLog:
        """Everything so far.

        Args:
            reference: how the task's expert moves, where that is known: `reference` and `reference_rotation`.
        """
        scene, score = self._scene, self.score
        nothing, arrived = np.zeros((0, 2), np.float32), self._plan_time.arrival_tick
        return EpisodeLog(
            meta={**self.about, "episode": self.start.episode, "seed": self.start.seed, "variant": self.start.variant},
            cycles=cycles_from_commands(self._commands),
            chunks=[replace(c, arrival_tick=arrived.get(c.chunk_id)) for c in self._chunks.values()],
            plan=self._plan_time.build(),
            **(reference or {}),
            proprio=measured_from_proprio(self._proprio),
            score=dict(zip(score.name, map(float, score.value), strict=True)) if score else {},
            faults=self.faults,
            goal=scene.goal if scene else nothing,
            marks=scene.marks if scene else nothing,
            begins=scene.begins if scene else np.zeros(0, np.int64),
        )

    def _command(self, message: Command) -> None:
        self._commands.append(message)
        chunk = self._chunks.get(message.chunk_id)
        if chunk and chunk.takeover_ns is None:
            self._chunks[message.chunk_id] = replace(chunk, takeover_ns=message.t_ns)

    def _plan(self, message: Plan) -> None:
        command = self._commands[-1] if self._commands else None
        if command is None or command.cycle != message.cycle:
            return  # a lost command; the next plan reaches back over it
        newest = self._chunks.get(int(message.chunk_id[-1])) if len(message.chunk_id) else None
        if newest and newest.shift_ticks is None:  # shifted by decoder or executor, the plan says by how much
            self._note(newest.chunk_id, newest.t0, shift_ticks=message.shift_ticks)
        executed = Rows(message.tick - len(message.executed), message.executed)
        self._plan_time.add(command.tick, command.planned, executed, message.chunk_id)

    def _note(self, chunk_id: int, t0: int, **stations: Any) -> None:
        stations = {name: value for name, value in stations.items() if self._own or name not in OWN_STAMPS}
        known = self._chunks.get(chunk_id)
        self._chunks[chunk_id] = replace(known, t0=t0, **stations) if known else ChunkRecord(chunk_id, t0, **stations)
