"""Every process sends what it sent when its outputs were accepted; see tests/golden.py."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nodes import dora_record_node, dora_replay_node, playback, recorder
from operators.measure.metrics import episode_metrics
from operators.messages import TOPICS, Episode, Plan, Proprio
from operators.schema import pack, unpack
from recordings.drec.file import Damage, Message, Reader, Writer
from recordings.drec.logs import logs
from recordings.drec.messages import messages
from studies.cli import Report
from tests import golden
from tests.boot import FAR_NS, JUST_STARTED_NS, earliest_ns, moved
from tests.replay import Mock, replay_node

CAMERAS = "frame_front", "frame_wrist"


@pytest.fixture
def accept(request) -> bool:
    return request.config.getoption("--accept-golden")


def test_the_recording_is_small_and_of_a_real_run():
    assert golden.RECORDING.stat().st_size < 1_000_000
    heard = {output for output, _ in golden.recorded()}
    assert {"proprio", "frame_front", "frame_wrist", "request", "chunk", "action_chunk", "command", "plan"} <= heard


@pytest.mark.parametrize("name", golden.PROCESSES)
def test_a_process_sends_what_was_accepted(name, accept):
    found = golden.outputs(name)
    assert found, f"{name} sent nothing"
    if accept:
        golden.store(name, found)
    lines = list(golden.differences(name, found))
    assert not lines, golden.verdict(lines)


@pytest.mark.parametrize("boot", ["just started", "up for long"])
@pytest.mark.parametrize("name", golden.PROCESSES)
def test_a_recording_of_another_boot_is_answered_just_so(name, boot):
    """Stamps of a rig are compared with stamps of the same rig, never with this machine's clock."""
    by_ns = JUST_STARTED_NS - earliest_ns(golden.RECORDING) if boot == "just started" else FAR_NS
    found = golden.outputs(name, by_ns)
    if "chunk" in found:
        found["chunk"] = [moved(Message(array, {}, 0), -by_ns).array for array in found["chunk"]]
    assert list(golden.differences(name, found)) == []


def test_the_failure_says_what_moved_by_how_much_and_how_to_accept_it():
    found = golden.outputs("decoder")
    chunk = unpack(TOPICS["action_chunk"].message, found["action_chunk"][2])
    moved = pack(chunk._replace(action=chunk.action + np.float32(0.01)))
    found["action_chunk"][2] = moved
    (line,) = golden.differences("decoder", found)
    assert line.startswith("decoder/action_chunk: 1 of ") and "from number 2 (action) on" in line
    assert "action moved by 0.01 (allowed 1e-06)" in line
    assert golden.verdict([line]).endswith("pytest tests/test_golden.py --accept-golden")
    assert list(golden.differences("decoder", {})) == [
        f"decoder/action_chunk: {len(found['action_chunk'])} messages are stored, 0 were sent"
    ]


def kept(path: Path) -> dict[str, list[pa.Array]]:
    """A recording's messages by topic."""
    found: dict[str, list[pa.Array]] = {}
    with Reader(path) as reader:
        for _, record, content in messages(reader):
            found.setdefault(record.topic, []).append(content.array)
        assert reader.damage == [] and reader.complete
    return found


def wired() -> tuple[dict[str, str], list[dict]]:
    """Input -> source of a recorder, and its events; an input is called like its source here."""
    with Reader(golden.RECORDING) as reader:
        records = [(record.topic, content) for _, record, content in messages(reader)]
    sources = {topic: topic for topic, _ in records}
    found = [{"type": "INPUT", "id": t, "value": m.array, "metadata": m.metadata} for t, m in records]
    return sources, found


@pytest.mark.parametrize("name", ["recorder", "dora_record_node"])
def test_a_recorder_keeps_the_recording_as_it_is(name, tmp_path):
    sources, found = wired()
    path, node = tmp_path / "x.drec", replay_node(found, node_config={"inputs": sources})
    if name == "recorder":
        assert recorder.run(node, replace(golden.SETTINGS, record=str(path), record_frames="zstd")) == ""
    else:
        environ = {"DORA_RECORD_FILE": str(path), "DORA_RECORD_TOPICS": json.dumps(sources), "RECORD_FRAMES": "zstd"}
        assert dora_record_node.run(node, environ) == 0
    again, before = kept(path), kept(golden.RECORDING)
    assert set(again) == set(before)
    assert all(a.equals(b) for topic in before for a, b in zip(again[topic], before[topic], strict=True))


def test_dora_replay_node_sends_the_recording_as_it_is():
    node = replay_node([{"type": "ERROR"}] * 1000)
    environ = {"DORA_REPLAY_FILE": str(golden.RECORDING), "DORA_REPLAY_NODE": "robot", "DORA_REPLAY_SPEED": "0"}
    assert dora_replay_node.run(node, environ) == 0
    before = kept(golden.RECORDING)
    for output in ("proprio", "score"):
        sent = node.outputs[output]
        assert all(a.equals(b) for a, b in zip(sent, before[f"robot/{output}"], strict=True))


def test_the_report_of_a_recording_has_the_evaluators_figures(tmp_path):
    [log] = logs(golden.RECORDING, lambda start: {})
    figures = {name: None if np.isnan(value) else value for name, value in episode_metrics(log).items()}
    stored = json.loads(golden.EVALUATED.read_text())
    assert set(figures) < set(stored)
    for name, value in figures.items():
        if name != "success":  # its score is the recorded one, the evaluator was told another
            assert value == (stored[name] and pytest.approx(stored[name])), name
    assert [chunk.arrival_tick for chunk in log.chunks] == stored["arrivals"]

    Report(golden.RECORDING, tmp_path).run()
    found = json.loads((tmp_path / "report.json").read_text())
    told = {"mode": "async_rtr", "policy": "expert", "join": "fade", "seed": 10_003, "variant": ""}
    assert told.items() <= found["meta"].items()
    assert found["metrics"]["speed_ripple"]["mean"] > 0  # beside the expert of the recorded seed
    page = (tmp_path / "report.html").read_text()
    assert "Timing of each chunk" in page and "Marks" not in page


def test_a_report_needs_a_recording_with_commands(tmp_path):
    Writer(tmp_path / "x.drec", "nodes: []").close()
    with pytest.raises(Damage, match="expected messages of command, got none"):
        logs(tmp_path / "x.drec", lambda start: {})


class Following(Mock):
    """An executor whose plan is where the samples are."""

    def __init__(self, start: Episode, plan: Plan):
        super().__init__([], node_config={"inputs": dict.fromkeys(playback.INPUTS, ""), "outputs": [*CAMERAS]})
        self.coming: list[tuple[str, Any]] = [("episode", start)]
        self.plan = plan

    def next(self, timeout: float | None = None) -> Any:
        return next(iter(self.drain(1)), None if "score" in self.outputs else {"type": "ERROR"})

    def drain(self, few: int | None = None) -> list[dict[str, Any]]:
        taken, self.coming = self.coming[:few], self.coming[few:] if few else []
        return [{"type": "INPUT", "id": name, "value": pack(message), "metadata": {}} for name, message in taken]

    def send_output(self, output_id: str, data: Any, metadata: dict[str, Any] | None = None) -> None:
        super().send_output(output_id, data, metadata)
        if output_id == "proprio":
            newest = unpack(Proprio, data)
            self.plan = self.plan._replace(seq=newest.seq + 1, cycle=newest.cycle, tick=newest.tick)
            self.coming.append(("plan", self.plan))


def test_playback_sends_the_recording_as_it_is(monkeypatch):
    monkeypatch.setattr("operators.actors.playing.SETTLING_NS", 0)
    messages = dict(reversed(golden.recorded()))  # the first of each
    start, plan = unpack(Episode, messages["episode"].array), unpack(Plan, messages["plan"].array)
    node: Any = Following(start, plan)
    playback.run(node, replace(golden.SETTINGS, clock="rig", speed=16), golden.RECORDING, set(CAMERAS))
    before = kept(golden.RECORDING)
    for camera in CAMERAS:
        shown = before[camera.replace("frame", "camera") + f"/{camera}"]
        assert all(a.equals(b) for a, b in zip(node.outputs[camera], shown, strict=True))
    sent = {array["t_ns"]: array for array in map(numbered_from_0, node.outputs["proprio"])}  # some are sent again
    assert [*sent.values()] == [numbered_from_0(array) for array in before["robot/proprio"]]


def numbered_from_0(array: pa.Array) -> dict[str, Any]:
    return {**array[0].as_py(), "seq": 0, "cycle": 0}


def test_the_evaluator_leaves_the_log_that_was_accepted(accept, tmp_path):
    said, sent = golden.evaluated(tmp_path)
    if accept:
        golden.EVALUATED.write_text(json.dumps(said, indent=1) + "\n")
        golden.store("evaluator", sent)
    lines = [*golden.figures_moved("evaluator", golden.EVALUATED, said), *golden.differences("evaluator", sent)]
    assert not lines, golden.verdict(lines)
    assert (tmp_path / "episode_0.mp4").is_file() and said["commands"] > 80


def test_every_process_has_a_golden_replay():
    modules = {path.stem for path in (golden.FOLDER.parents[1] / "nodes").glob("[a-z]*.py")} - {"camera"}
    here = {"recorder", "dora_record_node", "dora_replay_node", "playback", "evaluator"}
    elsewhere = {"supervisor"}  # of what it hears only times count: test_supervisor.py
    assert modules <= {*golden.PROCESSES, *here, *elsewhere}
