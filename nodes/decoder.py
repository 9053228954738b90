"""Turn a policy's chunk into absolute rows; with `executed` wired, refine them against what the robot did meanwhile."""

import time

from dora import Node

from models.registry import make_codec
from nodes._clock import DECODER, realtime
from nodes._wire import Wire, settings
from operators.decode import Decoding
from operators.settings import Settings

INPUTS = Decoding.INPUTS


def main() -> None:
    config = settings()  # before Node(): a wrong variable ends the run before it begins
    run(Node(), config)


def run(node: Node, config: Settings) -> None:
    wire = Wire(node, "decoder", INPUTS)
    decoding = Decoding(config, make_codec)
    realtime(DECODER)  # a late hand-over is a wider seam
    for _, message in wire.messages():
        decoded = wire.attempt("chunk dropped", decoding.receive, message, time.monotonic_ns)
        if decoded:
            wire.send("action_chunk", *decoded)


if __name__ == "__main__":
    main()
