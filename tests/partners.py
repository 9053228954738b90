"""What the other processes of playback.yml do, all in one mocked node: they take their inputs as its turns say."""

from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nodes import playback
from operators.execution import Execution
from operators.join import JOINS
from operators.messages import (
    TOPICS,
    ActionChunk,
    Chunk,
    Command,
    Episode,
    Proprio,
    Request,
    Turn,
    pack,
    unpack,
)
from operators.order import Order
from operators.plan import RefusedChunk
from operators.schedule import Scheduling
from operators.settings import Settings
from tests.replay import Mock, told


class Partners(Mock):
    """What the other processes do, all in one, each taking its inputs in its turn.

    Executor, scheduler and decoder are those of the graphs, the policy is given.

    Args:
        answer: request and newest measurement -> chunk, or None for none.
        decoding: request -> its `action_chunk`.
    """

    HEARD = (
        ("executor", {"proprio", "request", "action_chunk"}),
        ("scheduler", {"plan", "chunk_done"}),
        ("policy", {"proprio", "request"}),
        ("decoder", {"plan", "chunk"}),
    )

    def __init__(self, start: Episode, answer: Callable, decode: Callable, config: Settings, sync: bool = False):
        wired = {name: f"other/{name}" for name in (*playback.INPUTS,) if sync or name != "chunk_done"}
        super().__init__([], node_config={"inputs": wired})
        self.queue, self.answer, self.decode = deque[tuple[str, tuple]]([("episode", start)]), answer, decode
        self.execution, self.scheduling = Execution(JOINS["newest"], 0.4), Scheduling(config, sync)
        self.orders = {name: Order(topics, name) for name, topics in self.HEARD}
        self.newest: Proprio | None = None
        self.commands: list[Command] = []
        self.counts = Counter[str]()

    def next(self, timeout=None):
        if not self.queue:
            return None
        source, message = self.queue.popleft()
        return {"type": "INPUT", "id": source, "value": pack(message), "metadata": {}}

    def tell(self, topic: str, *columns: Any) -> None:
        self.queue.append((topic, TOPICS[topic].message(self.counts[topic], 0, 0, *columns)))
        self.counts[topic] += 1

    def send_output(self, output_id, data, metadata=None):
        super().send_output(output_id, data, metadata)
        if output_id not in TOPICS:
            return
        message = unpack(TOPICS[output_id].message, data)
        for name, order in self.orders.items():
            if not self.reaches(name):
                continue
            taken = order.turn(message) if isinstance(message, Turn) else order.hold(output_id, message.seq, message)
            for each in taken:
                getattr(self, name)(each)

    def reaches(self, name: str) -> bool:
        """Whether a message or turn comes to a process."""
        return True

    def scheduler(self, message):
        if ask := self.scheduling.receive(message):
            self.tell("request", *ask)

    def policy(self, message):
        if isinstance(message, Proprio):
            self.newest = message
        elif chunk := self.answer(message, self.newest):
            self.queue.append(("chunk", chunk))

    def decoder(self, message):
        if decoded := self.decode(message):
            self.queue.append(("action_chunk", decoded))

    def executor(self, message):
        if isinstance(message, Request):
            self.execution.requested(message)
        elif isinstance(message, ActionChunk):
            with suppress(RefusedChunk):
                self.execution.chunk(message)
        else:
            self.execution.measured(message)
            self._cycle(message)

    def _cycle(self, message):
        done = self.execution.cycle()
        assert done is not None
        head, due, plan = (message.seq, 0, message.t_ns), done.due, done.plan
        about = due.tick, due.state, due.planned, done.action, done.clamped, due.chunk_id
        self.commands.append(Command(*head, message.cycle, *about))
        self.tell("plan", message.cycle, *done.told())
        if plan.stood and not len(plan.planned):
            self.tell("chunk_done", plan.newest_chunk, plan.stood)


def as_recorded(messages: list, sync: bool = False) -> Partners:
    """Partners whose policy and decoder answer as they did."""
    answers = {topic: {m.chunk_id: m for m in told(messages, topic)} for topic in ("chunk", "action_chunk")}

    def decode(message):
        return answers["action_chunk"].get(message.chunk_id) if isinstance(message, Chunk) else None

    def answer(request, _):
        return answers["chunk"].get(request.chunk_id)

    return Partners(told(messages, "episode")[0], answer, decode, Settings(), sync)
