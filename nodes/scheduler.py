"""Ask for chunks: sync where `chunk_done` is wired, async otherwise. When is decided in operators.actors.scheduling."""

from dora import Node

from nodes._stage import serve
from nodes._wire import settings
from operators.actors.scheduling import Scheduling
from operators.settings import Settings

INPUTS = Scheduling.INPUTS


def main() -> None:
    config = settings()  # before Node(): a wrong variable ends the run before it begins
    run(Node(), config)


def run(node: Node, config: Settings) -> None:
    serve("scheduler", Scheduling(config, sync="chunk_done" in node.node_config()["inputs"]), node)


if __name__ == "__main__":
    main()
