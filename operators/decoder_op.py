"""The decoder as a dora operator: the same decisions as the node, from operators.chunks.decode."""

import os
import time

from dora import DoraStatus  # pyright: ignore[reportAttributeAccessIssue]

from models.registry import make_codec
from operators.chunks.decode import Decoding
from operators.edge import Edge
from operators.settings import parse


class Operator:
    def __init__(self):
        self.edge = Edge("decoder", Decoding.INPUTS)
        self.decoding = Decoding(parse(os.environ), make_codec)

    def on_event(self, dora_event, send_output) -> DoraStatus:
        message, clock = self.edge.receive(dora_event), time.monotonic_ns
        decoded = self.edge.attempt("chunk dropped", self.decoding.receive, message, clock)
        if decoded:
            send_output("action_chunk", self.edge.pack("action_chunk", clock(), *decoded))
        self.edge.send_faults(send_output, clock())
        return DoraStatus.STOP if self.edge.last else DoraStatus.CONTINUE
