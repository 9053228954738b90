"""Writes what it is wired to into the file RECORD names; without RECORD it leaves at once."""

import json
import sys

from dora import Node

from nodes._wire import ROOT, Wire, settings
from operators.frame import Frame
from operators.messages import TOPICS, Episode, Fault
from operators.settings import Settings
from operators.wiring import sources
from recordings.drec.background import Recording

INPUTS = {
    "frame_*": Frame,
    "*_fault": Fault,
    **{name: topic.message for name, topic in TOPICS.items() if topic.recorded},
}


def main() -> None:
    config = settings()
    sys.exit(run(Node(), config) or 0)


def run(node: Node, config: Settings) -> str:
    """Record until the dataflow ends; what went wrong with the file, or nothing."""
    if not config.record:
        return ""
    wire = Wire(node, "recorder", {"episode": Episode})
    wired = sources(node.node_config()["inputs"])

    def tell(line: str) -> None:
        print(line, flush=True)
        wire.fault("not recorded", line)

    about = node.dataflow_descriptor()
    told = {name.upper(): str(value) for name, value in vars(config).items()}  # a graph lists few of its variables
    graph = json.dumps({**about, "env": (about.get("env") or {}) | told}, default=str)  # JSON is YAML
    recording = Recording(ROOT / config.record, graph, config.record_frames == "zstd", tell)
    while (event := node.next(1.0)) is not None and event["type"] != "STOP":
        if event["type"] == "INPUT" and event["id"] in wired:
            recording.add(*wired[event["id"]], event)
        wire.edge.receive(event)
    recording.close()
    print(recording.summary(), flush=True)
    return recording.failed


if __name__ == "__main__":
    main()
