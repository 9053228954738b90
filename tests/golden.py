"""Golden replay: recordings/golden/golden.drec -> events -> MockNode -> outputs, compared with those stored beside it.

One mechanism for every process. The recording is of a real run of async_rtr.yml; what each process then sends is
stored once it was accepted. Clocks and numbers of other processes are left out.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from math import isclose
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import pyarrow as pa

from models.registry import make_codec, make_policy
from nodes import camera, decoder, evaluator, executor, policy, scheduler
from nodes.drivers import make_robot
from operators.actors.decoding import Decoding
from operators.actors.evaluating import Evaluating
from operators.actors.following import Following
from operators.actors.moving import Moving
from operators.decoder_op import Operator as DecoderOperator
from operators.edge import Edge
from operators.messages import TOPICS, Scene, Score
from operators.scheduler_op import Operator as SchedulerOperator
from operators.schema import pack, schema, unpack
from operators.settings import Settings
from recordings.drec.file import Message, Reader
from recordings.drec.messages import messages
from recordings.drec.migrations import migrated
from recordings.trace import load as load_trace
from simulation.shutter import EVERY
from tests.boot import moved
from tests.envelope import ENVELOPE, UR5E
from tests.replay import EXPERT, UNREPEATABLE, Inline, replay_node

FOLDER = Path(__file__).parents[1] / "recordings" / "golden"
RECORDING = FOLDER / "golden.drec"
ACCEPT = "pytest tests/test_golden.py --accept-golden"
SETTINGS = Settings(
    **EXPERT, variant="random", align="phase", seed=10_003, image_width=64, image_height=64, latency_ms=0, stale_ms=1e8
)
EVALUATED = FOLDER / "evaluator.json"  # figures; null is not measured
PICTURES = 4  # of each camera that are stored

Event = tuple[str, Message]  # output, content
Outputs = dict[str, list[pa.Array]]


class Process(NamedTuple):
    """How a process is replayed."""

    inputs: dict[str, str]  # recorded output -> input
    run: Callable[[list[dict[str, Any]]], Outputs]  # events -> topic -> messages
    tolerance: float = 1e-6  # of any number: m, rotation columns, rad, N
    pictures: float = 2.0  # of 255, mean over a picture: graphics libraries differ


@cache
def recorded(by_ns: int = 0) -> list[Event]:
    """Everything in the golden recording, in order, with stamps later by that."""
    with Reader(RECORDING) as reader:
        found = [(told.record.output, told.content) for told in messages(reader)]
        assert reader.damage == []
    read = [(output, content._replace(array=migrated(output, content.array))) for output, content in found]
    return [(output, moved(content, by_ns)) for output, content in read] if by_ns else read


def events(inputs: dict[str, str], messages: list[Event]) -> list[dict[str, Any]]:
    return [
        {"type": "INPUT", "id": inputs[output], "value": message.array, "metadata": message.metadata}
        for output, message in messages
        if output in inputs
    ]


def outputs(name: str, by_ns: int = 0) -> Outputs:
    """What a process sends when the golden recording, with stamps later by `by_ns`, is fed to it."""
    process = PROCESSES[name]
    return process.run(events(process.inputs, scenes(by_ns) if "scene" in process.inputs else recorded(by_ns)))


def scenes(by_ns: int) -> list[Event]:
    """Scenes are not recorded; the robot's stored ones stand for them."""
    stored = load("robot", "scene")
    start = next(event for event in recorded(by_ns) if event[0] == "episode")
    return [start, *(("scene", moved(Message(array, {}, 0), by_ns)) for array in stored[-2 * PICTURES :])]


def _node(run: Callable[[Any], Any], wired: dict[str, str]) -> Callable[[list], Outputs]:
    def replay(found: list[dict[str, Any]]) -> Outputs:
        node = replay_node(found, node_config={"inputs": dict.fromkeys(wired.values(), "")})
        with patch("nodes._stage.worker_thread", Inline):
            run(node)
        return node.outputs

    return replay


def _operator(make: Callable[[], Any]) -> Callable[[list], Outputs]:
    def replay(found: list[dict[str, Any]]) -> Outputs:
        node = replay_node([])
        with patch.dict(os.environ, CODEC=SETTINGS.codec, ALIGN=SETTINGS.align):
            operator = make()
        for event in found:
            operator.on_event(event, node.send_output)
        return node.outputs

    return replay


def _robot(found: list[dict[str, Any]]) -> Outputs:
    """One cycle a recorded measurement; commands in between are what it then finds."""
    edge, cycle = Edge("robot", Moving.INPUTS), 0
    sent: Outputs = {}
    actor = Moving(make_robot(SETTINGS, UR5E), Following(ENVELOPE))
    for event in found:
        outputs: Any = ()
        if event["id"] == "proprio":
            outputs = edge.outcome("cycle", partial(actor.wake, 1 + cycle * 16_666_666))
            cycle += 1
        elif (received := edge.receive(event)) is not None:
            outputs = edge.outcome(event["id"], partial(actor.receive, event["id"], received, 0))
        for message in [*outputs, *edge.taken_faults()]:
            output, stamped = edge.stamped(message, 0)
            sent.setdefault(output, []).append(pack(stamped))
    return sent


def _camera(output: str) -> Callable[[list], Outputs]:
    def replay(found: list[dict[str, Any]]) -> Outputs:
        node = replay_node(found, node_config={"inputs": {"scene": "", "episode": ""}, "outputs": [output]})
        camera.run(node, SETTINGS, {})
        shown = [unpack(Scene, event["value"]) for event in found if event["id"] == "scene"][::EVERY]
        stamps = [metadata["t_ns"] for _, metadata in node.outputs[output]]
        assert stamps == [scene.t_ns for scene in shown], "a picture tells of another scene than it shows"
        return {output: [pa.array(np.asarray(pixels).reshape(-1)) for pixels, _ in node.outputs[output]]}

    return replay


def _policy(node: Any) -> None:
    policy.run(node, SETTINGS, make_policy(SETTINGS))


def _guided(**settings: Any) -> Callable[[Any], None]:
    config = replace(SETTINGS, **settings)
    return lambda node: policy.run(node, config, make_policy(config))


def _executor(node: Any) -> None:
    executor.run(node, Settings(clock="rig"))


def _smoothed(node: Any) -> None:
    executor.run(node, Settings(clock="rig", smooth="ruckig"))
    node.outputs = {"command": node.outputs["command"]}


_ASYNC = {"episode": "episode", "plan": "plan", "action_chunk": "action_chunk"}
_EXECUTOR = {"episode": "episode", "proprio": "proprio", "request": "request", "action_chunk": "action_chunk"}
_DECODER = {"episode": "episode", "plan": "executed", "chunk": "chunk"}
_POLICY = {name: name for name in ("episode", "proprio", "request", "frame_front", "frame_wrist")}
_GUIDED = {**_POLICY, "plan": "executed"}

PROCESSES = {
    "executor": Process(_EXECUTOR, _node(_executor, _EXECUTOR)),
    "scheduler": Process(_ASYNC, _node(lambda node: scheduler.run(node, SETTINGS), _ASYNC)),
    "scheduler_op": Process(_ASYNC, _operator(SchedulerOperator)),
    "decoder": Process(_DECODER, _node(lambda node: decoder.run(node, Decoding(SETTINGS, make_codec)), _DECODER)),
    "decoder_op": Process(_DECODER, _operator(DecoderOperator)),
    "policy": Process(_POLICY, _node(_policy, _POLICY)),
    "policy_vlash": Process(_GUIDED, _node(_guided(guide="vlash"), _GUIDED)),
    "policy_rtc": Process(_GUIDED, _node(_guided(policy="expert_flow"), _GUIDED), 1e-5),
    "executor_ruckig": Process(_EXECUTOR, _node(_smoothed, _EXECUTOR)),
    "robot": Process({"episode": "episode", "command": "command", "proprio": "proprio"}, _robot, 1e-4),
    "camera_front": Process({"episode": "episode", "scene": "scene"}, _camera("frame_front")),
    "camera_wrist": Process({"episode": "episode", "scene": "scene"}, _camera("frame_wrist")),
}
SAME = {"scheduler_op": "scheduler", "decoder_op": "decoder"}  # stored once for node and operator


def evaluated(folder: Path) -> tuple[dict[str, Any], Outputs]:
    """What the evaluator makes of the recording, told at its end that the task is done: counts and metrics."""
    inputs = {
        name: name for name in (*(name for name in Evaluating.INPUTS if name in TOPICS), "frame_front", "frame_wrist")
    }
    done = pack(Score(10_000, 0, 0, 0, True, False, ["coverage"], np.zeros(1)))
    found = [*events(inputs, recorded()), {"type": "INPUT", "id": "score", "value": done, "metadata": {}}]
    node = replay_node(found, node_config={"inputs": inputs}, dataflow_descriptor={"nodes": []})
    assert evaluator.run(node, replace(SETTINGS, out=str(folder))) == 0
    log = load_trace(folder / "trace", "episode_0")
    metrics = json.loads((folder / "report.json").read_text())["metrics"]
    assert log.plan is not None
    counts: dict[str, Any] = {"commands": len(log.cycles), "measured": len(log.proprio), "plan_tick": log.plan.tick}
    counts |= {"plan_rows": len(log.plan.action), "arrivals": [chunk.arrival_tick for chunk in log.chunks]}
    return {**counts, **{name: value["mean"] for name, value in metrics.items()}}, node.outputs


def figures_moved(process: str, path: Path, said: dict[str, Any]) -> Iterator[str]:
    """Which figures moved against those stored."""
    stored = json.loads(path.read_text()) if path.is_file() else {}
    for name in sorted({*said, *stored}):
        value, before = said.get(name), stored.get(name)
        near = isinstance(value, float) and isinstance(before, float) and isclose(value, before, rel_tol=1e-6)
        if value != before and not near:
            yield f"{process}: {name} is {value}, stored {before}"


def place(name: str, topic: str) -> Path:
    return FOLDER / f"{SAME.get(name, name)}.{topic}.arrow"


def load(name: str, topic: str) -> list[pa.Array]:
    """The stored messages of one topic, as they were sent."""
    path = place(name, topic)
    if not path.is_file():
        return []
    with pa.ipc.open_file(path) as file:
        return (
            [file.get_batch(i).column(0) for i in range(file.num_record_batches)] if _pictures(topic) else _split(file)
        )


def _split(file: pa.RecordBatchFileReader) -> list[pa.Array]:
    column = file.get_batch(0).column(0)
    return [column[i : i + 1] for i in range(len(column))]


def store(name: str, found: Outputs) -> None:
    """Accept what a process sends."""
    for topic, arrays in found.items():
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        batches = arrays if _pictures(topic) else [pa.concat_arrays(arrays)]
        with pa.ipc.new_file(str(place(name, topic)), pa.schema({"data": batches[0].type}), options=options) as file:
            for array in batches:
                file.write_batch(pa.record_batch([array], ["data"]))


def topics(name: str) -> set[str]:
    """What is stored of a process."""
    stem = SAME.get(name, name)
    return {path.name.split(".")[1] for path in FOLDER.glob(f"{stem}.*.arrow")}


def differences(name: str, found: Outputs) -> Iterator[str]:
    """What moved against what is stored, and by how much; one line a topic."""
    process = PROCESSES.get(name, Process({}, lambda found: {}))
    for topic in sorted(topics(name) | set(found)):
        got, stored = found.get(topic, []), load(name, topic)
        if len(got) != len(stored):
            yield f"{name}/{topic}: {len(stored)} messages are stored, {len(got)} were sent"
            continue
        moved = [each for pair in enumerate(zip(got, stored, strict=True)) for each in _moved(process, topic, *pair)]
        if moved:
            first, most = moved[0], max(moved, key=lambda each: each.by)
            count = len({each.number for each in moved})
            yield (
                f"{name}/{topic}: {count} of {len(got)} messages moved, from number {first.number} ({first.field}) on; "
                f"most in number {most.number}: {most.field} {most.text} (allowed {most.allowed:g})"
            )


class Moved(NamedTuple):
    """A field that is not as stored."""

    number: int
    field: str
    by: float
    allowed: float
    text: str


def _moved(process: Process, topic: str, number: int, pair: tuple[pa.Array, pa.Array]) -> Iterator[Moved]:
    compare = _picture if _pictures(topic) else _record
    allowed = process.pictures if _pictures(topic) else process.tolerance
    for field, by, text in compare(topic, *pair):
        if by > allowed:
            yield Moved(number, field, by, allowed, text)


def verdict(lines: list[str]) -> str:
    """The failure's text."""
    return "\n".join([*lines, f"If that is as it should be, accept it: {ACCEPT}"])


def _pictures(topic: str) -> bool:
    return topic.startswith("frame_")


def _picture(topic: str, got: pa.Array, stored: pa.Array) -> Iterator[tuple[str, float, str]]:
    if len(got) != len(stored):
        yield "size", np.inf, f"is {len(got)} bytes, stored {len(stored)}"
        return
    by = float(np.abs(got.to_numpy().astype(int) - stored.to_numpy()).mean())
    yield "pixels", by, f"moved by {by:.3g} of 255 in the mean"


def _record(topic: str, got: pa.Array, stored: pa.Array) -> Iterator[tuple[str, float, str]]:
    """Field, by how much it moved, in words."""
    kind = TOPICS[topic].message
    stored = migrated(topic, stored)
    assert stored.type == schema(kind), f"stored {topic} has other columns: {ACCEPT}"
    left, right = unpack(kind, got), unpack(kind, stored)
    for field in right._fields:
        if field in UNREPEATABLE:
            continue
        a, b = getattr(left, field), getattr(right, field)
        if isinstance(b, np.ndarray) and a.shape != b.shape:
            yield field, np.inf, f"has shape {a.shape}, stored {b.shape}"
        elif isinstance(b, float) or (isinstance(b, np.ndarray) and b.dtype.kind == "f"):
            by = float(np.abs(np.asarray(a, float) - b).max(initial=0))
            yield field, by, f"moved by {by:.3g}"
        elif not np.array_equal(a, b):
            yield field, np.inf, f"is {a}, stored {b}"
