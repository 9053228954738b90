"""Each process gets the recorded messages of an episode and must send, bit by bit, what was recorded."""

from unittest.mock import patch

import numpy as np
import pytest

from models.registry import make_codec, make_policy
from nodes import decoder, executor, policy, scheduler
from operators.actor import Done
from operators.actors.decoding import Decoding
from operators.actors.inferring import Inferring
from operators.decoder_op import Operator as DecoderOperator
from operators.messages import Fault
from operators.scheduler_op import Operator as SchedulerOperator
from operators.schema import pack
from operators.settings import Settings
from tests.acting import gave
from tests.replay import EXPERT, Inline, assert_same, episode_messages, events, replay_node, sent, told

EXECUTOR = {"episode": "episode", "proprio": "proprio", "request": "request", "action_chunk": "action_chunk"}
SCHEDULER = {"episode": "episode", "plan": "plan", "action_chunk": "action_chunk"}
DECODER = {"episode": "episode", "plan": "executed", "chunk": "chunk"}


def replayed(run, messages, inputs, config=None, wired=None):
    node = replay_node(events(messages, inputs), node_config={"inputs": dict.fromkeys(wired or inputs.values(), "")})
    run(node, config or Settings(**EXPERT))
    return node


def operated(operator, messages, inputs):
    node = replay_node([])
    for source, array in events(messages, inputs):
        operator.on_event({"type": "INPUT", "id": source, "value": array, "metadata": {}}, node.send_output)
    return node


def decode(node, config):
    decoder.run(node, Decoding(config, make_codec))


@pytest.mark.parametrize("mode", ["sync", "async_naive", "async_rtr"])
def test_executor(mode):
    messages = episode_messages(mode)
    node = replayed(executor.run, messages, EXECUTOR, Settings(clock="rig"))
    assert_same(sent(node, "command"), told(messages, "command"))
    assert_same(sent(node, "plan"), told(messages, "plan"))
    assert_same(sent(node, "chunk_done"), told(messages, "chunk_done"))


@pytest.mark.parametrize("mode", ["async_naive", "async_rtr"])
def test_scheduler_asks_by_itself_while_the_robot_moves(mode):
    messages = episode_messages(mode)
    assert_same(sent(replayed(scheduler.run, messages, SCHEDULER), "request"), told(messages, "request"))


def test_scheduler_waits_for_chunk_done_where_it_is_wired():
    messages = episode_messages("sync")
    inputs = {**SCHEDULER, "chunk_done": "chunk_done"}
    assert_same(sent(replayed(scheduler.run, messages, inputs), "request"), told(messages, "request"))


def test_decoder_refines_where_executed_is_wired():
    messages = episode_messages("async_rtr")
    assert_same(sent(replayed(decode, messages, DECODER), "action_chunk"), told(messages, "action_chunk"))


def test_decoder_only_decodes_where_it_is_not():
    messages = episode_messages("async_naive")
    inputs = {"episode": "episode", "chunk": "chunk"}
    assert_same(sent(replayed(decode, messages, inputs), "action_chunk"), told(messages, "action_chunk"))


def test_operators_command_the_robot_exactly_as_nodes_do(monkeypatch):
    monkeypatch.setenv("CODEC", EXPERT["codec"])
    messages = episode_messages("async_rtr")
    chunks = sent(operated(DecoderOperator(), messages, DECODER), "action_chunk")
    assert_same(sent(operated(SchedulerOperator(), messages, SCHEDULER), "request"), told(messages, "request"))
    assert_same(chunks, told(messages, "action_chunk"))
    fed = [("action_chunk", chunks.pop(0)) if topic == "action_chunk" else (topic, m) for topic, m in messages]
    node = replayed(executor.run, fed, EXECUTOR, Settings(clock="rig"))
    assert_same(sent(node, "command"), told(messages, "command"))


def answered(inputs, config):
    """The chunks of a policy that receives these messages, each through its input, and has no others."""
    arrays, wired = [(source, pack(message)) for source, message in inputs.items()], dict.fromkeys(inputs, "")
    node = replay_node(arrays, node_config={"inputs": wired})
    with patch("nodes._stage.worker_thread", Inline):
        policy.run(node, config, make_policy(config))
    return sent(node, "chunk")


def test_policy_answers_a_request_with_the_expert_chunk():
    messages = episode_messages("async_rtr")
    episode, request, chunk = (told(messages, topic)[0] for topic in ("episode", "request", "chunk"))
    seen = next(state for state in told(messages, "proprio") if state.seq == chunk.observed)
    inputs = {"episode": episode, "proprio": seen, "request": request}
    assert_same(answered(inputs, Settings(**EXPERT, latency_ms=0)), [chunk])


@pytest.mark.parametrize("asked_ns", [0, 10**18])
def test_the_emulated_latency_counts_from_the_start_of_inference_whatever_a_stamp_says(asked_ns):
    messages = episode_messages("async_rtr")
    episode, request, seen = (told(messages, topic)[0] for topic in ("episode", "request", "proprio"))
    config = Settings(**EXPERT, latency_ms=60)
    actor = Inferring(config, make_policy(config))
    assert gave(actor, episode) == gave(actor, seen) == []
    [work] = gave(actor, request._replace(t_ns=asked_ns))
    assert gave(actor, Done(work.call(), 5_000_000, 12.5), work.port, 17_500_000) == []
    assert actor.wake_ns == 65_000_000  # 60 ms after the start of inference
    [chunk] = actor.wake(actor.wake_ns)
    assert (chunk.exposed_ns, chunk.begun_ns, chunk.inference_ms) == (seen.t_ns, 5_000_000, 12.5)
    assert actor.wake_ns is None


def test_a_chunk_of_an_episode_that_is_over_is_not_sent():
    messages = episode_messages("async_rtr")
    episode, request, seen = (told(messages, topic)[0] for topic in ("episode", "request", "proprio"))
    actor = Inferring(Settings(**EXPERT, latency_ms=60), make_policy(Settings(**EXPERT)))
    [work] = [output for message in (episode, seen, request) for output in gave(actor, message)]
    done = Done(work.call(), 0, 1.0)
    assert gave(actor, episode._replace(phase="end")) == []
    assert gave(actor, done, work.port, 10**9) == [] and actor.wake_ns is None


@pytest.mark.parametrize("guide", ["rtc", "vlash"])
def test_policy_continues_the_plan_where_executed_is_wired(guide):
    settings = {"policy": "expert_flow", "guide": guide}
    messages = episode_messages("async_rtc", **settings)
    request = told(messages, "request")[3]
    asked = next(i for i, (_, message) in enumerate(messages) if message is request)
    plan = told(messages[:asked], "plan")[-1]
    seen = next(s for s in told(messages, "proprio") if s.seq == told(messages, "chunk")[3].observed)
    inputs = {"episode": told(messages, "episode")[0], "proprio": seen, "executed": plan, "request": request}
    config = Settings(**{**EXPERT, "latency_ms": 0, **settings})

    assert_same(answered(inputs, config), told(messages, "chunk")[3:4])
    (alone,) = answered({source: message for source, message in inputs.items() if source != "executed"}, config)
    assert not np.array_equal(alone.values, told(messages, "chunk")[3].values)


def test_policy_that_cannot_be_guided_ends_at_once_and_says_why():
    node = replay_node([], node_config={"inputs": {"executed": "", "request": ""}})
    with pytest.raises(SystemExit, match=r"GUIDE=rtc: .* expert can be guided by vlash"):
        policy.run(node, Settings(**EXPERT), make_policy(Settings(**EXPERT)))


def faults(node) -> list[tuple[str, int]]:
    return [(fault.kind, fault.times) for fault in sent(node, "fault") if isinstance(fault, Fault)]


def spoiled(messages, spoil):
    """The episode with its third chunk replaced by what `spoil` makes of it."""
    third = told(messages, "action_chunk")[2]
    out = []
    for topic, message in messages:
        out.extend(spoil(message) if message is third else [(topic, message)])
    return out


BAD_CHUNKS = {
    "NaN": (lambda c: [("action_chunk", c._replace(action=c.action * np.nan))], "action_chunk not finite"),
    "duplicate": (lambda c: [("action_chunk", c), ("action_chunk", c)], "action_chunk duplicate"),
    "old chunk": (lambda c: [("action_chunk", c._replace(chunk_id=0))], "action_chunk refused"),
    "late": (lambda c: [("action_chunk", c._replace(tick=c.tick - 900))], "action_chunk refused"),
    "gap": (lambda c: [("action_chunk", c._replace(tick=c.tick + 900))], "action_chunk refused"),
    "foreign episode": (lambda c: [("action_chunk", c._replace(episode=7))], "action_chunk episode"),
    "no rotation": (lambda c: [("action_chunk", c._replace(action=c.action * 0 + 0.3))], "action_chunk refused"),
    "wrong topic": (lambda c: [("request", c)], "request schema"),
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_a_bad_chunk_is_dropped_and_named_and_the_robot_unmoved_by_it(name):
    spoil, kind = BAD_CHUNKS[name]
    messages = [m for m in episode_messages("async_rtr") if m[0] != "request"]  # so that nothing paces the feed
    node = replayed(executor.run, spoiled(messages, spoil), EXECUTOR, Settings(clock="rig"))
    kept = spoiled(messages, lambda chunk: [(t, m) for t, m in spoil(chunk) if m is chunk])
    clean = replayed(executor.run, kept, EXECUTOR, Settings(clock="rig"))
    assert (kind, 1) in faults(node)
    assert_same(sent(node, "command"), sent(clean, "command"))
