"""The episodes of a recording as demonstrations. Numbers are kept, 250 bytes a cycle; frames never are."""

from array import array
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from operators.frame import Frame
from operators.measure.demonstration import Demonstration
from operators.measure.log import STAMPS, VECTORS, Measurements
from operators.messages import READY, Command, Episode, Plan, Proprio
from operators.motion.rows import Rows
from operators.schema import ACTION_WIDTH
from recordings.drec.file import Damage, Reader, nearest
from recordings.drec.messages import FRAME, entry, messages

KINDS = "episode", "proprio", "plan", "command"


def demonstrations(path: Path) -> list[Demonstration]:
    """The episodes of a recording that have measurements.

    Raises:
        Damage: it is none, holds no proprio, or messages of columns that are not known.
    """
    with Reader(path) as reader:
        found = _look_through(reader)
    return [episode.build(path) for _, episode in sorted(found.items()) if episode.stamps]


def frames(path: Path, episode: int, first: int, counts: Mapping[str, int]) -> Iterator[tuple[str, int, Frame]]:
    """A recording's frames of an episode: camera, number of the frame, frame.

    Args:
        path: of the recording.
        episode: its number.
        first: position of the record with its first frame.
        counts: camera -> how many there are.
    """
    number = dict.fromkeys(counts, 0)
    with Reader(path) as reader:
        for found in messages(reader, {FRAME + camera for camera in counts}, first):
            if number == counts:
                return
            with suppress(Damage):
                if found.episode == episode:
                    yield found.camera, number[found.camera], found.frame()
                    number[found.camera] += 1


class _Collected:
    """One episode as it is being read."""

    def __init__(self, number: int):
        self.about = Episode(0, number, 0, "start", 0, "", "", "", "", False)
        self.stamps, self.numbers = array("q"), array("d")
        self.rows, self.begin, self.end = array("f"), 0, 0  # commanded, their first tick and the one after the last
        self.lost = 0  # ticks that were in no plan
        self.by_command = dict[int, np.ndarray]()
        self.seen = dict[str, list[int]]()  # camera -> stamps of its frames
        self.first_frame = 0  # position of the record with the first

    def receive(self, message: object) -> None:
        if isinstance(message, Episode) and message.phase == "start":
            self.about = message
        elif isinstance(message, Proprio) and message.state == READY:  # on the way home nothing is demonstrated
            self.stamps.extend(getattr(message, name) for name in STAMPS)
            for name in VECTORS:
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
        stamps = np.array(self.stamps, np.int64).reshape(-1, len(STAMPS))
        numbers = np.array(self.numbers).reshape(-1, 6 * len(VECTORS) + 1)
        vectors = {name: numbers[:, 6 * i : 6 * i + 6] for i, name in enumerate(VECTORS)}
        columns = {name: stamps[:, i] for i, name in enumerate(STAMPS)}
        notes = (f"{self.lost} ticks are in no plan; the row before them stands in their place",) if self.lost else ()
        number, first = self.about.episode, self.first_frame
        seen = {camera: np.array(stamped, np.int64) for camera, stamped in sorted(self.seen.items())}
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
    found, outputs = dict[int, _Collected](), set[str]()
    for record in reader:
        outputs.add(record.output)
        message = entry(reader, record) if record.output in KINDS or record.output.startswith(FRAME) else None
        if message is None or message.episode is None or message.episode < 0:
            continue
        episode = found.setdefault(message.episode, _Collected(message.episode))
        if not message.camera:
            episode.receive(message.unpack())
            continue
        with suppress(Damage):
            frame = message.frame()
            episode.seen.setdefault(message.camera, []).append(frame.t_ns)
            episode.first_frame = episode.first_frame or record.position
    if "proprio" not in outputs:
        raise Damage(reader.name, 0, f"expected proprio, got {nearest('proprio', sorted(outputs))}")
    return found
