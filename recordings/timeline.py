"""What a recording holds for playback: its topics, and how long each chunk took to arrive."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from operators.messages import BadMessage, Plan, Proprio, Request
from recordings.drec import Damage, Reader, nearest
from recordings.migrations import read

USUAL = 8  # cycles a chunk takes of which the recording says nothing


class Planned(NamedTuple):
    """What is kept of a plan."""

    episode: int
    cycle: int
    tick: int
    t_ns: int


class Timeline(NamedTuple):
    """A recording, looked through once."""

    topics: Counter[str]  # node/output -> messages
    delays: dict[tuple[int, int], int]  # (episode, chunk_id) -> cycles from the plan that made it asked for, to its own
    damage: list[str]

    def delay(self, episode: int, chunk_id: int) -> int:
        """Cycles from request to plan; of a chunk that is not in the recording, the usual one of those that are."""
        usual = int(np.median(list(self.delays.values()))) if self.delays else USUAL
        return self.delays.get((episode, chunk_id), usual)


def read_timeline(reader: Reader) -> Timeline:
    """Look through a recording.

    Raises:
        Damage: it holds no proprio, or messages of other columns than those of this version.
    """
    topics: Counter[str] = Counter()
    plans: list[Planned] = []
    requests: list[Request] = []
    joined: dict[tuple[int, int], int] = {}
    kinds = {"proprio": Proprio, "plan": Plan, "request": Request}
    for record in reader:
        topics[record.topic] += 1
        kind = kinds.get(record.output)
        if kind is None or (kind is Proprio and topics[record.topic] > 1):
            continue
        content = reader.message(record)
        if content is None:
            continue
        try:
            message = read(kind, record.output, content.array)
        except BadMessage as error:
            raise Damage(reader.name, record.position, f"{record.topic}: {error}") from None
        if isinstance(message, Plan):
            plans.append(Planned(message.episode, message.cycle, message.tick, message.t_ns))
            for chunk in np.unique(message.chunk_id):
                joined.setdefault((message.episode, int(chunk)), message.cycle)
        elif isinstance(message, Request):
            requests.append(message)
    outputs = sorted({topic.split("/", 1)[1] for topic in topics})
    if "proprio" not in outputs:
        raise Damage(reader.name, 0, f"expected proprio, got {nearest('proprio', outputs)}")
    return Timeline(topics, _delays(plans, requests, joined), list(reader.damage))


def _delays(
    plans: list[Planned], requests: list[Request], joined: dict[tuple[int, int], int]
) -> dict[tuple[int, int], int]:
    asked: dict[tuple[int, int], list[Planned]] = {}
    for plan in plans:
        asked.setdefault((plan.episode, plan.tick), []).append(plan)
    found = {}
    for request in requests:
        key = request.episode, request.chunk_id
        before = [p.cycle for p in asked.get((request.episode, request.tick), []) if p.t_ns <= request.t_ns]
        if before and joined.get(key, -1) > before[-1]:
            found[key] = joined[key] - before[-1]
    return found
