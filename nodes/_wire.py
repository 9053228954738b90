"""A dora node with checked messages: what every process shares."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from dora import Node

from operators.actor import NodeFailed, Param, Recorded
from operators.edge import Edge
from operators.frame import frame_metadata
from operators.schema import pack
from operators.settings import Settings, parse

ROOT = Path(__file__).parents[1]
SHARED_MEMORY = Path("/dev/shm")
TRANSPORT = ROOT / "dataflows" / "zenoh.json5"
SHARED_MEMORY_NEEDED = 60 << 20  # of all processes together, at the default picture size

Found = tuple[str, Any]  # port, message


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
    """Reads, checks, numbers and stamps messages. Sending is safe from several threads.

    Attributes:
        open: False once the run is over: STOP, the last episode's end, or nobody left to start one.
    """

    def __init__(self, node: Node, name: str, inputs: dict[str, type]):
        self._node: Any = node  # its type stubs lack `drain` and `send_output_raw`
        self.name = name
        config = node.node_config()
        self.inputs = set(config.get("inputs") or inputs)
        self.outputs = set(config.get("outputs") or ["fault"])
        self.edge = Edge(name, inputs, run_ns=time.monotonic_ns())
        self.open = True
        self._lock = Lock()

    @property
    def episode(self) -> int:
        return self.edge.episode

    def next(self, timeout_s: float) -> Found | None:
        """Wait for the next message; None when there is none to use."""
        event = self._node.next(timeout_s)
        if event is None:
            self.open = False
            return None
        return self._read(event)

    def drain(self) -> Iterator[Found]:
        """Whatever has come, without waiting."""
        for event in self._node.drain():
            if found := self._read(event):
                yield found

    def send(self, message: Any) -> None:
        """Send one record; the header is filled in."""
        with self._lock:
            output, stamped = self.edge.stamped(message, time.monotonic_ns())
            self._node.send_output(output, pack(stamped))

    def send_recorded(self, recorded: Recorded) -> None:
        """Send a message of a recording as it is."""
        with self._lock:
            self._node.send_output(*recorded)

    def send_frame(self, output: str, pixels: np.ndarray, t_ns: int) -> None:
        """Send RGB pixels (h, w, 3) into shared memory with one copy."""
        height, width, _ = pixels.shape
        with self._lock:
            about = frame_metadata(width, height, self.edge.number(output), self.episode, t_ns, self.edge.run_ns)
            with self._node.send_output_raw(output, pixels.size, about) as buffer:
                np.frombuffer(buffer, np.uint8)[:] = pixels.reshape(-1)

    def fault(self, kind: str, detail: str) -> None:
        """Name something that went wrong."""
        self.edge.fault(kind, detail)
        self.send_faults()

    def send_faults(self) -> None:
        """What the edge has collected."""
        if "fault" in self.outputs:
            for fault in self.edge.taken_faults():
                self.send(fault)

    def _read(self, event: dict[str, Any]) -> Found | None:
        kind = event["type"]
        received = self.edge.receive(event)
        if kind == "STOP" or (kind == "INPUT_CLOSED" and event["id"] == "episode") or self.edge.last:
            self.open = False
        if kind == "NODE_FAILED":
            failed = NodeFailed(_failed_node(event))
            self.edge.fault("node failed", f"{failed.node} failed")
            received, event = failed, {**event, "id": "node_failed"}
        if kind == "PARAM_UPDATE":
            received, event = Param(event["id"], event["value"]), {**event, "id": "param"}
        self.send_faults()
        return None if received is None else (event["id"], received)


def _failed_node(event: dict[str, Any]) -> str:
    value = event.get("value")
    return str(value.get("source_node_id", "a node")) if isinstance(value, dict) else str(event.get("id", "a node"))
