"""A part of a recording as a recording: by time, episode and topic. Messages are copied byte by byte."""

from collections.abc import Collection
from pathlib import Path

from recordings.drec.file import Reader, Writer
from recordings.drec.messages import entry


def trim(
    reader: Reader,
    to: Path,
    from_s: float = 0.0,
    to_s: float = float("inf"),
    topics: Collection[str] = (),
    episode: int | None = None,
) -> int:
    """Copy what lies in the time, of the topics (all if none are named) and the episode; the number of messages.

    Raises:
        ValueError: the time is none, or nothing is left. No file is then made.
        OSError: the file cannot be written.
    """
    if not 0 <= from_s < to_s:
        raise ValueError(f"expected a time from 0 s up that ends after it begins, got {from_s:g} to {to_s:g} s")
    begin, end = round(from_s * 1e9), to_s * 1e9
    writer = None
    try:
        for record in reader:
            if record.offset_ns < begin or (topics and record.topic not in topics):
                continue
            if record.offset_ns > end:
                break
            if episode is not None and ((found := entry(reader, record)) is None or found.episode != episode):
                continue
            header = reader.header
            writer = writer or Writer(to, header.descriptor, header.dataflow, header.start_unix_ns + begin)
            writer.write(record.node, record.output, record.offset_ns - begin, record.event)
    finally:
        if writer:
            writer.close()
    if writer is None:
        raise ValueError(f"{reader.name}: expected messages in what is to be kept, there are none")
    return writer.count
