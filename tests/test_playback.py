"""Recording and playing back: the processes with mocked nodes, and the commands a user types."""

import json
import subprocess
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from nodes import dora_record_node, dora_replay_node, playback, recorder
from operators.actor import Recorded
from operators.actors import playing
from operators.actors.playing import STUCK_NS, Playing, Sample
from operators.messages import Score
from operators.schema import pack
from operators.settings import Settings
from recordings.drec.background import Recording
from recordings.drec.file import Damage, Reader, Writer, encode
from recordings.drec.survey import pictures_to_play, survey
from tests.acting import gave
from tests.graphs import ROOT, run
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
    node = replay_node(
        events, node_config={"inputs": wired}, dataflow_descriptor={"nodes": [{"id": "robot"}], "env": {"JOIN": "fade"}}
    )
    assert recorder.run(node, Settings(record=str(path), join="fade")) == ""
    assert len(content(path)[0]) == 3 and "recorded 3 messages of 1 topics, 1 lost" in capsys.readouterr().out
    with Reader(path) as reader:
        told = json.loads(reader.header.descriptor)
        assert told["nodes"] == [{"id": "robot"}]
        assert told["env"] | {"JOIN": "fade", "ALIGN": "tick"} == told["env"]  # also what the graph does not list


def test_recorder_tells_once_that_it_cannot_write(tmp_path):
    (tmp_path / "file").write_text("")
    wired = {"proprio": "robot/proprio", "episode": "evaluator/episode"}
    node = replay_node(inputs()[1:] * 3, node_config={"inputs": wired})
    said = recorder.run(node, Settings(record=str(tmp_path / "file" / "x.drec")))
    assert "x.drec: " in said and "recording ended after 0 messages" in said
    assert [fault.kind for fault in sent(node, "fault")] == ["not recorded"]


def test_a_slow_disk_loses_messages_and_counts_them(tmp_path, monkeypatch):
    monkeypatch.setattr("recordings.drec.background.LIMIT", 100)
    recording = Recording(tmp_path / "x.drec", "", False, print)
    recording.add("a", "b", {"value": pa.array([1]), "metadata": {}})
    recording.close()
    assert recording.lost == {"a/b": 1} and not recording.written


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(playing, "SETTLING_NS", 0)


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
    playback.run(node, Settings(**EXPERT, clock="rig", speed=16), tmp_path / "x.drec", set())
    assert sent(node, "proprio")[-1].tick == 99 and len(node.behind) < 130
    assert max(node.behind) <= 2


def test_while_a_chunk_is_out_the_recording_stands_and_the_newest_sample_is_sent_again():
    messages = episode_messages("async_rtr")
    start, first, plan, request = (told(messages, name)[0] for name in ("episode", "proprio", "plan", "request"))
    period = 10**9 // 60
    states = [first._replace(seq=i, cycle=i, t_ns=i * period, tick=i) for i in range(30)]
    samples = [Sample(state.t_ns, Recorded("proprio", pack(state), {}), state) for state in states]
    actor, now, sent_at = Playing(lambda episode: iter(samples), set(), 1.0), 0, []

    def live(until_ns: int) -> None:
        nonlocal now
        while now < until_ns and actor.wake_ns is not None:
            now = max(now + 1, actor.wake_ns)
            sent_at.extend((now, out) for out in actor.wake(now))

    gave(actor, start)
    live(10**9)
    assert len({out.array[0]["tick"].as_py() for _, out in sent_at}) == 1  # until the executor has answered
    gave(actor, plan._replace(tick=5))
    gave(actor, request)
    live(4 * 10**9)
    ticks = [out.array[0]["tick"].as_py() for _, out in sent_at]
    assert (
        max(ticks) == 5
        and ticks.count(5) > 100
        and len({out.array[0]["seq"].as_py() for _, out in sent_at}) == len(ticks)
    )
    gave(actor, told(messages, "action_chunk")[0])  # the chunk is in: a plan that stands holds up no longer than this
    live(4 * 10**9 + STUCK_NS + 10**8)
    assert sent_at[-1][1].array[0]["tick"].as_py() == 7  # one at once, the next a second later
    gave(actor, plan._replace(tick=100))
    live(10**11)
    assert isinstance(sent_at[-1][1], Score) and actor.wake_ns is None


def test_a_recording_without_proprio_or_of_other_columns_is_refused(tmp_path):
    path = record(tmp_path / "x.drec", episode_messages("async_rtr"), ("proprio",))
    with Reader(path) as reader, pytest.raises(Damage, match="expected proprio, got action_chunk, "):
        pictures_to_play(reader)
    writer = Writer(tmp_path / "y.drec", "")
    writer.write("robot", "proprio", 0, encode("robot", "proprio", pa.array([{"seq": 1}]), {}))
    writer.close()
    said = r"expected struct<seq.*got struct<seq: int64>"
    with Reader(tmp_path / "y.drec") as reader, pytest.raises(Damage, match=said):
        pictures_to_play(reader)


def lacks(path: Path) -> dict[str, int]:
    """Messages by topic that a recording lacks."""
    with Reader(path) as reader:
        return {name: topic.missing for name, topic in survey(reader).topics.items() if topic.missing}


@pytest.mark.graph
@pytest.mark.timeout(900)
def test_record_and_replay_of_dora_and_playback(module_dora_env, tmp_path):
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

    about = {"RECORDING": tmp_path / "all.drec", "SPEED": 4}
    done = run("playback.yml", module_dora_env, tmp_path / "played", **about)
    assert done.code == 0 and "episode 0: done" in done.text, done.text[-2000:]
