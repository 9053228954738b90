"""The scheduler as a dora operator, async only: the same decisions as the node, from operators.actors.scheduling."""

import os
import time

from dora import DoraStatus  # pyright: ignore[reportAttributeAccessIssue]

from operators.actors.scheduling import Scheduling
from operators.edge import Edge
from operators.settings import parse


class Operator:
    def __init__(self):
        self.edge = Edge("scheduler", Scheduling.INPUTS)
        self.scheduling = Scheduling(parse(os.environ), sync=False)

    def on_event(self, dora_event, send_output) -> DoraStatus:
        ask = self.scheduling.receive(self.edge.receive(dora_event))
        if ask:
            send_output("request", self.edge.pack("request", time.monotonic_ns(), *ask))
        self.edge.send_faults(send_output, time.monotonic_ns())
        return DoraStatus.STOP if self.edge.last else DoraStatus.CONTINUE
