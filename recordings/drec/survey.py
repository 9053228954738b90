"""What a recording holds: topics, rates, gaps, episodes and damage, in one pass and little memory."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from operators.messages import Episode
from recordings.drec.file import Damage, Reader, nearest
from recordings.drec.messages import FRAME, Entry, entry
from recordings.drec.migrations import state

SHOWN = 1000  # problems named; more are only counted
PLAYABLE = "proprio"


@dataclass
class Traffic:
    """One node's output."""

    messages: int = 0
    bytes: int = 0
    first_s: float = 0.0  # since the recording began
    last_s: float = 0.0
    largest_gap_ms: float = 0.0
    missing: int = 0  # by the sender's own numbers, from the first that was received
    columns: str = "not ours"  # current, migrated, other, or not ours
    rate_hz: float = 0.0
    _seq: int | None = field(default=None, repr=False)

    def add(self, at_s: float, size: int) -> None:
        if self.messages:
            self.largest_gap_ms = max(self.largest_gap_ms, 1e3 * (at_s - self.last_s))
        else:
            self.first_s = at_s
        self.messages, self.bytes, self.last_s = self.messages + 1, self.bytes + size, at_s
        span = self.last_s - self.first_s
        self.rate_hz = (self.messages - 1) / span if span > 0 else 0.0

    def number(self, seq: int, counts: bool) -> None:
        """Count what the sender numbered and the recording lacks."""
        if counts and self._seq is not None and seq > self._seq:
            self.missing += seq - self._seq - 1
        self._seq = seq


@dataclass
class Survey:
    """A recording, looked through once."""

    file: str
    start_unix_ns: int
    complete: bool = False  # its footer was read and agrees
    duration_s: float = 0.0
    topics: dict[str, Traffic] = field(default_factory=dict)
    episodes: list[dict[str, Any]] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    problems: int = 0

    @property
    def messages(self) -> int:
        return sum(topic.messages for topic in self.topics.values())

    @property
    def missing(self) -> int:
        """By the senders' own numbers."""
        return sum(topic.missing for topic in self.topics.values())

    def json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        told = asdict(self)
        for topic in told["topics"].values():
            del topic["_seq"]
        return told

    def problem(self, what: str) -> None:
        self.problems += 1
        if len(self.damage) < SHOWN:
            self.damage.append(what)


def survey(reader: Reader, from_s: float = 0.0) -> Survey:
    """Look through a recording and check every message: Arrow data, columns, numbers, pictures.

    Args:
        reader: of the recording.
        from_s: since its beginning; a message that is missing before does not count.
    """
    found, topics = Survey(reader.name, reader.header.start_unix_ns), dict[str, Traffic]()
    named = 0
    for record in reader:
        topic = topics.setdefault(record.topic, Traffic())
        topic.add(record.offset_ns / 1e9, len(record.event))
        found.duration_s = record.offset_ns / 1e9
        message = entry(reader, record)
        for line in reader.damage[named:]:
            found.problem(line)
        named = len(reader.damage)
        if message:
            _look(message, topic, found, from_s)
    for line in reader.damage[named:]:
        found.problem(line)
    found.complete, found.topics = reader.complete, dict(sorted(topics.items()))
    return found


def playable(found: Survey) -> str:
    """Why a recording cannot take the place of robot and cameras, or nothing."""
    outputs = sorted({topic.split("/", 1)[1] for topic in found.topics})
    if PLAYABLE not in outputs:
        return f"for playback expected proprio, got {nearest(PLAYABLE, outputs)}"
    return ""


def choose(asked: Iterable[str], known: Iterable[str]) -> set[str]:
    """Topics by `node/output` or by output alone.

    Raises:
        ValueError: one that is not there; all that are, and the nearest.
    """
    known, chosen = list(known), set[str]()
    for name in asked:
        found = {topic for topic in known if name in (topic, topic.split("/", 1)[1])}
        if not found:
            raise ValueError(f"expected a topic of the recording, got {name!r}; there are {nearest(name, known)}")
        chosen |= found
    return chosen


def _look(message: Entry, topic: Traffic, found: Survey, from_s: float) -> None:
    """Number and check one message."""
    if (seq := message.seq) is not None:
        topic.number(seq, counts=topic.last_s >= from_s)
    topic.columns = "current" if message.camera else state(message.record.output, message.content.array)
    try:
        if isinstance(told := message.unpack(), Episode):
            _episode(told, topic, found)
    except Damage as error:
        found.problem(str(error))


def _episode(message: Episode, topic: Traffic, found: Survey) -> None:
    """Episodes in the order in which they began; a start is sent again until it was heard."""
    about = {"episode": message.episode, "seed": message.seed, "task": message.task, "reason": ""}
    if message.phase == "start" and message.episode not in [told["episode"] for told in found.episodes]:
        found.episodes.append({**about, "start_s": round(topic.last_s, 3)})
    elif message.phase == "end":
        for told in found.episodes:
            if told["episode"] == message.episode:
                told["reason"] = message.reason


def pictures_to_play(reader: Reader) -> set[str]:
    """The outputs of a recording that hold pictures, once it is sure that the rest can be played.

    Raises:
        Damage: there is no proprio, or it is of columns that are not known.
    """
    outputs = set()
    for record in reader:
        outputs.add(record.output)
        if record.output == PLAYABLE and (found := entry(reader, record)):
            found.unpack()
    if PLAYABLE not in outputs:
        raise Damage(reader.name, 0, f"expected {PLAYABLE}, got {nearest(PLAYABLE, sorted(outputs))}")
    return {output for output in outputs if output.startswith(FRAME)}
