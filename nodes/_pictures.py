"""Pictures of a recording, handed out as a policy had them: which ones it looked at is recorded, not when they came."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from recordings.drec import Message, Reader
from recordings.timeline import CAMERAS
from recordings.trim import episode_of

AHEAD_NS = 1_000_000_000  # how much later than a policy had it a picture is looked for


class _Picture(NamedTuple):
    topic: str
    number: int
    offset_ns: int
    content: Message


class Pictures:
    """Those of one episode.

    Args:
        send: gets topic and content of each, in the recorded order of its camera.
    """

    def __init__(self, reader: Reader, episode: int, send: Callable[[str, Message], None]):
        self._send, self._stream = send, _pictures(reader, episode)
        self._coming = next(self._stream, None)
        self._waiting: deque[_Picture] = deque()

    def until(self, offset_ns: float, newest: Mapping[str, int], needed: bool) -> None:
        """Send what had been recorded before a time, but of each camera none after a number.

        Args:
            newest: topic -> number; of other cameras all go out.
            needed: send those numbers and all before them, even if they were recorded later.
        """
        missing = dict(newest) if needed else {}
        while self._coming and self._coming.offset_ns < offset_ns + (AHEAD_NS if missing else 0):
            if self._coming.number >= missing.get(self._coming.topic, float("inf")):
                missing.pop(self._coming.topic, None)
            self._waiting.append(self._coming)
            self._coming = next(self._stream, None)
        for picture in [self._waiting.popleft() for _ in range(len(self._waiting))]:
            if picture.number <= newest.get(picture.topic, float("inf")):
                self._send(picture.topic, picture.content)
            else:
                self._waiting.append(picture)


def _pictures(reader: Reader, episode: int) -> Iterator[_Picture]:
    for record in reader:
        content = reader.message(record) if record.output in CAMERAS else None
        if content is not None and episode_of(content) == episode:
            number = content.metadata.get("seq")
            yield _Picture(record.output, number if isinstance(number, int) else -1, record.offset_ns, content)
