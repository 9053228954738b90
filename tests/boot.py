"""Recordings of another boot: the stamps of a rig moved, as on a machine that has been up for longer, or for less."""

from pathlib import Path

import pyarrow as pa

from recordings.drec.file import Message, Reader, Writer, encode
from recordings.drec.messages import messages

STAMPS = ("t_ns", "exposed_ns", "begun_ns")
FAR_NS = 10**15  # eleven days
JUST_STARTED_NS = 10**9


def moved(message: Message, by_ns: int) -> Message:
    """A message whose stamps are all later by that."""
    array, metadata = message.array, dict(message.metadata)
    if isinstance(metadata.get("t_ns"), int):
        metadata["t_ns"] += by_ns
    if pa.types.is_struct(array.type):
        columns = [array.field(i) for i in range(array.type.num_fields)]
        for i, field in enumerate(array.type):
            if field.name in STAMPS:
                stamps = [stamp + by_ns if stamp >= 0 else stamp for stamp in columns[i].to_pylist()]
                columns[i] = pa.array(stamps, pa.int64())
        array = pa.StructArray.from_arrays(columns, fields=list(array.type))
    return message._replace(array=array, metadata=metadata)


def earliest_ns(path: Path) -> int:
    """The first stamp of a measurement."""
    with Reader(path) as reader:
        return next(messages(reader, {"proprio"})).unpack().t_ns


def moved_recording(path: Path, to: Path, by_ns: int) -> Path:
    """A copy of a recording with moved stamps."""
    with Reader(path) as reader:
        writer = Writer(to, reader.header.descriptor, reader.header.dataflow, reader.header.start_unix_ns)
        for _, record, content in messages(reader):
            later = moved(content, by_ns)
            event = encode(record.node, record.output, later.array, later.metadata)
            writer.write(record.node, record.output, record.offset_ns, event)
        writer.close()
    return to
