"""What a recording holds for playback: which cycles its executor made, and what came of every request when."""

from collections import Counter, deque
from typing import NamedTuple

import numpy as np

from operators.messages import HZ, ActionChunk, BadMessage, Chunk, Plan, Proprio, Request
from recordings.drec import Damage, Reader, nearest
from recordings.migrations import read

NEVER = 1_000_000_000  # cycles a chunk takes that was asked for, but did not come before the next was asked for
USUAL = 8  # cycles a chunk takes of which the recording says nothing
RECENT = 240  # measurements among which the one a chunk answers to is looked for
KINDS = {"proprio": Proprio, "plan": Plan, "request": Request, "chunk": Chunk, "action_chunk": ActionChunk}


def same_state(measured: Proprio, other: Proprio | Chunk) -> bool:
    """Whether this is the measurement of the other, or the one a chunk answers to."""
    pose = other.tcp_pose if isinstance(other, Proprio) else other.reference_pose
    return measured.tick == other.tick and np.array_equal(measured.tcp_pose, pose)


class Planned(NamedTuple):
    """What is kept of a plan."""

    cycle: int
    tick: int
    t_ns: int


class Recorded(NamedTuple):
    """One episode. Cycles are counted from the one whose plan made the first request asked for."""

    first: Proprio | None  # measurement, which the executor holds until the first chunk
    times: np.ndarray  # (n,) int64 ns, when each cycle was; empty: the recording does not tell
    asked: dict[int, int]  # chunk_id -> cycle whose plan made the scheduler ask for it
    delays: dict[int, int]  # chunk_id -> cycles from the plan that made it asked for to the first that holds it
    observed: dict[int, Proprio]  # cycle after which the policy was asked -> the measurement it answered to
    decoded: dict[int, int]  # chunk_id -> tick of the plan the decoder had seen

    def delay(self, chunk_id: int) -> int:
        """Cycles from request to plan; of a chunk that is not in the recording, the usual one of those that are."""
        came = [delay for delay in self.delays.values() if delay < NEVER]
        usual = int(np.median(came)) if came else USUAL
        return self.delays.get(chunk_id, usual)

    def cycles_before(self, t_ns: int | None) -> int | None:
        """How many cycles were before a time, or altogether; None when the recording tells of none."""
        if not len(self.times):
            return None
        return len(self.times) if t_ns is None else int(np.searchsorted(self.times, t_ns))


class Timeline(NamedTuple):
    """A recording, looked through once."""

    topics: Counter[str]  # node/output -> messages
    episodes: dict[int, Recorded]
    damage: list[str]

    def episode(self, number: int) -> Recorded:
        return self.episodes.get(number) or Episode().recorded()


class Episode:
    """Collects one episode, message by message."""

    def __init__(self) -> None:
        self._first: Proprio | None = None
        self._plans: list[Planned] = []
        self._requests: list[Request] = []
        self._joined: dict[int, int] = {}  # chunk_id -> first cycle whose plan holds it
        self._recent: deque[Proprio] = deque(maxlen=RECENT)
        self._observed: dict[int, Proprio] = {}
        self._decoded: dict[int, int] = {}

    def receive(self, message: object) -> None:
        if isinstance(message, Proprio):
            self._first = self._first or message
            self._recent.append(message)
        elif isinstance(message, Plan):
            self._plans.append(Planned(message.cycle, message.tick, message.t_ns))
            for chunk in np.unique(message.chunk_id):
                self._joined.setdefault(int(chunk), message.cycle)
        elif isinstance(message, Request):
            self._requests.append(message)
        elif isinstance(message, ActionChunk):
            self._decoded[message.chunk_id] = message.tick
        elif isinstance(message, Chunk):
            for proprio in self._recent:
                if same_state(proprio, message):
                    self._observed[message.chunk_id] = proprio

    def recorded(self) -> Recorded:
        asked = {request.chunk_id: self._asked(request) for request in self._requests if self._plans}
        if not asked:
            return Recorded(self._first, np.zeros(0, np.int64), {}, {}, {}, self._decoded)
        first, last = min(asked.values()), self._plans[-1].cycle
        known = np.array([(plan.cycle, plan.t_ns) for plan in self._plans])
        early = np.minimum(np.arange(first, last + 1) - known[0, 0], 0) * (10**9 // HZ)
        times = np.interp(np.arange(first, last + 1), known[:, 0], known[:, 1]).astype(np.int64) + early
        delays = {k: self._joined[k] - cycle for k, cycle in asked.items() if self._joined.get(k, -1) > cycle}
        delays = {k: NEVER for k in asked if k < max(asked)} | delays
        observed = {max(cycle - first, 1): self._observed[k] for k, cycle in asked.items() if k in self._observed}
        return Recorded(
            self._first, times, {k: cycle - first for k, cycle in asked.items()}, delays, observed, self._decoded
        )

    def _asked(self, request: Request) -> int:
        """The cycle whose plan made the scheduler ask.

        Many plans have the tick of the first request, and it can be late; but the second one tells how long it took.
        """
        if request is self._requests[0] and request.chunk_id in self._joined and len(self._requests) > 1:
            return self._joined[request.chunk_id] - 1 - self._requests[1].expected_delay
        before = [p.cycle for p in self._plans if p.tick == request.tick and p.t_ns <= request.t_ns]
        return before[-1] if before else self._plans[0].cycle


def read_timeline(reader: Reader) -> Timeline:
    """Look through a recording.

    Raises:
        Damage: it holds no proprio, or messages of other columns than those of this version.
    """
    topics: Counter[str] = Counter()
    episodes: dict[int, Episode] = {}
    for record in reader:
        topics[record.topic] += 1
        kind = KINDS.get(record.output)
        content = reader.message(record) if kind else None
        if kind is None or content is None:
            continue
        try:
            message = read(kind, record.output, content.array)
        except BadMessage as error:
            raise Damage(reader.name, record.position, f"{record.topic}: {error}") from None
        episodes.setdefault(message.episode, Episode()).receive(message)
    outputs = sorted({topic.split("/", 1)[1] for topic in topics})
    if "proprio" not in outputs:
        raise Damage(reader.name, 0, f"expected proprio, got {nearest('proprio', outputs)}")
    return Timeline(topics, {number: each.recorded() for number, each in episodes.items()}, list(reader.damage))
