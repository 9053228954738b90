"""One order for several topics: whatever arrives when, lost or sent again, each receiver takes it alike."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes import _ordered
from nodes._ordered import Ordered
from operators.edge import AGAIN
from operators.messages import Turn, pack
from operators.order import KEPT, Order, Trail

TOPICS = ("plan", "proprio", "frame_front", "chunk")


def turn(columns: tuple) -> Turn:
    first, topics, numbers, to = columns
    return Turn(0, 0, 0, first, topics, np.array(numbers), to)


def sent(names: list[str]) -> list[tuple[str, int, Turn]]:
    """What goes out: topic, number, and the turn after it."""
    trail, counts, out = Trail(), Counter[str](), []
    for name in names:
        out.append((name, counts[name], turn(trail.add(name, counts[name]))))
        counts[name] += 1
    return out


@given(st.lists(st.sampled_from(TOPICS), max_size=40), st.randoms(use_true_random=False), st.data())
def test_whatever_the_arrival_the_order_is_the_senders(names, chance, data):
    heard = set(data.draw(st.sets(st.sampled_from(TOPICS))))
    messages = sent(names)
    arrivals = [("message", m) for m in messages if m[0] in heard] + [("turn", m) for m in messages]
    chance.shuffle(arrivals)
    again = [*arrivals, *chance.sample(arrivals, len(arrivals) // 3)]  # some of it is sent twice
    order, taken = Order(heard), []
    for kind, (topic, number, said) in again:
        taken += order.turn(said) if kind == "turn" else order.hold(topic, number, (topic, number))
    assert taken == [(topic, number) for topic, number, _ in messages if topic in heard]


def test_a_lost_turn_is_made_up_for_by_the_next():
    messages, order, taken = sent(["plan"] * KEPT), Order({"plan"}), []
    for topic, number, _ in messages:
        taken += order.hold(topic, number, number)
    assert taken == [] and [*order.turn(messages[-1][2])] == list(range(KEPT))


def test_what_has_not_come_holds_back_what_follows():
    (plan, proprio), order = sent(["plan", "proprio"]), Order({"plan", "proprio"})
    assert [*order.turn(proprio[2])] == [] and [*order.hold("proprio", 0, "proprio")] == []
    assert [*order.hold("plan", 0, "plan")] == ["plan", "proprio"]
    assert [*order.hold(*plan[:2], "plan again")] == []


def test_a_message_can_be_each_receivers_turn_at_another_time():
    trail = Trail()
    turns = [turn(trail.add(*entry)) for entry in (("plan", 0, ""), ("plan", 1, "decoder"), ("chunk", 0, ""))]
    turns += [turn(trail.add("plan", 1, "scheduler")), turn(trail.add("plan", 3, "scheduler"))]
    taken = {name: [] for name in ("decoder", "scheduler", "policy")}
    for name, order in ((name, Order({"plan", "chunk"}, name)) for name in taken):
        held = [("plan", 0), ("plan", 1), ("plan", 2), ("chunk", 0), ("plan", 3)]
        taken[name] += [each for entry in held for each in order.hold(*entry, entry)]
        taken[name] += [each for said in turns for each in order.turn(said)]
    assert taken["decoder"] == [("plan", 0), ("plan", 1), ("chunk", 0)]
    assert taken["scheduler"] == [("plan", 0), ("chunk", 0), ("plan", 1), ("plan", 3)]  # 2 is nobody's turn
    assert taken["policy"] == [("plan", 0), ("chunk", 0)]


def event(source: str, **record: object) -> dict:
    return {"type": "INPUT", "id": source, "value": pa.array([record]), "metadata": {}}


def test_inputs_are_known_by_their_source_and_others_pass_at_once():
    wired = {
        "executed": "playback/plan",
        "turn": {"source": "playback/turn", "queue_size": 1},
        "other": "robot/proprio",
    }
    ordered = Ordered({"inputs": wired}, "decoder")
    assert [*ordered.take({"type": "STOP"})] == [{"type": "STOP"}]
    assert [*ordered.take(event("other", seq=5))] == [event("other", seq=5)]
    plan, ((_, _, said),) = event("executed", seq=0), sent(["plan"])
    assert [*ordered.take(plan)] == []
    assert [*ordered.take({"type": "INPUT", "id": "turn", "value": pack(said), "metadata": {}})] == [plan]


def test_a_bad_turn_is_left_to_the_edge():
    ordered = Ordered({"inputs": {"turn": "playback/turn"}}, "decoder")
    assert [*ordered.take(event("turn", seq=1))] == [event("turn", seq=1)]
    with pytest.raises(KeyError):
        Ordered({"inputs": {}}, "decoder")


class Sending:
    """A node that only sends."""

    def __init__(self):
        self.sent = []

    def send_output(self, output, array, metadata):
        self.sent.append((output, array.to_pylist(), metadata))


def test_a_turn_that_was_over_is_answered_with_the_newest_messages_again(monkeypatch):
    monkeypatch.setattr(_ordered, "PAUSE_NS", 0)
    node, ordered = Sending(), Ordered({"inputs": {"turn": "playback/turn", "plan": "playback/plan"}}, "decoder")
    (topic, number, said) = sent(["plan"])[0]
    turned = {"type": "INPUT", "id": "turn", "value": pack(said), "metadata": {}}
    message = {"type": "INPUT", "id": topic, "value": pa.array([{"seq": number}]), "metadata": {}}
    for each in range(9):
        ordered.sent("action_chunk", pa.array([each]))
    assert [*ordered.take(turned)] == []
    ordered.repeat(node)
    assert node.sent == []  # its turn is still to come
    assert [*ordered.take(message)] == [message]
    ordered.repeat(node)
    assert node.sent == [] and [*ordered.take(turned)] == []
    ordered.repeat(node)
    ordered.repeat(node)
    assert node.sent == [("action_chunk", [each], {AGAIN: True}) for each in range(9 - _ordered.KEPT, 9)]
