"""The graphs: valid, true to their siblings, and wired to what the processes read and send."""

import importlib
import subprocess
from dataclasses import fields
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import yaml

from operators.messages import TOPICS
from operators.settings import Settings
from operators.wiring import mode, sources, wiring

GRAPHS = sorted(Path("dataflows").glob("*.yml"))
CHOOSE = {"TASK", "VARIANT", "PROMPT", "POLICY", "LATENCY_MS", "SEED", "EPISODES", "RECORD", "OUT"}  # in every graph
CAMERAS = {"CAMERA_FRONT": "sim", "CAMERA_WRIST": "sim"}  # a family: one a camera
RIG = {"ROBOT", *CAMERAS}
PLAYED = {"RECORDING", "SPEED"}  # in the place of the rig
BEST = {"REFINE_CODEC": "dct", "JOIN": "fade", "ALIGN": "phase"}  # see docs/results/README.md
TASK = {"TASK": "write_board"}
DIFFERENT = {  # graph -> variable -> its default there
    "async_rtc.yml": {"POLICY": "expert_flow"},  # the expert has no sampler to guide
    **{name: BEST for name in ("async_rtr.yml", "async_rtr_operators.yml")},
    "playback.yml": {"CLOCK": "rig", "LATENCY_MS": "0", **BEST},  # the clock is the recording's
}


def load(name):
    return yaml.safe_load((Path("dataflows") / name).read_text())


def nodes(graph):
    return {node["id"]: node.get("operator", node) for node in graph["nodes"]}


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda path: path.stem)
def test_dora_finds_every_graph_valid(graph, dora_env):
    done = subprocess.run(["dora", "validate", graph], env=dora_env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "wiring OK" in done.stdout + done.stderr


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda path: path.stem)
def test_variables_have_the_defaults_of_the_settings(graph):
    defaults = {field.name.upper(): field.default for field in fields(Settings)} | CAMERAS
    for name, text in load(graph.name)["env"].items():
        value = f"{defaults[name]:g}" if isinstance(defaults[name], float) else defaults[name]
        default = {**TASK, **DIFFERENT.get(graph.name, {})}.get(name, value)
        assert text == f"${{{name}:-{default}}}"


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda path: path.stem)
def test_a_graph_lists_what_chooses_and_what_differs(graph):
    wired = load(graph.name)
    rig = PLAYED if "playback" in nodes(wired) else RIG
    assert set(wired["env"]) == CHOOSE | rig | set(DIFFERENT.get(graph.name, {}))


def test_graphs_are_few_and_short():
    assert len(GRAPHS) <= 7 and sum(len(graph.read_text().splitlines()) for graph in GRAPHS) <= 1000


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda path: path.stem)
def test_ports_are_those_the_processes_know(graph):
    for name, node in nodes(load(graph.name)).items():
        assert all({"source", "queue_size"} <= set(edge) for edge in node["inputs"].values()), name
        assert all(output in TOPICS or output.startswith("frame_") for output in node["outputs"]), name
        if "path" in node:
            known = importlib.import_module(f"nodes.{node['path'].removeprefix('rtr-')}").INPUTS
            assert all(any(fnmatchcase(port, each) for each in known) for port in node["inputs"]), name


def edges(name):
    wired = nodes(load(name))
    return {(node, port, edge["source"]) for node in wired for port, edge in wired[node]["inputs"].items()}


def test_async_rtr_is_async_naive_and_one_edge():
    assert edges("async_rtr.yml") - edges("async_naive.yml") == {("decoder", "executed", "executor/plan")}
    assert edges("async_naive.yml") < edges("async_rtr.yml")


def test_async_rtc_is_async_naive_and_one_edge():
    assert edges("async_rtc.yml") - edges("async_naive.yml") == {("policy", "executed", "executor/plan")}
    assert edges("async_naive.yml") < edges("async_rtc.yml")


def test_async_a2c2_is_async_naive_and_one_edge_that_is_recorded():
    more = edges("async_a2c2.yml") - edges("async_naive.yml")
    assert more == {(node, "features", "policy/features") for node in ("executor", "recorder")}
    assert edges("async_naive.yml") < edges("async_a2c2.yml")


def test_sync_is_async_naive_and_one_edge():
    assert edges("sync.yml") - edges("async_naive.yml") == {("scheduler", "chunk_done", "executor/chunk_done")}
    assert edges("async_naive.yml") < edges("sync.yml")


def test_operators_are_wired_as_the_nodes_are():
    assert edges("async_rtr_operators.yml") == edges("async_rtr.yml")
    swapped = {node["id"] for node in load("async_rtr_operators.yml")["nodes"] if "operator" in node}
    assert swapped == {"decoder", "scheduler"}


def test_playback_stands_for_robot_and_cameras_and_all_else_is_wired_as_in_async_rtr():
    replaced = {"robot", "camera_front", "camera_wrist"}
    live = {edge for edge in edges("async_rtr.yml") if edge[0] not in replaced and "robot/scene" not in edge}
    by_playback = {(node, port.replace("robot", "playback"), source) for node, port, source in live}
    expected = set()
    for node, port, source in by_playback:
        sender, output = source.split("/")
        if not sender.startswith("camera") or output != "fault":
            expected.add((node, port, f"playback/{output}" if sender in replaced else source))
    assert {edge for edge in edges("playback.yml") if edge[0] != "playback"} == expected


def test_the_policy_never_hears_of_the_scene():
    for graph in GRAPHS:
        sources = {source for node, _, source in edges(graph.name) if node == "policy"}
        assert not sources & {"robot/scene", "robot/score"}


def test_the_mode_of_a_graph_is_read_from_its_edges():
    said = {graph.stem: mode(load(graph.name)) for graph in GRAPHS}
    assert {name: said[name] for name in ("sync", "async_naive", "async_rtr", "async_rtc", "async_a2c2")} == {
        name: name for name in ("sync", "async_naive", "async_rtr", "async_rtc", "async_a2c2")
    }
    assert said["async_rtr_operators"] == "async_rtr"


def test_the_operators_graph_is_wired_like_the_nodes_graph():
    one, other = wiring(load("async_rtr.yml")), wiring(load("async_rtr_operators.yml"))
    assert {edge: sorted(hearers) for edge, hearers in one.items()} == {
        edge: sorted(hearers) for edge, hearers in other.items()
    }
    assert ("decoder", "executed") in one["executor", "plan"]
    assert sources({"a": "camera/frame", "b": {"source": "robot/op/x", "queue_size": 1}}) == {
        "a": ("camera", "frame"),
        "b": ("robot", "op/x"),
    }
