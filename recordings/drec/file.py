"""Recordings: dora's `.drec` files, version 2. Written so that a crash loses nothing but the last message, read as a
stream, and read on behind damage. The layout is described in docs/recordings.md.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from recordings.drec.postcard import Broken, Source, parameter, text, varint

MAGIC, END, VERSION = b"DORAREC\0", b"DORAEND\0", 2
LARGEST = 64 << 20  # bytes of a record or descriptor, dora's own limit
NAME = 256  # bytes a node's or an output's name has at most
GAP_NS = 3_600_000_000_000  # a stamp that is farther than this from the one before it is damage
PACKED = "rgb8+zstd"  # encoding of a frame whose pixels were compressed
WINDOW = 1 << 20  # bytes looked through at once for the next whole record
METADATA_VERSION = 2  # of dora 1.1
CLOCK = b"rtr-dora".ljust(16, b"\0")  # who stamped: dora's clocks have an identity of 16 bytes

_head = struct.Struct("<8sHQ16sI")
_smallest = 2 + 1 + 2 + 1 + 8 + 4


class Damage(ValueError):
    """Something unreadable; the message names file and offset."""

    def __init__(self, name: str, offset: int, what: str):
        self.offset = offset
        shown = "".join(c if c.isprintable() else "?" for c in what)
        super().__init__(f"{name}, offset {offset}: {shown}")


class Header(NamedTuple):
    """What a recording says about itself."""

    start_unix_ns: int  # wall clock, for people; everything else counts from it
    dataflow: bytes  # 16, of the run
    descriptor: str  # the graph's YAML


class Record(NamedTuple):
    """One message as it stands in the file."""

    node: str
    output: str
    offset_ns: int  # since the recording began
    event: bytes
    position: int  # of the record in the file

    @property
    def topic(self) -> str:
        return f"{self.node}/{self.output}"


class Message(NamedTuple):
    """What was sent."""

    array: pa.Array
    metadata: dict[str, Any]
    time: int  # dora's stamp: seconds since 1970, times 2**32


class Writer:
    """Appends messages, each with one write, so that a killed process leaves whole records behind.

    Args:
        start_unix_ns: when the recording began, by the wall clock; 0 for now.

    Raises:
        OSError: the file cannot be made or written. It is then cut back to its last whole record.
    """

    def __init__(self, path: Path, descriptor: str, dataflow: bytes = bytes(16), start_unix_ns: int = 0):
        self._file = path.open("wb", buffering=0)
        self.dataflow, self.count, self.bytes = dataflow, 0, 0
        yaml = descriptor.encode()
        born = start_unix_ns or os.fstat(self._file.fileno()).st_mtime_ns
        self._append(_head.pack(MAGIC, VERSION, born, dataflow, len(yaml)) + yaml)

    def write(self, node: str, output: str, offset_ns: int, event: bytes) -> None:
        """Append one event.

        Raises:
            ValueError: it is larger than a record may be; nothing was written.
        """
        names = b"".join(struct.pack("<H", len(raw)) + raw for raw in (node.encode(), output.encode()))
        length = len(names) + 12 + len(event)
        if length > LARGEST:
            raise ValueError(f"{node}/{output}: expected at most {LARGEST} bytes a message, got {length}")
        self._append(struct.pack("<I", length) + names + struct.pack("<QI", offset_ns, len(event)) + event)
        self.count += 1
        self.bytes += length + 4

    def close(self) -> None:
        """Write the footer."""
        if not self._file.closed:
            try:
                self._append(END + struct.pack("<QQ", self.count, self.bytes))
            finally:
                self._file.close()

    def _append(self, data: bytes) -> None:
        whole, left = self._file.tell(), memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError:
            with self._file, suppress(OSError):  # of the two, the first tells more
                self._file.truncate(whole)
            raise


class Reader:
    """Streams a recording. What is damaged is left out and named in `damage`; memory stays below two records.

    Raises:
        Damage: not a recording, or none of this version.
        OSError: the file cannot be opened.
    """

    def __init__(self, source: Path | BinaryIO, name: str = ""):
        self._file: BinaryIO = source.open("rb") if isinstance(source, Path) else source
        self.name = name or (str(source) if isinstance(source, Path) else "recording")
        self.damage: list[str] = []
        self.complete = False  # its footer was read and agrees
        try:
            self.header = self._header()
        except Damage:
            self.close()
            raise
        self._first = self._file.tell()

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Record]:
        """Every whole record from the beginning."""
        return self.since(self._first)

    def since(self, position: int | None) -> Iterator[Record]:
        """Every whole record from the one at a position on."""
        self.damage, self.complete = [], False
        whole = position == self._first
        count, before = 0, 0 if whole else None
        while position is not None:
            found = self._record(position)
            if isinstance(found, str):
                self._note(position, found)
                position = self._resync(position + 1)
            elif found is None:
                if whole:
                    self._end(position, count)
                return
            else:
                offset = found.offset_ns
                before = offset if before is None else before
                if not before <= offset <= before + GAP_NS:
                    self._note(position, f"the stamp {offset} ns does not follow {before} ns, which is taken instead")
                    found = found._replace(offset_ns=before)
                before = found.offset_ns
                count += 1
                yield found
                position = self._file.tell()

    def message(self, record: Record) -> Message | None:
        """A record's content; None, and a line in `damage`, where it cannot be read."""
        try:
            return decode(record, self.name)
        except Damage as error:
            self.damage.append(str(error))
            return None

    def _header(self) -> Header:
        head = self._file.read(_head.size)
        if not head:
            raise Damage(self.name, 0, "expected a recording, got an empty file")
        if len(head) < 10 or head[:8] != MAGIC:
            raise Damage(self.name, 0, f"expected a recording (DORAREC), got {bytes(head[:8])!r}")
        version = int.from_bytes(head[8:10], "little")
        if version != VERSION:
            raise Damage(self.name, 8, f"expected version {VERSION} of the format, got {version}")
        if len(head) < _head.size:
            raise Damage(self.name, len(head), f"expected a header of {_head.size} bytes, the file ends")
        _, _, start, dataflow, length = _head.unpack(head)
        left = self._size() - _head.size
        if length > min(left, LARGEST):
            raise Damage(self.name, 34, f"expected a descriptor of {length} bytes, got {left}")
        return Header(start, dataflow, self._file.read(length).decode(errors="replace"))

    def _size(self) -> int:
        here = self._file.tell()
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(here)
        return size

    def _record(self, position: int) -> Record | str | None:
        """The record at a position, what is wrong with it, or None at the end."""
        self._file.seek(position)
        prefix = self._file.read(4)
        if not prefix or prefix == END[:4]:
            return None
        length, left = int.from_bytes(prefix, "little"), self._size() - position - 4
        if len(prefix) < 4 or (_smallest <= length <= LARGEST and length > left):
            return f"the file ends within a record, {max(left, 0)} of {length} bytes are there"
        if not _smallest <= length <= LARGEST:
            return f"expected a record of {_smallest} to {LARGEST} bytes, got {length}"
        return _parse(self._file.read(length), position)

    def _resync(self, position: int) -> int | None:
        """Where the next whole record begins, or the end."""
        size = self._size()
        while position < size:
            self._file.seek(position)
            window = self._file.read(WINDOW + 6)
            for start in _candidates(window):
                found = self._record(position + start)
                if found is None or (isinstance(found, Record) and _names_agree(found)):
                    return position + start
            position += WINDOW
        return None

    def _end(self, position: int, count: int) -> None:
        self._file.seek(position)
        footer = self._file.read(25)
        if not footer:
            return  # a recorder that was killed writes none
        if len(footer) < 24 or footer[:8] != END:
            self._note(position, "the footer is cut off or damaged")
        elif (told := int.from_bytes(footer[8:16], "little")) != count:
            self._note(position, f"the footer counts {told} messages, {count} could be read")
        elif len(footer) > 24:
            self._note(position + 24, "something follows the footer")
        else:
            self.complete = True

    def _note(self, position: int, what: str) -> None:
        self.damage.append(str(Damage(self.name, position, what)))


def _parse(body: bytes, position: int) -> Record | str:
    names, at = [], 0
    for _ in range(2):
        length = int.from_bytes(body[at : at + 2], "little")
        raw = body[at + 2 : at + 2 + length]
        if not 1 <= length <= NAME or len(raw) < length or not (raw.isascii() and raw.decode().isprintable()):
            return "expected names of a node and an output"
        names.append(raw.decode())
        at += 2 + length
    if at + 12 > len(body):
        return f"expected {at + 12} bytes or more, got a record of {len(body)}"
    offset, length = struct.unpack_from("<QI", body, at)
    if length != len(body) - at - 12:
        return f"expected {len(body) - at - 12} bytes of message, got {length}"
    return Record(names[0], names[1], offset, body[at + 12 :], position)


def _candidates(window: bytes) -> list[int]:
    """Offsets at which the lengths of a record and of a node's name, or a footer, may stand."""
    if len(window) < 6:
        return []
    raw = np.frombuffer(window, np.uint8).astype(np.uint32)
    length = raw[:-5] | raw[1:-4] << 8 | raw[2:-3] << 16 | raw[3:-2] << 24
    name = raw[4:-1] | raw[5:] << 8
    fits = (length >= _smallest) & (length <= LARGEST) & (name >= 1) & (name <= NAME)
    fits |= length == int.from_bytes(END[:4], "little")
    return np.nonzero(fits)[0].tolist()


def _names_agree(record: Record) -> bool:
    return text(record.node) + text(record.output) in record.event[:1024]


def encode(node: str, output: str, array: pa.Array, metadata: dict[str, Any], dataflow: bytes = bytes(16)) -> bytes:
    """A message as dora's event. `metadata["timestamp"]`, which dora adds to what it delivers, becomes its stamp."""
    about = {key: metadata[key] for key in sorted(metadata) if key != "timestamp"}
    stamp = varint(_ntp(metadata.get("timestamp"))) + CLOCK
    parts = [b"\0", varint(16), dataflow, text(node), text(output), varint(METADATA_VERSION), stamp]
    parts += [varint(len(about)), *(text(key) + parameter(value) for key, value in about.items())]
    sink = pa.BufferOutputStream()
    batch = pa.RecordBatch.from_arrays([array], schema=pa.schema([pa.field("data", array.type)]))
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    stored = memoryview(sink.getvalue())
    return b"".join([*parts, b"\1", varint(len(stored)), stored, stamp])


def decode(record: Record, name: str = "recording") -> Message:
    """What was sent: array and metadata, as a node receives them.

    Raises:
        Damage: it cannot be read.
    """
    source = Source(record.event)
    start = record.position + 4 + 4 + len(record.node.encode()) + len(record.output.encode()) + 12
    try:
        return _event(source, record)
    except Broken as error:
        raise Damage(name, start + error.at, f"{record.topic}: {error}") from None
    except (pa.ArrowException, OSError, OverflowError, ValueError, struct.error, IndexError) as error:
        said = str(error).split("\n")[0][:200]
        raise Damage(name, start + source.at, f"{record.topic}: unreadable Arrow data: {said}") from None


def pack_frame(array: pa.Array, metadata: dict[str, Any]) -> tuple[pa.Array, dict[str, Any]]:
    """A camera frame with its pixels compressed; anything else as it is."""
    if array.type != pa.uint8() or metadata.get("encoding") != "rgb8" or not len(array):
        return array, metadata
    packed = pa.Codec("zstd", compression_level=1).compress(array.to_numpy().tobytes())
    return pa.UInt8Array.from_buffers(pa.uint8(), packed.size, [None, packed]), {**metadata, "encoding": PACKED}


def _event(source: Source, record: Record) -> Message:
    kind = source.varint(32)
    if kind != 0:
        raise Broken(0, f"expected an output, got an event of kind {kind}")
    if len(source.bytes()) != 16:
        raise Broken(1, "expected a dataflow's identity of 16 bytes")
    node, output = source.text(), source.text()
    if node != record.node or not (output.endswith(record.output) or record.output.endswith(output)):
        raise Broken(18, f"expected a message of {record.topic}, got one of {node}/{output}")
    version = source.varint(16)
    if version != METADATA_VERSION:
        raise Broken(source.at, f"expected metadata of version {METADATA_VERSION}, got {version}")
    time, _ = source.varint(), source.take(16)
    about = {source.text(): source.parameter() for _ in range(source.count(3))}
    about.pop("_wire_size", None)  # dora's own
    if source.varint(8) == 0:
        return Message(pa.nulls(0), about, time)
    array = _array(source.bytes())
    if about.get("encoding") == PACKED:
        array, about = _unpack_frame(array, about)
    return Message(array, about, time)


def _array(stored: memoryview) -> pa.Array:
    aligned = pa.allocate_buffer(len(stored))
    memoryview(aligned).cast("B")[:] = stored
    for message in pa.ipc.MessageReader.open_stream(aligned):
        if message.type == "record batch" and _compressed(bytes(message.metadata)):
            raise ValueError("compressed Arrow buffers, which could unpack to any size, are not read")
    with pa.ipc.open_stream(aligned) as stream:
        batch = next(iter(stream), None)
    if batch is None or batch.num_columns != 1:
        raise ValueError(f"expected one column, got {batch.num_columns if batch else 'none'}")
    batch.validate(full=True)
    return batch.column(0)


def _compressed(message: bytes) -> bool:
    """Whether the flatbuffer table of a record batch has its fourth field, the compression."""

    def field(table: int, number: int) -> int:
        fields = table - struct.unpack_from("<i", message, table)[0]
        size = struct.unpack_from("<H", message, fields)[0]
        inside = 4 + 2 * number < size
        return struct.unpack_from("<H", message, fields + 4 + 2 * number)[0] if inside else 0

    root = struct.unpack_from("<I", message, 0)[0]
    where = root + field(root, 2)
    return field(where + struct.unpack_from("<I", message, where)[0], 3) != 0


def _unpack_frame(array: pa.Array, about: dict[str, Any]) -> tuple[pa.Array, dict[str, Any]]:
    width, height = (n if type(n) is int else 0 for n in (about.get("width"), about.get("height")))
    wanted = width * height * 3
    if array.type != pa.uint8() or min(width, height) < 1 or wanted > LARGEST:
        raise ValueError(
            f"expected compressed pixels, {LARGEST} bytes at most, got {array.type} {width} x {height} x 3"
        )
    pixels = pa.Codec("zstd").decompress(array.to_numpy().tobytes(), decompressed_size=wanted)
    if pixels.size != wanted:
        raise ValueError(f"expected {wanted} bytes of pixels, got {pixels.size}")
    return pa.UInt8Array.from_buffers(pa.uint8(), wanted, [None, pixels]), {**about, "encoding": "rgb8"}


def _ntp(stamp: Any) -> int:
    if not isinstance(stamp, datetime):
        return 0
    since = stamp - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86400 + since.seconds) << 32) + (since.microseconds << 32) // 1_000_000


def nearest(asked: str, known: list[str]) -> str:
    """The end of a refusal: what there is, and which of it comes nearest to what was asked for."""
    close = get_close_matches(asked, known, 1, cutoff=0.5)
    return f"{', '.join(sorted(known)) or 'nothing'}" + (f"; nearest is {close[0]}" if close else "")
