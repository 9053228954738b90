"""What the recording processes share: a file filled by a thread of its own, so that no sender waits for a disk."""

import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from recordings.drec.file import Writer, encode, pack_frame
from recordings.drec.messages import number

LIMIT = 256 << 20  # bytes that may wait for the disk; what comes on top is lost and counted


class Recording:
    """A recording under way. The first thing that goes wrong with the file ends it, and is told once.

    Args:
        tell: called with one line, possibly from the writing thread.
    """

    def __init__(self, path: Path, graph: str, compress: bool, tell: Callable[[str], None]):
        self.path, self._compress, self._tell = path, compress, tell
        self.written: Counter[str] = Counter()  # topic -> messages in the file
        self.lost: Counter[str] = Counter()  # topic -> messages that did not come, or found no place
        self.failed = ""
        self._seq: dict[str, int] = {}
        self._queue: SimpleQueue[tuple[str, str, int, bytes] | None] = SimpleQueue()
        self._waiting = 0
        self._begun = time.monotonic_ns()
        self._thread = Thread(target=self._write, args=(graph,), daemon=True)
        self._thread.start()

    def add(self, node: str, output: str, event: dict[str, Any]) -> None:
        """Take in one received message; its buffer is copied."""
        offset, topic = time.monotonic_ns() - self._begun, f"{node}/{output}"
        if self.failed:
            return
        array, about = event["value"], event["metadata"]
        self._count(topic, number(array, about))
        if self._compress:
            array, about = pack_frame(array, about)
        data = encode(node, output, array, about)
        if self._waiting + len(data) > LIMIT:
            self.lost[topic] += 1
            return
        self._waiting += len(data)
        self._queue.put((node, output, offset, data))

    def close(self) -> None:
        """Wait until everything is in the file."""
        self._queue.put(None)
        self._thread.join()

    def summary(self) -> str:
        kept, lost = sum(self.written.values()), sum(self.lost.values())
        return f"recorded {kept} messages of {len(self.written)} topics, {lost} lost, in {self.path}"

    def _count(self, topic: str, seq: int | None) -> None:
        """Notice gaps in the senders' own numbers, where they number."""
        if seq is not None:
            self.lost[topic] += max(0, seq - self._seq.get(topic, seq) - 1)
            self._seq[topic] = seq

    def _write(self, graph: str) -> None:
        writer = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            writer = Writer(self.path, graph)
            while item := self._queue.get():
                node, output, offset, data = item
                self._waiting -= len(data)
                try:
                    writer.write(node, output, offset, data)
                    self.written[f"{node}/{output}"] += 1
                except ValueError as error:  # larger than a record may be
                    self.lost[f"{node}/{output}"] += 1
                    self._tell(str(error))
            writer.close()
        except OSError as error:
            kept = writer.count if writer else 0
            self.failed = f"{self.path}: {os.strerror(error.errno or 0)}; recording ended after {kept} messages"
            self._tell(self.failed)
