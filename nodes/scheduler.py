"""Ask for chunks: sync where `chunk_done` is wired, async otherwise. When is decided in operators.schedule."""

from dora import Node

from nodes._wire import Wire, settings
from operators.messages import Turn
from operators.schedule import Scheduling
from operators.settings import Settings

INPUTS = {**Scheduling.INPUTS, "turn": Turn}


def main() -> None:
    config = settings()  # before Node(): a wrong variable ends the run before it begins
    run(Node(), config)


def run(node: Node, config: Settings) -> None:
    wire = Wire(node, "scheduler", INPUTS, config.lockstep)
    scheduling = Scheduling(config, sync="chunk_done" in wire.inputs)
    for _, message in wire.messages():
        ask = scheduling.receive(message)
        if ask:
            wire.send("request", *ask)


if __name__ == "__main__":
    main()
