"""Command one action per cycle. Which row is due is decided in motion.plan, what may be sent in motion.limits."""

import sys

from dora import Node

from models.stored import read_head
from nodes._stage import EXECUTOR, serve
from nodes._wire import settings
from operators.actors.executing import Executing
from operators.settings import Settings
from robots import read_robot

INPUTS = Executing.INPUTS


def main() -> None:
    config = settings()
    run(Node(), config)


def run(node: Node, config: Settings) -> None:
    try:
        corrects = "features" in node.node_config()["inputs"]  # this edge makes it A2C2
        head = read_head(config.policy) if corrects else None
        executing = Executing(config, read_robot(config.robot_model).envelope, head)
    except ValueError as error:
        sys.exit(str(error))
    serve("executor", executing, node, EXECUTOR, steady=True)


if __name__ == "__main__":
    main()
