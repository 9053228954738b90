"""Turn a policy's chunk into absolute rows; with `executed` wired, refine them against what the robot did meanwhile."""

import os
import sys
import time

from dora import Node

from models.registry import make_codec
from nodes._stage import DECODER, serve
from nodes._wire import settings
from operators.actors.decoding import Decoding

INPUTS = Decoding.INPUTS


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a codec is small, and threads of it would wait for each other
    config = settings()
    try:  # before Node(): loading takes seconds in which nothing would be read
        decoding = Decoding(config, make_codec, time.monotonic_ns)
    except ValueError as error:
        sys.exit(str(error))
    run(Node(), decoding)


def run(node: Node, decoding: Decoding) -> None:
    serve("decoder", decoding, node, DECODER)  # a late hand-over is a wider seam


if __name__ == "__main__":
    main()
