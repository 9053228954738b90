"""An actor as a dora operator: the same decisions as in a node of its own. For actors without beat and long work."""

import time
from typing import Any

from dora import DoraStatus  # pyright: ignore[reportAttributeAccessIssue]

from operators.actor import Actor
from operators.edge import Edge
from operators.schema import pack


class ActorOperator:
    """What dora calls for each event."""

    def __init__(self, name: str, actor: Actor):
        self._edge, self._actor = Edge(name, dict(actor.INPUTS), run_ns=time.monotonic_ns()), actor

    def on_event(self, dora_event: dict[str, Any], send_output: Any) -> DoraStatus:
        received, now_ns = self._edge.receive(dora_event), time.monotonic_ns()
        port = dora_event.get("id", "")
        outputs = [] if received is None else [*self._outputs(port, received, now_ns)]
        for message in [*outputs, *self._edge.taken_faults()]:
            output, stamped = self._edge.stamped(message, time.monotonic_ns())
            send_output(output, pack(stamped))
        return DoraStatus.STOP if self._edge.last else DoraStatus.CONTINUE

    def _outputs(self, port: str, received: Any, now_ns: int) -> Any:
        return self._edge.outcome(port, lambda: self._actor.receive(port, received, now_ns))
