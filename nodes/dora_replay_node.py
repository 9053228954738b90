"""What `dora replay` puts in the place of a recorded node: sends again what that node sent. For any dataflow."""

import os
import sys
import time
from pathlib import Path
from typing import Any

from dora import Node

from recordings.drec.file import Damage, Reader, nearest


def main() -> None:
    sys.exit(run(Node(), dict(os.environ)))


def run(node: Node, environ: dict[str, str]) -> int:
    """Send the recorded outputs of DORA_REPLAY_NODE at their times; 1 when there is nothing of it to send."""
    path, name = Path(environ.get("DORA_REPLAY_FILE", "")), environ.get("DORA_REPLAY_NODE", "")
    try:
        speed = float(environ.get("DORA_REPLAY_SPEED", "1"))
        if not 0 <= speed < float("inf"):
            raise ValueError(f"DORA_REPLAY_SPEED: expected a number from 0 up, got {speed}")
        again = environ.get("DORA_REPLAY_LOOP") in ("true", "1")
        while True:
            with Reader(path) as reader:
                sent, stopped = replay(node, reader, name, speed)
            for line in reader.damage:
                print(line, flush=True)
            if stopped or not sent or not again:
                break
    except (OSError, Damage, ValueError) as error:
        print(f"dora-replay-node: {error}", flush=True)
        return 1
    print(f"sent {sent} messages of {name} again", flush=True)
    return 0 if sent or stopped else 1


def replay(node: Any, reader: Reader, name: str, speed: float) -> tuple[int, bool]:
    """One pass; (messages sent, whether the dataflow was stopped)."""
    begun, sent, others = time.monotonic_ns(), 0, set[str]()
    for record in reader:
        if record.node != name:
            others.add(record.node)
            continue
        due = begun + record.offset_ns / speed if speed else 0
        while True:
            left = (due - time.monotonic_ns()) / 1e9
            event = node.next(left) if left > 0 else node.try_recv()
            if (event is None and left > 0) or (event or {}).get("type") == "STOP":
                return sent, True
            if left <= 0:
                break
        message = reader.message(record)
        if message:
            node.send_output(record.output, message.array, message.metadata)
            sent += 1
    if not sent and not reader.damage:
        raise ValueError(f"{reader.name}: expected messages of {name!r}, got those of {nearest(name, [*others])}")
    return sent, False


if __name__ == "__main__":
    main()
