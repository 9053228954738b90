"""Ask for chunks: sync where `chunk_done` is wired, async otherwise. When is decided in operators.actors.scheduling."""

from dora import Node

from nodes._wire import Wire, settings
from operators.actors.scheduling import Scheduling
from operators.settings import Settings

INPUTS = Scheduling.INPUTS


def main() -> None:
    config = settings()  # before Node(): a wrong variable ends the run before it begins
    run(Node(), config)


def run(node: Node, config: Settings) -> None:
    wire = Wire(node, "scheduler", INPUTS)
    scheduling = Scheduling(config, sync="chunk_done" in wire.inputs)
    for _, message in wire.messages():
        ask = scheduling.receive(message)
        if ask:
            wire.send("request", *ask)


if __name__ == "__main__":
    main()
