"""Recording and playing back: the processes with mocked nodes, and the commands a user types."""

import json
import random
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from nodes import _relay, _waiting, dora_record_node, dora_replay_node, playback, recorder
from nodes._pictures import Pictures
from nodes._recording import Recording
from nodes._wire import Wire
from operators.edge import AGAIN
from operators.messages import Chunk, Command, Plan, pack, unpack
from operators.settings import Settings
from recordings.drec import Damage, Reader, Writer, encode
from recordings.survey import survey
from recordings.timeline import NEVER, Course, read_timeline
from tests.graphs import ROOT, run
from tests.live import PARTS, SETTINGS, START, Live, answer, decoder
from tests.partners import Partners, as_recorded
from tests.replay import EXPERT, Mock, assert_same, episode_messages, frame_event, replay_node, sent, told

NODES = {"proprio": "robot", "plan": "executor", "command": "executor", "chunk_done": "executor"}
NODES |= {"request": "scheduler", "chunk": "policy", "action_chunk": "decoder", "episode": "evaluator"}


def record(path: Path, messages: list, leave_out: tuple = ()) -> Path:
    writer = Writer(path, "nodes: []")
    for number, (topic, message) in enumerate(messages):
        if topic in NODES and topic not in leave_out:
            writer.write(NODES[topic], topic, number, encode(NODES[topic], topic, pack(message), {}))
    writer.close()
    return path


def content(path: Path) -> tuple[list[str], list, list[str]]:
    with Reader(path) as reader:
        records = list(reader)
        return [r.topic for r in records], [reader.message(r) for r in records], reader.damage


def inputs() -> list:
    first = told(episode_messages("async_rtr"), "proprio")[:3]
    pixels = np.arange(4 * 3 * 3, dtype=np.uint8).reshape(3, 4, 3)
    return [frame_event("front", pixels), *(("proprio", pack(message)) for message in first)]


@pytest.mark.parametrize("frames", ["raw", "zstd"])
def test_dora_record_node_keeps_what_it_receives(tmp_path, frames, capsys):
    path = tmp_path / "x.drec"
    topics = {"front": "camera_front/frame_front", "proprio": "robot/proprio"}
    environ = {"DORA_RECORD_FILE": str(path), "DORA_RECORD_TOPICS": json.dumps(topics), "RECORD_FRAMES": frames}
    assert dora_record_node.run(replay_node(inputs()), environ) == 0
    names, messages, damage = content(path)
    assert names == ["camera_front/frame_front", *["robot/proprio"] * 3] and damage == []
    assert messages[0].array.to_pylist() == list(range(36)) and messages[0].metadata["encoding"] == "rgb8"
    assert [message.array.field("seq")[0].as_py() for message in messages[1:]] == [0, 1, 2]
    assert "recorded 4 messages of 2 topics, 0 lost" in capsys.readouterr().out


def test_dora_record_node_says_how_it_is_started(capsys):
    assert dora_record_node.run(replay_node([]), {"DORA_RECORD_FILE": "x"}) == 1
    assert "DORA_RECORD_TOPICS" in capsys.readouterr().out


def test_dora_replay_node_sends_what_its_node_sent(tmp_path):
    path = record(tmp_path / "x.drec", episode_messages("async_rtr")[:60])
    node = replay_node([{"type": "ERROR"}] * 1000)
    environ = {"DORA_REPLAY_FILE": str(path), "DORA_REPLAY_NODE": "executor", "DORA_REPLAY_SPEED": "0"}
    assert dora_replay_node.run(node, environ) == 0
    assert_same(sent(node, "plan"), told(episode_messages("async_rtr")[:60], "plan"))
    assert "proprio" not in node.outputs


def test_dora_replay_node_names_the_nearest_node(tmp_path, capsys):
    path = record(tmp_path / "x.drec", episode_messages("async_rtr")[:60])
    assert dora_replay_node.run(replay_node([]), {"DORA_REPLAY_FILE": str(path), "DORA_REPLAY_NODE": "robt"}) == 1
    said = capsys.readouterr().out
    assert "got those of decoder, evaluator, executor, policy, robot, scheduler; nearest is robot\n" in said
    assert said.count("\n") == 1
    assert dora_replay_node.run(replay_node([]), {"DORA_REPLAY_FILE": str(tmp_path / "none")}) == 1


def test_recorder_is_gone_at_once_without_record():
    node = replay_node([])
    assert recorder.run(node, Settings()) == "" and node.outputs == {}


def test_recorder_keeps_bad_messages_too_and_counts_what_is_missing(tmp_path, capsys):
    path, wired = tmp_path / "x.drec", {"proprio": {"source": "robot/proprio", "queue_size": 1}}
    events = [*inputs()[1:2], *inputs()[3:], ("proprio", pa.array(["nonsense"]))]
    node = replay_node(events, node_config={"inputs": wired}, dataflow_descriptor={"nodes": [{"id": "robot"}]})
    assert recorder.run(node, Settings(record=str(path))) == ""
    assert len(content(path)[0]) == 3 and "recorded 3 messages of 1 topics, 1 lost" in capsys.readouterr().out
    with Reader(path) as reader:
        assert json.loads(reader.header.descriptor) == {"nodes": [{"id": "robot"}]}


def test_recorder_tells_once_that_it_cannot_write(tmp_path):
    (tmp_path / "file").write_text("")
    wired = {"proprio": "robot/proprio", "episode": "evaluator/episode"}
    node = replay_node(inputs()[1:] * 3, node_config={"inputs": wired})
    said = recorder.run(node, Settings(record=str(tmp_path / "file" / "x.drec")))
    assert "x.drec: " in said and "recording ended after 0 messages" in said
    assert [fault.kind for fault in sent(node, "fault")] == ["not recorded"]


def test_a_slow_disk_loses_messages_and_counts_them(tmp_path, monkeypatch):
    monkeypatch.setattr("nodes._recording.LIMIT", 100)
    recording = Recording(tmp_path / "x.drec", "", False, print)
    recording.add("a", "b", {"value": pa.array([1]), "metadata": {}})
    recording.close()
    assert recording.lost == {"a/b": 1} and not recording.written


def test_what_was_sent_again_is_recorded_once(tmp_path):
    recording = Recording(tmp_path / "x.drec", "", False, print)
    for seq, about in ((0, {}), (0, {AGAIN: True}), (1, {AGAIN: True}), (2, {})):
        recording.add("a", "b", {"value": pa.array([{"seq": seq}]), "metadata": about})
    recording.close()
    assert recording.written == {"a/b": 3} and not recording.lost["a/b"]


def played(path: Path, messages: list, sync: bool = False, **settings) -> Partners:
    node: Any = as_recorded(messages, sync)
    with Reader(path) as reader:
        timeline = read_timeline(reader)
    playback.run(node, Settings(**EXPERT, clock="rig", speed=0, **settings), path, timeline)
    return node


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(playback, "SETTLING_S", 0)


def test_lockstep_commands_are_those_recorded(tmp_path, at_once):
    messages = episode_messages("async_rtr")
    node = played(record(tmp_path / "x.drec", messages), messages)
    commands = told(messages, "command")
    assert_same(node.commands[1:], commands)  # one cycle more, in which the first measurement is held
    given, measured = sent(node, "proprio")[1:], told(messages, "proprio")
    asked = [m.plan for m in told(messages, "request")]  # then the policy is shown what it answered to
    kept = [k for k in range(len(measured)) if k not in asked]
    assert len(given) == len(measured) and len(kept) > 150
    assert_same([given[k] for k in kept], [measured[k] for k in kept])
    [score] = sent(node, "score")
    assert score.done and not score.success


WIRINGS = {"async_rtr": (False, True), "async_naive": (False, False), "sync": (True, False)}  # sync, refined


def lost(message: Any) -> bool:
    """Four plans and commands of 90; not those that alone tell when a chunk came in."""
    if not isinstance(message, Plan | Command) or not 10 < message.cycle % 90 < 14:
        return False
    return isinstance(message, Command) or message.answered_age > 0


# stalls: processes are not given the processor for up to a second and lose what their queues do not hold
RUNS = [(mode, seed, 0) for mode in WIRINGS for seed in range(3)]
RUNS += [(mode, seed, 0.01) for mode in ("async_rtr", "async_naive") for seed in range(3, 6)]


@pytest.mark.parametrize("mode, seed, stalls", RUNS)
def test_lockstep_commands_are_those_of_a_live_run_whatever_came_late_or_not_at_all(
    tmp_path, at_once, mode, seed, stalls
):
    sync, refined = WIRINGS[mode]
    live = [
        (topic, message)
        for topic, message in Live(seed, sync, refined, stalls).run(500 if stalls else 260)
        if not lost(message)
    ]
    path, partners = record(tmp_path / "x.drec", live), Partners(START, answer, decoder(refined), SETTINGS, sync)
    with Reader(path) as reader:
        timeline = read_timeline(reader)
    playback.run(cast(Any, partners), replace(SETTINGS, clock="rig", speed=0), path, timeline)
    played = {command.cycle: command for command in partners.commands}
    last = told(live, "request")[-1].plan  # whether its scheduler heard the plans after it, a recording does not tell
    until = next(plan.cycle for plan in told(live, "plan") if plan.seq >= last) + SETTINGS.execution_horizon
    recorded = [command for command in told(live, "command") if command.cycle < until or not stalls]
    assert len({command.chunk_id for command in recorded}) > 3
    assert_same([played[command.cycle] for command in recorded], recorded)


class Lossy(Partners):
    """Each process loses one in fifty messages and turns."""

    chance = random.Random(1)

    def next(self, timeout=None):
        return super().next(timeout) or (None if "score" in self.outputs else {"type": "TIMEOUT"})

    def reaches(self, name):
        return self.chance.random() > 0.02


def test_a_picture_behind_a_later_one_is_nobodys_turn():
    node = replay_node([])
    sender = _relay.Sender(node, Wire(node, "playback", {}), lockstep=True)
    for seq in (0, 2, 1, 3):
        event = frame_event("front", np.zeros((2, 2, 3), np.uint8), seq=seq)
        sender.send("frame_front", event["value"], event["metadata"])
    assert len(node.outputs["frame_front"]) == 3
    assert [turn.number[-1] for turn in sent(node, "turn")] == [0, 2, 3]


def test_what_lockstep_loses_is_sent_again_however_long_a_chunk_takes(tmp_path, at_once, monkeypatch):
    monkeypatch.setitem(_waiting.LOST_NS, Chunk, 1_000_000_000)
    monkeypatch.setattr(_waiting, "AGAIN_NS", 0)
    monkeypatch.setattr(_relay, "BREATH_S", 0)
    slow = Live(1)
    slow.inferred = 240 * PARTS  # the first chunk
    live = slow.run(400)
    path, partners = record(tmp_path / "x.drec", live), Lossy(START, answer, decoder(True), SETTINGS)
    with Reader(path) as reader:
        timeline = read_timeline(reader)
    playback.run(cast(Any, partners), replace(SETTINGS, clock="rig", speed=0), path, timeline)
    played = {command.cycle: command for command in partners.commands}
    recorded = told(live, "command")
    assert max(command.chunk_id for command in recorded) > 8
    assert_same([played[command.cycle] for command in recorded], recorded)


class Sooner(Mock):
    """An executor whose plan moves on with every measurement from the tenth on."""

    def __init__(self, start, plan):
        wired = {name: f"other/{name}" for name in playback.INPUTS if name != "chunk_done"}
        super().__init__([], node_config={"inputs": wired})
        self.coming, self.plan, self.behind = [("episode", start)], plan, []

    def next(self, timeout=None):
        quiet = None if "score" in self.outputs else {"type": "TIMEOUT"}
        return next(iter(self.drain(few=1)), quiet)

    def drain(self, few=None):
        taken, self.coming = self.coming[:few], self.coming[few:] if few else []
        return [{"type": "INPUT", "id": name, "value": pack(message), "metadata": {}} for name, message in taken]

    def send_output(self, output_id, data, metadata=None):
        super().send_output(output_id, data, metadata)
        if output_id == "proprio":
            self.behind.append(self.plan.tick - sent(self, "proprio")[-1].tick)
            number = len(self.behind)
            self.plan = self.plan._replace(seq=number, cycle=number, tick=max(number - 10, 0))
            self.coming.append(("plan", self.plan))


def test_at_its_pace_what_the_recorded_robot_stood_longer_is_passed_over(tmp_path, at_once):
    messages = episode_messages("async_rtr")
    start, first, plan = (told(messages, topic)[0] for topic in ("episode", "proprio", "plan"))
    writer, node = Writer(tmp_path / "x.drec", ""), cast(Any, Sooner(start, plan._replace(tick=0)))
    for cycle in range(400):  # it stands for 300, then it moves on
        proprio = first._replace(seq=cycle, cycle=cycle, t_ns=cycle * 10**9 // 60, tick=max(cycle - 300, 0))
        writer.write("robot", "proprio", proprio.t_ns, encode("robot", "proprio", pack(proprio), {}))
    writer.close()
    with Reader(tmp_path / "x.drec") as reader:
        timeline = read_timeline(reader)
    playback.run(node, Settings(**EXPERT, clock="rig", speed=16), tmp_path / "x.drec", timeline)
    assert sent(node, "proprio")[-1].tick == 99 and len(node.behind) < 130
    assert max(node.behind) <= 2


def test_a_chunk_waits_for_its_recorded_tick_or_that_of_delay(tmp_path, at_once):
    messages = episode_messages("async_rtr")
    path = record(tmp_path / "x.drec", messages)
    first = {}
    for delay in (-1, 3, 14):
        commands = played(path, messages, delay_cycles=delay).commands
        first[delay] = next(c.cycle for c in commands if c.chunk_id == 0)
    recorded = next(c.cycle for c in told(messages, "command") if c.chunk_id == 0)
    assert first[-1] == recorded and first[14] - first[3] == 11


def test_the_timeline_knows_every_delay(tmp_path):
    with Reader(record(tmp_path / "x.drec", episode_messages("async_rtr", delay=8))) as reader:
        timeline = read_timeline(reader)
    [recorded] = timeline.episodes.values()
    assert len(recorded.courses) >= 4 and timeline.damage == []
    came = [course for course in recorded.courses.values() if course.joined < NEVER]
    assert {c.later(-c.asked)._replace(heard=0) for c in came} == {Course(0, 1, 8, 9, -1, 0)} and {
        c.shown - c.asked for c in came
    } == {0}
    assert recorded.course(70, 5) == Course(5, 6, 13, 14) and timeline.episode(7).course(0, 5).joined == 13


def test_a_recording_without_proprio_or_of_other_columns_is_refused(tmp_path):
    path = record(tmp_path / "x.drec", episode_messages("async_rtr"), ("proprio",))
    with Reader(path) as reader, pytest.raises(Damage, match="expected proprio, got action_chunk, "):
        read_timeline(reader)
    writer = Writer(tmp_path / "y.drec", "")
    writer.write("robot", "proprio", 0, encode("robot", "proprio", pa.array([{"seq": 1}]), {}))
    writer.close()
    with (
        Reader(tmp_path / "y.drec") as reader,
        pytest.raises(Damage, match=r"expected struct<seq.*got struct<seq: int64>"),
    ):
        read_timeline(reader)


def test_a_policy_gets_the_pictures_it_had_neither_more_nor_fewer(tmp_path):
    path, sent = tmp_path / "x.drec", []
    writer = Writer(path, "")
    for number in range(10):
        for camera in ("frame_front", "frame_wrist"):
            event = frame_event(camera, np.zeros((2, 2, 3), np.uint8), seq=number)
            writer.write("camera", camera, 10 * number, encode("camera", camera, event["value"], event["metadata"]))
    writer.close()
    with Reader(path) as reader:
        pictures = Pictures(reader, 0, lambda topic, content: sent.append((topic, content.metadata["seq"])))
        for until, newest, needed, had in (
            (35, {"frame_front": 1}, False, (1, 3)),  # what came after is kept back
            (35, {"frame_front": 5}, True, (5, 4)),  # what it had before the recorder had it comes at once
            (65, {"frame_front": 5}, False, (5, 6)),
            (1000, {}, False, (9, 9)),
        ):
            pictures.until(until, newest, needed)
            front, wrist = ([n for topic, n in sent if topic == f"frame_{name}"] for name in ("front", "wrist"))
            assert front == list(range(had[0] + 1)) and wrist == list(range(had[1] + 1))


def test_a_recording_of_another_kind_of_graph_is_refused(tmp_path, at_once):
    path = record(tmp_path / "x.drec", Live(0, sync=True).run(80))
    with pytest.raises(SystemExit, match=r"x.drec expects playback_sync.yml: its robot waited for chunks"):
        played(path, episode_messages("async_rtr"))
    messages = episode_messages("async_rtr")
    with pytest.raises(SystemExit, match=r"expects playback.yml: its robot did not wait"):
        played(record(tmp_path / "y.drec", messages), messages, sync=True)


def commands(path: Path) -> dict[int, tuple[int, bytes]]:
    """Commands of a recording by cycle: time, and the rest as bytes."""
    names, messages, _ = content(path)
    received = [unpack(Command, m.array) for name, m in zip(names, messages, strict=True) if name == "executor/command"]
    return {m.cycle: (m.t_ns, b"".join(np.asarray(v).tobytes() for v in m[3:])) for m in received}


def asked_last(path: Path) -> int:
    """Cycle of the plan by which the last request was asked."""
    with Reader(path) as reader:
        [episode] = read_timeline(reader).episodes.values()
    return int(episode.cycles[max(course.asked for course in episode.courses.values())])


def lacks(path: Path) -> dict[str, int]:
    """Messages by topic that a recording lacks."""
    with Reader(path) as reader:
        return {name: topic.missing for name, topic in survey(reader).topics.items() if topic.missing}


@pytest.mark.graph
@pytest.mark.timeout(900)
def test_record_and_replay_of_dora_and_playback_in_lockstep(module_dora_env, tmp_path):
    """The commands of the documentation, one after the other."""
    env = {
        **module_dora_env,
        "POLICY": "expert",
        "CODEC": "dct",
        "SEED": "10003",
        "OUT": str(tmp_path / "live"),
        "TIME_LIMIT_S": "7",
    }
    env |= {"RECORD": str(tmp_path / "all.drec"), "RECORD_FRAMES": "zstd"}
    topics = "robot/proprio,camera_front/frame_front,camera_wrist/frame_wrist"
    command = ["dora", "record", "dataflows/async_rtr.yml", "-o", str(tmp_path / "some.drec"), "--topics", topics]
    missing = {}
    for _ in range(3):  # what it holds can be played; on a busy machine a recorder, too, may not get everything
        done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        missing = lacks(tmp_path / "all.drec")
        if not missing:
            break
    assert not missing
    names, _, damage = content(tmp_path / "some.drec")
    assert set(names) == set(topics.split(",")) and damage == []

    command = ["dora", "replay", str(tmp_path / "some.drec"), "--replace", "camera_front,camera_wrist"]
    env = {**env, "RECORD": "", "OUT": str(tmp_path / "again")}
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0 and "messages of camera_front again" in done.stdout + done.stderr

    twice = []
    for number in ("1", "2"):
        again = tmp_path / f"{number}.drec"
        about = {"RECORDING": tmp_path / "all.drec", "SPEED": 0, "RECORD": again}
        done = run("playback.yml", module_dora_env, tmp_path / number, **about)
        assert done.code == 0, done.text[-2000:]
        twice.append(commands(again))
    until = asked_last(tmp_path / "all.drec") + 12  # what the scheduler did not hear after that, nothing tells
    recorded = {cycle: command for cycle, (_, command) in commands(tmp_path / "all.drec").items() if cycle < until}
    assert len(recorded) > 200 and twice[0] == twice[1]
    assert {cycle: command for cycle, (_, command) in twice[0].items() if cycle in recorded} == recorded
