"""What `dora record` puts into a dataflow: writes the topics it asks for into a `.drec` file. For any dataflow."""

import json
import os
import sys
from pathlib import Path

from dora import Node

from operators.wiring import sources
from recordings.drec.background import Recording


def main() -> None:
    sys.exit(run(Node(), dict(os.environ)))


def run(node: Node, environ: dict[str, str]) -> int:
    """Record until the dataflow ends; 1 when the file could not be written to its end."""
    try:
        path, told = Path(environ["DORA_RECORD_FILE"]), json.loads(environ["DORA_RECORD_TOPICS"])
        topics = sources(told)
    except (KeyError, IndexError, ValueError, AttributeError, TypeError) as error:
        print(f"dora-record-node is started by `dora record`, with DORA_RECORD_FILE and DORA_RECORD_TOPICS: {error}")
        return 1
    compress = environ.get("RECORD_FRAMES") == "zstd"
    graph = environ.get("DORA_RECORD_DESCRIPTOR", "")
    recording = Recording(path, graph, compress, lambda line: print(line, flush=True))
    while (event := node.next(1.0)) is not None and event["type"] != "STOP":
        if event["type"] == "INPUT" and event["id"] in topics:
            recording.add(*topics[event["id"]], event)
    recording.close()
    print(recording.summary(), flush=True)
    return 1 if recording.failed else 0


if __name__ == "__main__":
    main()
