"""Replaying recorded messages into a process without a daemon. Shared by the tests of nodes."""

from concurrent.futures import Future
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
from dora.testing import MockNode

from operators.frame import frame_metadata
from operators.messages import TOPICS
from operators.schema import pack, unpack
from operators.settings import Settings
from studies.simulated import Simulated

UNREPEATABLE = (
    "seq",
    "run_ns",
    "t_ns",
    "begun_ns",
    "refine_ms",
    "inference_ms",
)  # counts of another process, and clocks


class Mock(MockNode):
    """MockNode with what the real node has and it lacks: `send_output_raw`."""

    def send_output_raw(self, output_id: str, data_length: int, metadata: dict[str, Any] | None = None) -> Any:
        return _Sample(self, output_id, np.zeros(data_length, np.uint8), metadata)


def replay_node(inputs: list, mock: type[Mock] = Mock, **about: Any) -> Any:
    """A mock that passes for a node."""
    return mock(inputs, **about)


class Inline:
    """A worker that works at once: what takes long then takes no time, and its order is known."""

    def submit(self, call: Any, *arguments: Any) -> Future:
        future: Future = Future()
        future.set_result(call(*arguments))
        return future

    def shutdown(self) -> None:
        """Nothing is left to do."""


class _Sample:
    def __init__(self, node, output, pixels, metadata):
        self.node, self.output, self.pixels, self.metadata = node, output, pixels, metadata

    def __enter__(self):
        return self.pixels.data

    def __exit__(self, *_):
        self.node.outputs.setdefault(self.output, []).append((self.pixels, self.metadata))


EXPERT: dict[str, Any] = {"policy": "expert", "codec": "dct"}  # who needs neither pictures nor checkpoints


HEARD = ("episode", "proprio", "request", "chunk", "features", "action_chunk", "command", "plan", "chunk_done")


@cache
def episode_messages(
    mode: str, delay: int = 8, seconds: float = 3.01, seed: int = 10_000, **settings: Any
) -> list[tuple[str, tuple]]:
    """(topic, message) of the beginning of an episode, in the order they are sent in.

    A measurement stands right before the command of its cycle: what executors with CLOCK=rig then hear before each
    cycle is what the one in simulated time heard.
    """
    heard: list[tuple[str, tuple]] = []
    measured: list[tuple[str, tuple]] = []

    def listen(sender: str, topic: str, message: tuple) -> None:
        if topic == "proprio":
            measured.append((topic, message))
        elif topic in HEARD:
            heard.extend([*measured, (topic, message)] if topic == "command" else [(topic, message)])
            measured[:] = [] if topic == "command" else measured

    config = Settings(**{**EXPERT, "time_limit_s": seconds, **settings})
    Simulated(config, mode).run(0, seed, lambda chunk: delay, listen)
    return heard


def events(messages: list[tuple[str, tuple]], inputs: dict[str, str]) -> list[tuple[str, pa.Array]]:
    """Those messages whose topic feeds an input: `inputs` maps topic -> input id."""
    return [(inputs[topic], pack(message)) for topic, message in messages if topic in inputs]


def sent(node: MockNode, topic: str) -> list[Any]:
    """What a node sent, unpacked."""
    return [unpack(TOPICS[topic].message, array) for array in node.outputs.get(topic, [])]


def told(messages: list[tuple[str, tuple]], topic: str) -> list[Any]:
    """The messages of one topic."""
    return [message for name, message in messages if name == topic]


def assert_same(got: list[Any], expected: list[Any]) -> None:
    """Bit-equal messages but for counts and clocks; names what moved, where, and by how much."""
    assert len(got) == len(expected), f"expected {len(expected)} messages, got {len(got)}"
    for number, (left, right) in enumerate(zip(got, expected, strict=True)):
        for field in right._fields:
            if field in UNREPEATABLE:
                continue
            a, b = getattr(left, field), getattr(right, field)
            if isinstance(b, np.ndarray):
                assert a.shape == b.shape, f"message {number}: {field} has shape {a.shape}, expected {b.shape}"
                moved = np.abs(a - b).max(initial=0)
                assert np.array_equal(a, b.astype(a.dtype)), f"message {number}: {field} moved by {moved:.3g}"
            else:
                assert a == b, f"message {number}: {field} is {a}, expected {b}"


def frame_event(source: str, pixels: np.ndarray, episode: int = 0, seq: int = 0, **wrong: object) -> dict:
    """An INPUT event with a frame."""
    height, width, _ = pixels.shape
    metadata = {**frame_metadata(width, height, seq, episode, 0), **wrong}
    return {"type": "INPUT", "id": source, "value": pa.array(pixels.reshape(-1)), "metadata": metadata}
