"""A dora node with checked messages: what every process shares."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from dora import Node

from operators.edge import Edge
from operators.frame import frame_metadata
from operators.settings import Settings, parse

ROOT = Path(__file__).parents[1]
SHARED_MEMORY = Path("/dev/shm")
TRANSPORT = ROOT / "dataflows" / "zenoh.json5"
SHARED_MEMORY_NEEDED = 60 << 20  # of all processes together, at the default picture size


def settings() -> Settings:
    """The environment's settings, relative paths from the repository root; a wrong one ends the process in one line."""
    try:
        config = parse(os.environ)
    except ValueError as error:
        sys.exit(str(error))
    if SHARED_MEMORY.exists() and shutil.disk_usage(SHARED_MEMORY).total < SHARED_MEMORY_NEEDED:
        sys.exit(f"{SHARED_MEMORY}: expected 60 MB or more; in Docker, start the container with --shm-size=256m")
    if "ZENOH_CONFIG" not in os.environ:  # dora refuses both
        os.environ.setdefault("DORA_ZENOH_CONFIG_OVERLAY", str(TRANSPORT))
    return replace(config, out=str(ROOT / config.out), replay=config.replay and str(ROOT / config.replay))


class Wire:
    """Reads, checks and numbers messages. Sending is safe from several threads.

    Attributes:
        open: False once the run is over: STOP, the last episode's end, or nobody left to start one.
        failed: nodes that dora reported as failed.
    """

    def __init__(self, node: Node, name: str, inputs: dict[str, type]):
        self._node: Any = node  # its type stubs lack `drain` and `send_output_raw`
        self.name = name
        config = node.node_config()
        self.inputs = set(config.get("inputs") or inputs)
        self.outputs = set(config.get("outputs") or ["fault"])
        self.edge = Edge(name, inputs)
        self.open = True
        self.failed: list[str] = []
        self._lock = Lock()

    @property
    def episode(self) -> int:
        return self.edge.episode

    def messages(self, timeout: float = 0.1) -> Iterator[tuple[str, Any]]:
        """Wait for messages until the run is over; (input, message), every `timeout` seconds at least ("", None)."""
        while self.open:
            event = self._node.next(timeout)
            if event is None:
                self._close()
                yield "", None
                continue
            yield self._read(event) or ("", None)

    def drain(self) -> Iterator[tuple[str, Any]]:
        """Whatever has come, without waiting."""
        for event in self._node.drain():
            received = self._read(event)
            if received:
                yield received

    def send(self, output: str, *columns: Any, t_ns: int | None = None) -> None:
        """Send one record; `seq, episode, t_ns` are put in front of the columns."""
        stamp = time.monotonic_ns() if t_ns is None else t_ns
        with self._lock:
            self._node.send_output(output, self.edge.pack(output, stamp, *columns))

    def send_frame(self, output: str, pixels: np.ndarray, t_ns: int) -> None:
        """Send RGB pixels (h, w, 3) into shared memory with one copy."""
        height, width, _ = pixels.shape
        with self._lock:
            about = frame_metadata(width, height, self.edge.number(output), self.episode, t_ns)
            with self._node.send_output_raw(output, pixels.size, about) as buffer:
                np.frombuffer(buffer, np.uint8)[:] = pixels.reshape(-1)

    def fault(self, kind: str, detail: str) -> None:
        """Name something that went wrong."""
        self.edge.fault(kind, detail)
        self._send_faults()

    def stats(self, values: dict[str, float]) -> None:
        self.send("stats", self.name, list(values), np.array(list(values.values()), float))

    def attempt(self, kind: str, decide: Callable[..., Any], *arguments: Any) -> Any | None:
        """`decide(*arguments)`, or None and a fault of this kind where it refuses with a ValueError."""
        decided = self.edge.attempt(kind, decide, *arguments)
        self._send_faults()
        return decided

    def _read(self, event: dict[str, Any]) -> tuple[str, Any] | None:
        kind = event["type"]
        received = self.edge.receive(event)
        self._send_faults()
        if kind == "STOP" or (kind == "INPUT_CLOSED" and event["id"] == "episode") or self.edge.last:
            self.open = False
        if kind == "NODE_FAILED":
            self.failed.append(_failed_node(event))
            self.fault("node failed", f"{self.failed[-1]} failed")
        return None if received is None else (event["id"], received)

    def _close(self) -> None:
        self.open = False

    def _send_faults(self) -> None:
        if "fault" in self.outputs and self.edge.faults:
            with self._lock:
                self.edge.send_faults(self._node.send_output, time.monotonic_ns())


def _failed_node(event: dict[str, Any]) -> str:
    value = event.get("value")
    return str(value.get("source_node_id", "a node")) if isinstance(value, dict) else str(event.get("id", "a node"))
