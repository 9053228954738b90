"""What a recording holds for playback: which cycles its executor made, and what came of every request when."""

from collections import Counter, deque
from typing import NamedTuple

import numpy as np

from operators.messages import HZ, ActionChunk, BadMessage, Chunk, Command, Plan, Proprio, Request
from operators.rotation import action_from_pose
from recordings.drec import Damage, Reader, nearest
from recordings.migrations import read

NEVER = 1_000_000_000  # cycle in which something happens that did not happen
NOT_TOLD = -NEVER
USUAL = 8  # cycles a chunk takes of which the recording says nothing
LAPSE = 60  # plans a scheduler may miss where the recording does not tell: sync, and older ones
AHEAD = 240  # cycles before a request in which plans are kept back from a decoder that had not heard them by its chunk
RECENT = 240  # measurements among which the one a chunk answers to is looked for
PERIOD_NS = 1_000_000_000 // HZ
CAMERAS = ("frame_front", "frame_wrist")
KINDS = {"proprio": Proprio, "plan": Plan, "command": Command}
KINDS |= {"request": Request, "chunk": Chunk, "action_chunk": ActionChunk}


class Course(NamedTuple):
    """What came of a request, in cycles; a cycle begins with what the executor takes in and ends with its plan."""

    asked: int  # its plan was the newest the scheduler had
    taken: int  # the executor took in the request
    decoded: int  # its plan was the newest the decoder had when the chunk came
    joined: int  # the executor took in the rows, even if it refused them
    before: int = NOT_TOLD  # the newest it had when it did not ask yet
    heard: int = NEVER  # the last before the policy got a later request

    @property
    def shown(self) -> int:
        """The cycle after which the policy gets the request."""
        known = [cycle for cycle in (self.taken - 1, self.decoded) if cycle < NEVER // 2]
        return max(self.asked, min([*known, self.heard])) if known else self.asked

    def later(self, cycles: int) -> "Course":
        return Course(*(min(cycle + cycles, NEVER) for cycle in self))


class Shown(NamedTuple):
    """What a policy looked at."""

    cycle: int  # after which it was asked
    proprio: Proprio | None  # None where that was not recorded
    frames: dict[str, int]  # topic -> number of the picture


class Recorded(NamedTuple):
    """One episode. Cycles are counted from the first the recording tells of."""

    first: Proprio | None  # measurement, which the executor holds until the first chunk
    times: np.ndarray  # (n,) int64 ns, when each cycle was; empty: the recording does not tell
    cycles: np.ndarray  # (n,) int64, the executor's own numbers of them
    courses: dict[int, Course]  # of each chunk_id
    shown: list[Shown]  # in order

    def cycles_before(self, t_ns: int | None) -> int | None:
        """How many cycles were before a time, or altogether; None when the recording tells of none."""
        if not len(self.times):
            return None
        return len(self.times) if t_ns is None else int(np.searchsorted(self.times, t_ns))

    def unheard(self, chunk_id: int, cycle: int) -> bool:
        """Whether the scheduler, which by the plan of this cycle would ask for a chunk, cannot have had that plan."""
        known = self.courses.get(chunk_id)
        if known is None or cycle >= known.asked:
            return False
        if known.before > NOT_TOLD // 2:
            return known.before < cycle
        return chunk_id == min(self.courses) or known.asked - cycle <= LAPSE

    def coming(self, chunk_id: int, cycle: int) -> list[Course]:
        """What came of requests after that for a chunk which were under way then, or were so soon."""
        later = (course for k, course in self.courses.items() if k > chunk_id)
        return [course for course in later if course.asked - AHEAD <= cycle < course.taken]

    def course(self, chunk_id: int, cycle: int, delay: int = -1) -> Course:
        """What shall come of a request for which the plan of a cycle was the newest.

        As recorded; later where it is asked for later. A chunk the recording says nothing of takes the usual time.

        Args:
            delay: cycles from that plan to the first with the chunk; negative: as recorded.
        """
        known = self.courses.get(chunk_id)
        if delay >= 0 or known is None:
            joined = cycle + max(1, self.usual if delay < 0 else delay)
            return Course(cycle, cycle + 1, joined - 1, joined)
        on_time = known.asked - LAPSE <= cycle < known.taken
        return known if on_time else known.later(cycle - known.asked)

    @property
    def usual(self) -> int:
        """Cycles from the plan that made a chunk be asked for to the first that holds it."""
        came = [course.joined - course.asked for course in self.courses.values() if course.joined < NEVER]
        return int(np.median(came)) if came else USUAL


class Timeline(NamedTuple):
    """A recording, looked through once."""

    topics: Counter[str]  # node/output -> messages
    episodes: dict[int, Recorded]
    damage: list[str]
    waits: bool | None = None  # whether the robot waited for its chunks (sync); None where none was asked for

    def episode(self, number: int) -> Recorded:
        return self.episodes.get(number) or Episode().recorded()


class Episode:
    """Collects one episode, message by message. Cycles are known by the numbers of their plans."""

    def __init__(self) -> None:
        self._early: list[Proprio] = []  # the first measurements
        self._plans: list[tuple[int, int, int, int]] = []  # number, cycle, time, tick
        self._requests: dict[int, Request] = {}
        self._taken: dict[int, int] = {}  # chunk_id -> plan before which the executor took in its request
        self._joined: dict[int, int] = {}  # chunk_id -> first plan that holds it, or says that it was refused
        self._decoded: dict[int, int] = {}  # chunk_id -> plan the decoder had
        self._recent: deque[Proprio] = deque(maxlen=RECENT)
        self._shown: dict[int, tuple[int, dict[str, int]]] = {}  # chunk_id -> numbers of measurement and pictures
        self._measured: dict[int, Proprio | None] = {}  # of those numbers; topics have no order among each other
        self._held: np.ndarray | None = None  # the first that the executor commanded

    def receive(self, message: object) -> None:
        if isinstance(message, Proprio):
            self._recent.append(message)
            self._early += [message] if len(self._early) < RECENT else []
            if message.seq in self._measured:
                self._measured[message.seq] = message
        elif isinstance(message, Command):
            self._held = message.planned if self._held is None else self._held
        elif isinstance(message, Plan):
            self._plans.append((message.seq, message.cycle, message.t_ns, message.tick))
            self._taken.setdefault(message.asked, message.seq - message.asked_age)
            self._joined.setdefault(message.answered, message.seq - message.answered_age)
            for chunk in np.unique(message.chunk_id):
                self._joined.setdefault(int(chunk), message.seq)
        elif isinstance(message, Request):
            self._requests[message.chunk_id] = message
        elif isinstance(message, ActionChunk):
            self._decoded[message.chunk_id] = message.plan
        elif isinstance(message, Chunk):
            found = next((proprio for proprio in self._recent if proprio.seq == message.observed), None)
            self._measured[message.observed] = found
            frames = {camera: getattr(message, camera) for camera in CAMERAS if getattr(message, camera) >= 0}
            self._shown[message.chunk_id] = message.observed, frames

    @property
    def waits(self) -> bool | None:
        return next((request.waits for request in self._requests.values()), None)

    def recorded(self) -> Recorded:
        courses = {k: self._course(request) for k, request in self._requests.items()} if self._plans else {}
        if not courses:
            return Recorded(self._first(), np.zeros(0, np.int64), np.zeros(0, np.int64), {}, [])
        heard = NEVER
        for k in sorted(courses, reverse=True):
            courses[k] = courses[k]._replace(heard=heard)
            heard = min(heard, courses[k].shown - 1)
        # one cycle more than the policy needs: the executor holds the first measurement, the policy is shown another
        first = min(self._plans[0][0], *(course.shown - 1 for course in courses.values()))
        numbers = np.arange(first, self._plans[-1][0] + 1)
        courses = {k: course.later(-first) for k, course in courses.items()}
        seen = [(k, self._measured[number], frames) for k, (number, frames) in self._shown.items() if k in courses]
        shown = [Shown(courses[k].shown, proprio, frames) for k, proprio, frames in seen]
        return Recorded(self._first(), *self._clock(numbers), courses, sorted(shown, key=_cycle))

    def _clock(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Time [ns] and cycle of each plan; one that is not recorded came right after the one before."""
        number, cycle, t_ns = np.array(self._plans)[:, :3].T
        at = np.maximum(np.searchsorted(number, numbers, side="right") - 1, 0)
        after, following = numbers - number[at], np.minimum(at + 1, len(number) - 1)
        times = np.where(after > 0, np.minimum(t_ns[at] + after * PERIOD_NS, t_ns[following]), t_ns[at])
        return times + np.minimum(after, 0) * PERIOD_NS, cycle[at] + after

    def _first(self) -> Proprio | None:
        """The first measurement the executor got: the one it then held."""
        held = np.zeros(0) if self._held is None else self._held
        same = [p for p in self._early if np.array_equal(action_from_pose(p.tcp_pose, p.gripper), held)]
        return next(iter([*same, *self._early]), None)

    def _course(self, request: Request) -> Course:
        """Numbers of plans. Recordings of older versions do not tell most of it; what is usual stands for that."""
        k, joined = request.chunk_id, self._joined.get(request.chunk_id, NEVER)
        asked = request.plan if request.plan >= 0 else self._newest_plan(request)
        taken = self._taken.get(k, NEVER if max(self._taken, default=-1) >= 0 else asked + 1)
        decoded = self._decoded.get(k, NEVER)
        told = request.plan >= 0 and (request.plan_before >= 0 or not k)
        before = request.plan_before if told else NOT_TOLD
        return Course(asked, taken, joined - 1 if decoded < 0 else decoded, joined, before)

    def _newest_plan(self, request: Request) -> int:
        """The last plan that was made before a request, and has its tick."""
        before = [number for number, _, t_ns, tick in self._plans if tick == request.tick and t_ns <= request.t_ns]
        return before[-1] if before else self._plans[0][0]


def _cycle(shown: Shown) -> int:
    return shown.cycle


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
    waits = next((each.waits for each in episodes.values() if each.waits is not None), None)
    recorded = {number: each.recorded() for number, each in episodes.items()}
    return Timeline(topics, recorded, list(reader.damage), waits)
