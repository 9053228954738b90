"""A live run in simulated time; chance decides when each process hears what: late, in another order, not at all.

Without dora and without a world: the robot is where it was commanded to be. Executor, scheduler and decoder are real.
"""

import heapq
import random
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import numpy as np

from models.registry import make_codec
from operators.decode import Decoding
from operators.execution import Execution
from operators.join import JOINS
from operators.messages import (
    HORIZON,
    TOPICS,
    ActionChunk,
    Chunk,
    Command,
    Episode,
    Plan,
    Proprio,
    Request,
)
from operators.plan import RefusedChunk
from operators.rotation import action_from_pose, pose_from_action
from operators.schedule import Scheduling
from operators.settings import Settings

PARTS = 20  # of a cycle
WAITING = 8  # plans that wait for a process
NS = 1_000_000_000 // 60 // PARTS
START = Episode(0, 0, 0, "start", 10_000, "write_board", "random", "", False)
POSE = np.array([0.5, 0.0, 0.2, 3.0, 0.1, 0.0])
SETTINGS = Settings(policy="expert", codec="dct", request_timeout_ms=600)


def answer(request: Request, seen: Proprio) -> Chunk:
    """A chunk by the request's number and the measurement, as a seeded policy makes it."""
    bend = np.random.default_rng(request.chunk_id).normal(0, 1e-4, 3)
    poses = np.zeros((HORIZON, 6))
    poses[:, :3] = np.arange(HORIZON)[:, None] * (np.array([5e-4, 0, 0]) + bend)
    about = "action", 60.0, "", seen.tcp_pose, 0
    header = request.chunk_id, 0, 0, request.chunk_id, seen.tick
    return Chunk(*header, *about, 0.0, action_from_pose(poses, 0.0), seen.seq, -1, -1)


def decoder(refined: bool) -> Callable[[Any], ActionChunk | None]:
    """The decoder, with or without the edge `executed`."""
    decoding = Decoding(SETTINGS, make_codec)

    def decode(message: Any) -> ActionChunk | None:
        if isinstance(message, Plan) and not refined:
            return None
        with suppress(ValueError):
            decoded = decoding.receive(message, lambda: 0)
            return decoded and ActionChunk(decoded.chunk_id, 0, 0, *decoded)
        return None

    return decode


class Live:
    """Messages of one run; `heard` is what a recorder keeps."""

    def __init__(self, seed: int, sync: bool = False, refined: bool = True, stalls: float = 0.0):
        self.chance, self.sync, self.stalls = random.Random(seed), sync, stalls
        self.heard: list[tuple[str, tuple]] = [("episode", START)]
        self.execution = Execution(JOINS["newest"], 0.4)
        self.scheduling, self.decode = Scheduling(SETTINGS, sync), decoder(refined)
        self.counts = dict.fromkeys(TOPICS, 0)
        self.order, self.now = count(), 0
        self.coming: list[tuple[int, int, Callable, tuple]] = []
        self.latest: dict[tuple[str, str], int] = {}
        self.busy: dict[str, int] = {}  # receiver -> until when it is not given the processor
        self.inbox: list[tuple] = []  # of the executor
        self.inferred = 0  # when the policy is done with what it has
        self.seen: Proprio | None = None
        self.tick, self.pose = 0, POSE  # of the robot

    def run(self, cycles: int) -> list[tuple[str, tuple]]:
        number = 7
        for _ in range(cycles):
            self._until(number * PARTS)
            self._cycle(number)
            number += 1 if self.chance.random() > 0.02 else 3  # now and then it sleeps too long
        return self.heard

    def _until(self, now: int) -> None:
        while self.coming and self.coming[0][0] <= now:
            self.now, _, hear, message = heapq.heappop(self.coming)
            hear(message)
        self.now = now

    def _tell(self, topic: str, receivers: dict[str, Callable], *columns: Any) -> None:
        """A message under way to each: usually for a part of a cycle, sometimes for several cycles, in its order."""
        message = TOPICS[topic].message(self.counts[topic], 0, self.now * NS, *columns)
        self.counts[topic] += 1
        self._send(topic, receivers, message)

    def _send(self, topic: str, receivers: dict[str, Callable], message: tuple) -> None:
        self.heard.append((topic, message))
        for name, hear in receivers.items():
            under_way = self.chance.randint(1, PARTS // 2) + (self.chance.random() < 0.15) * self.chance.randint(1, 60)
            if self.stalls and self.chance.random() < self.stalls:
                self.busy[name] = self.now + self.chance.randint(10, 60) * PARTS
            due = max(self.latest.get((name, topic), 0), self.now + under_way, self.busy.get(name, 0))
            if topic == "plan" and due - self.now > WAITING * PARTS:
                continue  # more than its queue holds
            self.latest[name, topic] = due
            heapq.heappush(self.coming, (due, next(self.order), hear, message))

    def _cycle(self, number: int) -> None:
        """The robot measures, a little before the executor looks for what has come."""
        zero = np.zeros(6)
        about = self.tick, number, zero, self.pose, zero, zero, 0.0
        self._tell("proprio", {"executor": self.inbox.append, "policy": self._seen}, *about)
        turns: dict[type, float] = {kind: self.chance.random() for kind in (Proprio, Request, ActionChunk)}
        taken, self.inbox[:] = sorted(self.inbox, key=lambda message: turns[type(message)]), []  # no order among topics
        for message in taken:
            if isinstance(message, Proprio):
                self.execution.measured(message)
            elif isinstance(message, Request):
                self.execution.requested(message)
            elif isinstance(message, ActionChunk):
                with suppress(RefusedChunk):
                    self.execution.chunk(message)
        done = self.execution.cycle()
        if done is None:
            return
        due, plan = done.due, done.plan
        columns = number, due.tick, due.state, due.planned, done.action, done.clamped, due.chunk_id
        self._tell("command", {"robot": self._apply}, *columns)
        self._tell("plan", {"scheduler": self._scheduler, "decoder": self._decoder}, number, *done.told())
        if plan.stood and not len(plan.planned):
            self._tell("chunk_done", {"scheduler": self._scheduler}, plan.newest_chunk, plan.stood)

    def _apply(self, command: Command) -> None:
        self.tick, self.pose = command.tick + 1, pose_from_action(command.action.astype(np.float64))

    def _seen(self, proprio: Proprio) -> None:
        self.seen = proprio

    def _scheduler(self, message: tuple) -> None:
        if self.now < 40 * PARTS or self.chance.random() < 0.02:
            return  # it is not there yet, or misses one
        if ask := self.scheduling.receive(message):
            self._tell("request", {"executor": self.inbox.append, "policy": self._policy}, *ask)

    def _policy(self, request: Request) -> None:
        if self.seen is None or self.chance.random() < 0.05:
            return  # refused, or lost
        chunk = answer(request, self.seen)
        after = max(self.now, self.inferred) + self.chance.randint(10, 8 * PARTS)
        after += (request.chunk_id == 0) * 50 * PARTS
        self.inferred = after  # one at a time
        heapq.heappush(self.coming, (after, next(self.order), self._infer, chunk))

    def _infer(self, chunk: Chunk) -> None:
        self._send("chunk", {"decoder": self._decoder}, chunk)

    def _decoder(self, message: tuple) -> None:
        if (rows := self.decode(message)) is not None:
            self._send("action_chunk", {"executor": self.inbox.append}, rows)
