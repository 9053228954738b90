"""The few parts of postcard that a recorded dora event is made of: varints, zigzag, bytes, text, parameters."""

import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

BOOL, INTEGER, TEXT, INTEGERS, REAL, REALS, TEXTS, TIME = range(8)  # variants of dora's metadata parameters


class Broken(ValueError):
    """Bytes that are not what they should be; `at` counts from their beginning."""

    def __init__(self, at: int, what: str):
        self.at = at
        super().__init__(what)


class Source:
    """Reads values one after the other; nothing is allocated before its length has been checked."""

    def __init__(self, data: bytes):
        self.data, self.at = memoryview(data), 0

    def varint(self, bits: int = 64) -> int:
        value = shift = 0
        begun = self.at
        while shift < bits:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >> bits:
                    break
                return value
            shift += 7
        raise Broken(begun, f"expected a number of {bits} bits")

    def integer(self) -> int:
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def real(self) -> float:
        return struct.unpack("<d", self.take(8))[0]

    def bytes(self) -> memoryview:
        return self.take(self.varint())

    def text(self) -> str:
        begun = self.at
        try:
            return str(self.bytes(), "utf-8")
        except UnicodeDecodeError:
            raise Broken(begun, "expected text in UTF-8") from None

    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.at:
            raise Broken(self.at, f"expected {count} bytes more, got {len(self.data) - self.at}")
        self.at += count
        return self.data[self.at - count : self.at]

    def count(self, least: int) -> int:
        """How many elements follow, of at least so many bytes each."""
        count = self.varint()
        if count * least > len(self.data) - self.at:
            raise Broken(self.at, f"expected {count} elements, got {len(self.data) - self.at} bytes")
        return count

    def parameter(self) -> Any:
        begun, kind = self.at, self.varint()
        if kind >= len(_READ):
            raise Broken(begun, f"expected a parameter of kind 0 to {TIME}, got {kind}")
        return _READ[kind](self)

    def time(self) -> datetime:
        begun, text = self.at, self.text()
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            raise Broken(begun, f"expected a time, got {text[:40]!r}") from None


_READ: tuple[Callable[[Source], Any], ...] = (  # by variant
    lambda source: bool(source.take(1)[0]),
    Source.integer,
    Source.text,
    lambda source: [source.integer() for _ in range(source.count(1))],
    Source.real,
    lambda source: [source.real() for _ in range(source.count(8))],
    lambda source: [source.text() for _ in range(source.count(1))],
    Source.time,
)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def integer(value: int) -> bytes:
    return varint((value << 1) ^ (value >> 63))


def text(value: str) -> bytes:
    raw = value.encode()
    return varint(len(raw)) + raw


def parameter(value: Any) -> bytes:
    """A value of dora metadata; what is none of the eight kinds is kept as text, as dora does it."""
    if isinstance(value, bool):
        return bytes([BOOL, value])
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
        return bytes([INTEGER]) + integer(value)
    if isinstance(value, float):
        return bytes([REAL]) + struct.pack("<d", value)
    if isinstance(value, datetime):
        stamp = value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        return bytes([TIME]) + text(stamp)
    if isinstance(value, list | tuple):
        return _list(list(value))
    return bytes([TEXT]) + text(str(value))


def _list(values: list) -> bytes:
    head = varint(len(values))
    if all(type(v) is int and -(1 << 63) <= v < 1 << 63 for v in values):
        return bytes([INTEGERS]) + head + b"".join(integer(v) for v in values)
    if all(type(v) in (int, float) for v in values):
        return bytes([REALS]) + head + b"".join(struct.pack("<d", v) for v in values)
    return bytes([TEXTS]) + head + b"".join(text(str(v)) for v in values)
