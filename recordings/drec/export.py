"""Recordings for other people's viewers: MCAP (Foxglove) and Rerun. Both are optional; messages stream through."""

import base64
import json
from collections.abc import Collection, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from operators.frame import Frame
from recordings.drec.file import Damage, Message, Reader, Record
from recordings.drec.messages import messages

IMAGE = "foxglove.CompressedImage"
IMAGE_SCHEMA = {
    "type": "object",
    "properties": {
        "timestamp": {
            "type": "object",
            "title": "time",
            "properties": {"sec": {"type": "integer", "minimum": 0}, "nsec": {"type": "integer"}},
        },
        "frame_id": {"type": "string"},
        "data": {"type": "string", "contentEncoding": "base64"},
        "format": {"type": "string"},
    },
}


class MissingExtra(ValueError):
    """A library that only this needs is not installed."""

    def __init__(self, library: str, extra: str):
        super().__init__(f"{library} is not installed: pip install -c constraints.txt -e '.[{extra}]'")


def to_mcap(reader: Reader, to: Path, topics: Collection[str] = ()) -> int:
    """Write a recording as MCAP: records as JSON with a schema, pictures as PNG; the number of messages.

    Raises:
        MissingExtra: without the library mcap.
        OSError: the file cannot be written.
    """
    mcap = _library("mcap.writer", "mcap")
    channels: dict[str, int] = {}
    count = 0
    with to.open("wb") as file:
        writer = mcap.Writer(file)
        writer.start(profile="", library="rtr-dora")
        for record, content, frame in _contents(reader, topics):
            at = reader.header.start_unix_ns + record.offset_ns
            if record.topic not in channels:
                name, described = (IMAGE, IMAGE_SCHEMA) if frame else (record.topic, json_schema(content.array.type))
                schema = writer.register_schema(name, "jsonschema", json.dumps(described).encode())
                channels[record.topic] = writer.register_channel(f"/{record.topic}", "json", schema)
            payload = _image(frame, record, at) if frame else plain(content.array)
            data = json.dumps(payload).encode()
            writer.add_message(channels[record.topic], at, data, at, count & 0xFFFFFFFF)
            count += 1
        writer.finish()
    return count


def to_rerun(reader: Reader, to: Path, topics: Collection[str] = ()) -> int:
    """Write a recording for Rerun: pictures, and every number of a record as a curve; the number of messages.

    Raises:
        MissingExtra: without the library rerun-sdk.
    """
    rerun = _library("rerun", "view")
    stream = rerun.RecordingStream("rtr")
    stream.save(str(to))
    count = 0
    for record, content, frame in _contents(reader, topics):
        stream.set_time("time", duration=record.offset_ns / 1e9)
        if frame:
            stream.log(record.topic, rerun.Image(frame.pixels))
        else:
            for name, values in curves(content.array):
                stream.log(f"{record.topic}/{name}", rerun.Scalars(values))
        count += 1
    stream.flush()
    return count


def json_schema(kind: pa.DataType) -> dict[str, Any]:
    """The JSON schema of an Arrow type."""
    if pa.types.is_struct(kind):
        return {"type": "object", "properties": {field.name: json_schema(field.type) for field in kind}}
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind):
        return {"type": "array", "items": json_schema(kind.value_type)}
    if pa.types.is_boolean(kind):
        return {"type": "boolean"}
    if pa.types.is_integer(kind):
        return {"type": "integer"}
    return {"type": "number"} if pa.types.is_floating(kind) else {"type": "string"}


def plain(array: pa.Array) -> Any:
    """A message as JSON: the record itself, or the list of what is no record."""
    values = array.to_pylist()
    if pa.types.is_struct(array.type) and len(values) == 1:
        return values[0]
    return {"values": [value if isinstance(value, int | float | str | None) else str(value) for value in values]}


def curves(array: pa.Array) -> Iterator[tuple[str, list[float]]]:
    """The numbers of a record, but for its header and its tables of rows: name and values."""
    if not pa.types.is_struct(array.type) or len(array) != 1:
        return
    for name, value in array[0].as_py().items():
        values = value if isinstance(value, list) else [value]
        numbers = values and all(isinstance(v, int | float) for v in values)
        if numbers and name not in ("seq", "episode", "t_ns") and len(values) <= 16:
            yield name, [float(v) for v in values]


def _contents(reader: Reader, topics: Collection[str]) -> Iterator[tuple[Record, Message, Frame | None]]:
    for found in messages(reader, {topic.split("/", 1)[1] for topic in topics}):
        _, record, content = found
        if topics and record.topic not in topics:
            continue
        try:
            shown = "encoding" in content.metadata and content.array.type == pa.uint8()
            yield record, content, found.frame() if shown else None
        except Damage as error:
            reader.damage.append(str(error))


def _image(frame: Frame, record: Record, at: int) -> dict[str, Any]:
    _, png = cv2.imencode(".png", np.ascontiguousarray(frame.pixels[..., ::-1]))
    stamp = {"sec": at // 1_000_000_000, "nsec": at % 1_000_000_000}
    data = base64.b64encode(png.tobytes()).decode()
    return {"timestamp": stamp, "frame_id": record.node, "data": data, "format": "png"}


def _library(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise MissingExtra(module.split(".")[0], extra) from None
