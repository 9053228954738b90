"""A recorded episode decided again: the same actors, fed with what each of their messages says it was based on.

The recording tells which request, chunk, measurement and features the executor had taken in before each cycle, which
plan the decoder refined against, and which frames, measurement and plan the policy looked at. So no clock is needed,
and on any machine the commands come out as they were sent. Only what comes from the rig, and when a chunk was asked
for, is taken from the recording.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from operators.actor import Actor, Done, Outputs
from operators.actors.executing import Executing
from operators.actors.inferring import answer, sight
from operators.chunks.decode import UnfitChunk
from operators.chunks.refine import LateChunk
from operators.frame import Frame
from operators.messages import (
    READY,
    ActionChunk,
    Chunk,
    Command,
    Episode,
    Features,
    Plan,
    Proprio,
    Request,
)
from operators.motion.plan import RefusedChunk
from operators.motion.rotation import action_from_pose
from operators.policy import Policy, Sees, observe
from recordings.drec.file import Damage, Reader
from recordings.drec.messages import FRAME, messages

COMPARED = "tick", "state", "planned", "action", "clamped", "chunk_id"  # columns of a command
READ = {"proprio", "request", "chunk", "features", "action_chunk", "command", "plan", "episode"}


@dataclass
class Recorded:
    """One episode of a recording, by what its messages are called by: their numbers, or the chunk's."""

    start: Episode
    proprio: dict[int, Proprio] = field(default_factory=dict)
    request: dict[int, Request] = field(default_factory=dict)
    chunk: dict[int, Chunk] = field(default_factory=dict)
    features: dict[int, Features] = field(default_factory=dict)
    action_chunk: dict[int, ActionChunk] = field(default_factory=dict)
    command: dict[int, Command] = field(default_factory=dict)  # by cycle
    plan: list[Plan] = field(default_factory=list)
    frames: dict[tuple[str, int], Frame] = field(default_factory=dict)  # those that were looked at

    def receive(self, message: Any) -> None:
        match message:
            case Episode():
                self.start = message if message.phase == "start" else self.start
            case Plan():
                self.plan.append(message)
            case Command():
                self.command[message.cycle] = message
            case Request() | Chunk() | ActionChunk():
                by_chunk = {Request: self.request, Chunk: self.chunk, ActionChunk: self.action_chunk}
                by_chunk[type(message)][message.chunk_id] = message
            case Proprio() | Features():
                {Proprio: self.proprio, Features: self.features}[type(message)][message.seq] = message


class Compared(NamedTuple):
    """A command as it was sent, and as it is decided now."""

    recorded: Command
    again: Command

    @property
    def moved(self) -> str:
        """The first column that is not the same, bit by bit; empty where all are."""
        pairs = ((name, getattr(self.recorded, name), getattr(self.again, name)) for name in COMPARED)
        return next((name for name, one, other in pairs if not np.array_equal(one, other)), "")

    @property
    def apart_mm(self) -> float:
        """Between the two positions, before the limits."""
        apart = self.recorded.planned[:3].astype(np.float64) - self.again.planned[:3]
        return 1e3 * float(np.linalg.norm(apart))


def read(path: Path) -> list[Recorded]:
    """The episodes of a recording that have commands.

    Raises:
        Damage: it is none, holds no command, or messages of other columns.
    """
    found: dict[int, Recorded] = {}
    with Reader(path) as reader:
        for each in messages(reader, READ):
            message = each.unpack()
            start = Episode(0, message.episode, 0, "start", 0, "", "", "", "", False)
            found.setdefault(message.episode, Recorded(start)).receive(message)
    played = [each for _, each in sorted(found.items()) if each.command and each.plan]
    if not played:
        raise Damage(path.name, 0, "expected commands and plans, got none: record executor/command and executor/plan")
    wanted = {
        (each.start.episode, FRAME + camera, int(number))
        for each in played
        for looked in (*each.chunk.values(), *each.features.values())
        for camera, number in zip(looked.cameras, looked.frames, strict=True)
    }
    with Reader(path) as reader:
        for each in messages(reader, {output for _, output, _ in wanted}) if wanted else ():
            if (each.episode, each.record.output, each.seq) in wanted:
                frame = each.frame()
                found[frame.episode].frames[each.camera, frame.seq] = frame
    return played


class Replay:
    """Decides an episode again.

    Args:
        policy: who predicts; the recording's own for the same commands.
        decoding: a fresh actor.
        executing: likewise; its own beat is not used.
        guide: GUIDE.
    """

    def __init__(self, episode: Recorded, policy: Policy, decoding: Actor, executing: Executing, guide: str):
        self._episode, self._policy, self._decoding, self._executing = episode, policy, decoding, executing
        self._guide, self._plans = guide, dict[int, Plan]()  # number -> as decided now
        self._measured = self._seen = self._asked = self._answered = -1
        self._chunks, self._predicted = dict[int, Chunk](), 0  # as predicted now; the next one to predict
        self.refused = 0  # chunks that decoder or executor did not take

    def commands(self) -> Iterator[Compared]:
        """Each recorded command with the one that is decided now.

        Raises:
            ValueError: the recording lacks what a decision was based on.
        """
        self._policy.start(self._episode.start)
        for actor in (self._decoding, self._executing):
            list(actor.receive("episode", self._episode.start, 0))
        number = self._episode.plan[0].seq
        for at, plan in enumerate(self._episode.plan):
            for missing in range(number, plan.seq):  # plans that were not recorded; what came meanwhile tells its age
                self._take_in(plan, plan.seq - missing)
                self._decide(missing, plan.cycle - (plan.seq - missing), plan.t_ns, plan.most)
            self._take_in(plan, 0, first=at == 0)
            again = self._decide(plan.seq, plan.cycle, plan.t_ns, plan.most)
            number = plan.seq + 1
            if plan.cycle in self._episode.command and again:
                yield Compared(self._episode.command[plan.cycle], again)

    def _decide(self, number: int, cycle: int, t_ns: int, most: float) -> Command | None:
        command, self._executing.execution.most = None, most
        for output in self._executing.cycle(cycle, t_ns):
            if isinstance(output, Plan):
                self._plans[number] = output._replace(seq=number)
            command = output if isinstance(output, Command) else command
        return command

    def _take_in(self, plan: Plan, age: int, first: bool = False) -> None:
        """Have the executor hear what the plan says it had heard that many cycles before."""
        self._measure(self._first_pose() if first else plan.observed if age == 0 else self._measured)
        if first:
            self._measure(plan.observed)
        if plan.seen > self._seen and age == 0:
            self._seen = plan.seen
            self._hear("features", self._look(plan.seen))
        if plan.asked > self._asked and plan.asked_age == age:
            self._asked = plan.asked
            self._hear("request", self._get("request", plan.asked))
        if plan.answered > self._answered and plan.answered_age == age:
            for chunk_id in range(self._answered + 1, plan.answered + 1):
                if chunk_id == plan.answered or chunk_id in plan.chunk_id:
                    self._hear("action_chunk", self._decode(chunk_id))
            self._answered = plan.answered

    def _first_pose(self) -> int:
        """The measurement whose pose the executor held first: the earliest that its first command tells."""
        first = self._episode.command.get(self._episode.plan[0].cycle)
        for number, state in sorted(self._episode.proprio.items()):
            held = action_from_pose(state.tcp_pose, state.gripper)
            if state.state == READY and (first is None or np.array_equal(held, first.planned)):
                return number
        raise ValueError("expected the measurement that the first command holds, it is not in the recording")

    def _measure(self, number: int) -> None:
        if number >= 0 and number != self._measured:
            self._measured = number
            self._hear("proprio", self._get("proprio", number))

    def _look(self, number: int) -> Features:
        told: Features = self._get("features", number)
        assert isinstance(self._policy, Sees)
        frames, state = self._frames(told), self._get("proprio", told.observed)
        for chunk_id in range(self._predicted, told.after + 1):
            self._predict(chunk_id)
        values = self._policy.features(state, frames, told.after)
        return sight(state, frames, told.cameras, told.after, values)._replace(seq=number)

    def _decode(self, chunk_id: int) -> ActionChunk | None:
        """A chunk as it is made now: predicted from what was seen, refined against the plan that was known."""
        for number in range(self._predicted, chunk_id + 1):  # also those that were lost on their way: policies remember
            self._predict(number)
        chunk, handed = self._chunks[chunk_id], self._episode.action_chunk.get(chunk_id)
        if handed is not None and handed.plan in self._plans:
            list(self._decoding.receive("executed", self._plans[handed.plan], 0))
        outputs = self._attempt(lambda: self._decoding.receive("chunk", chunk, 0))
        return outputs[0] if outputs else None

    def _predict(self, chunk_id: int) -> None:
        self._predicted = chunk_id + 1
        told = self._episode.chunk.get(chunk_id)
        if told is None:  # no answer was sent
            return
        request, state = self._get("request", chunk_id), self._get("proprio", told.observed)
        observation = observe(request, state, self._frames(told), self._plans.get(told.plan), self._guide)
        prediction = self._policy.predict(observation)
        done = Done(None, told.begun_ns, 0.0)
        self._chunks[chunk_id] = answer(request, observation, prediction, self._policy.cameras, done)

    def _frames(self, told: Chunk | Features) -> Mapping[str, Frame]:
        shown = {}
        for camera, number in zip(told.cameras, told.frames, strict=True):
            if (camera, int(number)) not in self._episode.frames:
                raise ValueError(f"expected frame {number} of {camera} in the recording, which was looked at")
            shown[camera] = self._episode.frames[camera, int(number)]
        return shown

    def _get(self, topic: str, number: int) -> Any:
        told: dict[int, Any] = getattr(self._episode, topic)
        if number not in told:
            raise ValueError(f"expected {topic} {number} in the recording, on which a decision was based")
        return told[number]

    def _hear(self, port: str, message: Any) -> None:
        if message is not None:
            self._attempt(lambda: self._executing.receive(port, message, 0))

    def _attempt(self, outputs: Callable[[], Outputs]) -> list[Any]:
        try:
            return list(outputs())
        except (LateChunk, RefusedChunk, UnfitChunk):
            self.refused += 1
            return []
