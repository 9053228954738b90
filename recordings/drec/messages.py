"""A recording message by message: as it was sent, and unpacked with the columns of today."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from operators.frame import Frame, read_frame
from operators.messages import TOPICS
from operators.schema import BadMessage, unpack
from recordings.drec.file import Damage, Message, Reader, Record
from recordings.drec.migrations import migrated

FRAME = "frame_"  # an output of this name, and a camera's after it, holds frames


class Entry(NamedTuple):
    """A message of a recording."""

    recording: str  # its name
    record: Record
    content: Message  # as it was sent

    @property
    def camera(self) -> str:
        """Whose frame it is; empty where it is none."""
        output = self.record.output
        return output.removeprefix(FRAME) if output.startswith(FRAME) else ""

    @property
    def episode(self) -> int | None:
        """The episode that the message tells in its metadata or second column."""
        said = self.content.metadata.get("episode")
        return said if isinstance(said, int) else _column(self.content.array, 1, "episode")

    @property
    def seq(self) -> int | None:
        """The sender's number of the message."""
        return number(self.content.array, self.content.metadata)

    def unpack(self) -> Any:
        """The message with the columns of today, or the frame; None for what this project does not send.

        Raises:
            Damage: it is not what its topic says, and no migration makes it so.
        """
        output, array = self.record.output, self.content.array
        if self.camera:
            return self.frame()
        if output not in TOPICS:
            return None
        try:
            return unpack(TOPICS[output].message, migrated(output, array))
        except BadMessage as error:
            raise self._damage(error) from None

    def frame(self) -> Frame:
        """The message as a frame, whatever its output is called.

        Raises:
            Damage: it is none.
        """
        try:
            return read_frame(self.content.array, self.content.metadata)
        except BadMessage as error:
            raise self._damage(error) from None

    def _damage(self, error: BadMessage) -> Damage:
        return Damage(self.recording, self.record.position, f"{self.record.topic}: {error}")


def number(array: pa.Array, metadata: Mapping[str, Any]) -> int | None:
    """The sender's number of a message: in its metadata, or its first column."""
    said = metadata.get("seq", _column(array, 0, "seq"))
    return int(said) if isinstance(said, int | np.integer) else None


def entry(reader: Reader, record: Record) -> Entry | None:
    """A record's message; None, and a line in `reader.damage`, where it cannot be read."""
    content = reader.message(record)
    return None if content is None else Entry(reader.name, record, content)


def messages(reader: Reader, outputs: Collection[str] = (), since: int | None = None) -> Iterator[Entry]:
    """Every message that can be read, in order.

    Args:
        reader: of the recording; what it cannot read is a line in its `damage`.
        outputs: those wanted; all without.
        since: position of the first record; the beginning without.
    """
    for record in reader if since is None else reader.since(since):
        if (not outputs or record.output in outputs) and (found := entry(reader, record)):
            yield found


def _column(array: pa.Array, place: int, name: str) -> Any:
    there = getattr(array.type, "num_fields", 0) > place and array.type.field(place).name == name
    return array.field(place)[0].as_py() if there and len(array) == 1 else None
