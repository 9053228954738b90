"""Turn a policy's chunk into absolute rows; with `executed` wired, refine them against what the robot did meanwhile."""

import os
import sys
import time

from dora import Node

from models.registry import make_codec
from nodes._clock import DECODER, realtime
from nodes._wire import Wire, settings
from operators.chunks.decode import Decoding

INPUTS = Decoding.INPUTS


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a codec is small, and threads of it would wait for each other
    config = settings()
    try:
        decoding = Decoding(config, make_codec)  # before Node(): loading takes seconds in which nothing would be read
    except ValueError as error:
        sys.exit(str(error))
    run(Node(), decoding)


def run(node: Node, decoding: Decoding) -> None:
    wire = Wire(node, "decoder", INPUTS)
    realtime(DECODER)  # a late hand-over is a wider seam
    for _, message in wire.messages():
        decoded = wire.attempt("chunk dropped", decoding.receive, message, time.monotonic_ns)
        if decoded:
            wire.send("action_chunk", *decoded)


if __name__ == "__main__":
    main()
