"""What was done in an episode: measurements at 60 Hz, one commanded row a tick, pictures as a stream.

The same from a recording (here) and from a data set (`recordings.dataset.play`), so that converters, plots and
open-loop comparisons need not know which it was. Numbers are kept, 250 bytes a cycle; pictures never are.
"""

from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from operators.frame import Frame, read_frame
from operators.messages import Command, Episode, Plan, Proprio
from operators.motion.rows import Rows
from operators.schema import ACTION_WIDTH, BadMessage
from recordings.drec.file import Damage, Message, Reader, nearest
from recordings.drec.migrations import read
from recordings.drec.trim import episode_of

CAMERAS = ("front", "wrist")
_STAMPS = ("seq", "t_ns", "tick", "cycle")
_VECTORS = ("q", "tcp_pose", "tcp_velocity", "wrench")


@dataclass(frozen=True)
class Measurements:
    """Proprioception, one entry a message."""

    seq: np.ndarray  # (n,) int64, as are the other three
    t_ns: np.ndarray
    tick: np.ndarray
    cycle: np.ndarray
    q: np.ndarray  # (n, 6) float64 rad
    tcp_pose: np.ndarray  # (n, 6) m, rotation vector
    tcp_velocity: np.ndarray  # (n, 6) m/s, rad/s
    wrench: np.ndarray  # (n, 6) N, Nm
    gripper: np.ndarray  # (n,)

    def __len__(self) -> int:
        return len(self.tick)

    def message(self, at: int, episode: int) -> Proprio:
        """One entry as it was sent."""
        stamps = {name: int(getattr(self, name)[at]) for name in _STAMPS}
        vectors = {name: getattr(self, name)[at] for name in _VECTORS}
        return Proprio(**stamps, **vectors, episode=episode, gripper=float(self.gripper[at]))


@dataclass(frozen=True)
class Demonstration:
    """One episode."""

    episode: Episode
    measured: Measurements
    commanded: Rows  # one row a tick, after the limits; none where neither plans nor commands are there
    seen: Mapping[str, np.ndarray]  # camera -> t_ns of each of its pictures, (k,) int64
    pictures: Callable[[], Iterator[tuple[str, int, Frame]]]  # camera, number in `seen`, picture; in order of time
    notes: tuple[str, ...] = field(default=())  # what is missing


def demonstrations(path: Path) -> list[Demonstration]:
    """The episodes of a recording that have measurements.

    Raises:
        Damage: it is none, holds no proprio, or messages of columns that are not known.
    """
    with Reader(path) as reader:
        found = _look_through(reader)
    return [episode.build(path) for _, episode in sorted(found.items()) if episode.stamps]


def frames(path: Path, episode: int, first: int, counts: Mapping[str, int]) -> Iterator[tuple[str, int, Frame]]:
    """A recording's pictures of an episode: camera, number of the picture, picture.

    Args:
        path: of the recording.
        episode: its number.
        first: position of the record with its first picture.
        counts: camera -> how many there are.
    """
    number = dict.fromkeys(counts, 0)
    with Reader(path) as reader:
        for record in reader.since(first):
            if number == counts:
                return
            camera = record.output.removeprefix("frame_")
            if camera not in counts or camera == record.output:
                continue
            content = reader.message(record)
            if content is None or (frame := _frame(content)) is None or frame.episode != episode:
                continue
            yield camera, number[camera], frame
            number[camera] += 1


class _Collected:
    """One episode as it is being read."""

    def __init__(self, number: int):
        self.about = Episode(0, number, 0, "start", 0, "", "", "", "", False)
        self.stamps, self.numbers = array("q"), array("d")
        self.rows, self.begin, self.end = array("f"), 0, 0  # commanded, their first tick and the one after the last
        self.lost = 0  # ticks that were in no plan
        self.by_command = dict[int, np.ndarray]()
        self.seen = {camera: array("q") for camera in CAMERAS}
        self.first_picture = 0  # position of its record

    def receive(self, message: object) -> None:
        if isinstance(message, Episode) and message.phase == "start":
            self.about = message
        elif isinstance(message, Proprio):
            self.stamps.extend(getattr(message, name) for name in _STAMPS)
            for name in _VECTORS:
                self.numbers.frombytes(getattr(message, name).astype(np.float64).tobytes())
            self.numbers.append(message.gripper)
        elif isinstance(message, Plan):
            self._executed(Rows(message.tick - len(message.executed), message.executed))
        elif isinstance(message, Command) and message.tick >= 0 and not self.rows:
            self.by_command.setdefault(message.tick, message.action.copy())

    def _executed(self, rows: Rows) -> None:
        """Plans repeat what was executed, so that one that is lost leaves no hole."""
        self.by_command.clear()
        if not self.rows:
            self.begin = self.end = rows.tick
        if rows.tick > self.end:
            self.rows.extend(self.rows[-ACTION_WIDTH:] * (rows.tick - self.end))
            self.lost += rows.tick - self.end
            self.end = rows.tick
        new = rows.since(self.end)
        self.rows.frombytes(np.ascontiguousarray(new.action, np.float32).tobytes())
        self.end = max(self.end, rows.end)

    def build(self, path: Path) -> Demonstration:
        stamps = np.array(self.stamps, np.int64).reshape(-1, len(_STAMPS))
        numbers = np.array(self.numbers).reshape(-1, 6 * len(_VECTORS) + 1)
        vectors = {name: numbers[:, 6 * i : 6 * i + 6] for i, name in enumerate(_VECTORS)}
        columns = {name: stamps[:, i] for i, name in enumerate(_STAMPS)}
        notes = (f"{self.lost} ticks are in no plan; the row before them stands in their place",) if self.lost else ()
        number, first = self.about.episode, self.first_picture
        seen = {camera: np.array(stamped, np.int64) for camera, stamped in self.seen.items() if stamped}
        counts = {camera: len(stamped) for camera, stamped in seen.items()}
        return Demonstration(
            self.about,
            Measurements(**columns, **vectors, gripper=numbers[:, -1]),
            self._commanded(),
            seen,
            lambda: frames(path, number, first, counts),
            notes,
        )

    def _commanded(self) -> Rows:
        if self.rows:
            return Rows(self.begin, np.array(self.rows, np.float32).reshape(-1, ACTION_WIDTH))
        ticks = sorted(self.by_command)
        if not ticks:
            return Rows(0, np.zeros((0, ACTION_WIDTH), np.float32))
        wanted = np.arange(ticks[0], ticks[-1] + 1)
        at = np.searchsorted(ticks, wanted, side="right") - 1
        return Rows(ticks[0], np.stack([self.by_command[ticks[i]] for i in at]))


def _look_through(reader: Reader) -> dict[int, _Collected]:
    kinds = {"episode": Episode, "proprio": Proprio, "plan": Plan, "command": Command}
    found, outputs = dict[int, _Collected](), set[str]()
    for record in reader:
        outputs.add(record.output)
        picture = record.output.removeprefix("frame_") in CAMERAS and record.output.startswith("frame_")
        if record.output not in kinds and not picture:
            continue
        content = reader.message(record)
        number = None if content is None else episode_of(content)
        if content is None or number is None or number < 0:
            continue
        episode = found.setdefault(number, _Collected(number))
        if picture:
            if frame := _frame(content):
                episode.first_picture = episode.first_picture or record.position
                episode.seen[record.output.removeprefix("frame_")].append(frame.t_ns)
            continue
        try:
            episode.receive(read(kinds[record.output], record.output, content.array))
        except BadMessage as error:
            raise Damage(reader.name, record.position, f"{record.topic}: {error}") from None
    if "proprio" not in outputs:
        raise Damage(reader.name, 0, f"expected proprio, got {nearest('proprio', sorted(outputs))}")
    return found


def _frame(content: Message) -> Frame | None:
    episode = content.metadata.get("episode")
    try:
        return read_frame(content.array, content.metadata, episode if isinstance(episode, int) else -1)
    except BadMessage:
        return None
