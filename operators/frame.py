"""Camera frames: flat UInt8 pixels, with dora-hub's image metadata. The one message whose payload is not a record."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from operators.schema import BadMessage

KEYS = ("width", "height", "seq", "episode", "t_ns")


class Frame(NamedTuple):
    """One picture."""

    pixels: np.ndarray  # (height, width, 3) uint8 RGB, a read-only view of the received buffer
    seq: int
    episode: int
    t_ns: int  # when the scene it shows was measured: it is matched with states by this alone
    run_ns: int = -1  # when the process that sent it began


def frame_metadata(width: int, height: int, seq: int, episode: int, t_ns: int, run_ns: int = -1) -> dict[str, Any]:
    """Metadata of a frame; plain integers, since dora turns numpy scalars into strings."""
    numbers = zip((*KEYS, "run_ns"), (width, height, seq, episode, t_ns, run_ns), strict=True)
    return {"encoding": "rgb8", "primitive": "image", **{key: int(value) for key, value in numbers}}


def read_frame(array: pa.Array, metadata: dict[str, Any]) -> Frame:
    """Check and view a frame without copying.

    Raises:
        BadMessage: not pixels, missing metadata, or another size than it says.
    """
    if array.type != pa.uint8() or array.null_count:
        raise BadMessage(Frame, "schema", f"expected uint8 pixels, got {array.type}")
    wrong = [key for key in KEYS if type(metadata.get(key)) is not int]
    if wrong or metadata.get("encoding") != "rgb8":
        raise BadMessage(Frame, "metadata", f"expected rgb8 with whole numbers in {', '.join(KEYS)}, got {metadata}")
    width, height = metadata["width"], metadata["height"]
    if min(width, height) < 1 or len(array) != width * height * 3:
        raise BadMessage(Frame, "size", f"expected {width} x {height} x 3 bytes, got {len(array)}")
    run_ns = metadata.get("run_ns", -1)  # of a process that tells it
    pixels = array.to_numpy().reshape(height, width, 3)
    seq, episode, t_ns = (metadata[key] for key in KEYS[2:])
    return Frame(pixels, seq, episode, t_ns, run_ns if type(run_ns) is int else -1)
