"""A third camera is one block and two edges in a graph: recordings, data sets and the video then hold it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pytest
import yaml

from nodes import evaluator, recorder
from operators.frame import frame_metadata
from operators.messages import Score
from operators.schema import pack
from recordings.convert import to_dataset
from recordings.dataset.reader import Dataset
from recordings.drec.demonstrations import demonstrations
from tests import golden
from tests.graphs import ROOT, TIMEOUT_S, TRIES, run
from tests.own_rig import install, path_with
from tests.replay import replay_node

LEVEL = 120  # of all its pixels
BLOCK = """
id: camera_side
path: rtr-camera
shared_memory_pool_size: 5MB
inputs:
  episode: {source: evaluator/episode, queue_size: 4}
outputs: [frame_side, fault]
"""


def graph_with_side(to: Path) -> Path:
    """A copy of async_rtr.yml with camera_side."""
    graph = yaml.safe_load((ROOT / "dataflows" / "async_rtr.yml").read_text())
    for node in graph["nodes"]:
        if node["id"] in ("evaluator", "recorder"):
            node["inputs"]["frame_side"] = {"source": "camera_side/frame_side", "queue_size": 60}
    graph["nodes"].append(yaml.safe_load(BLOCK))
    to.write_text(yaml.safe_dump(graph, sort_keys=False))
    return to


def wiring(graph: Path, node: str) -> dict[str, Any]:
    """A node's configuration as dora tells it."""
    nodes = {each["id"]: each for each in yaml.safe_load(graph.read_text())["nodes"]}
    return {"inputs": {name: edge["source"] for name, edge in nodes[node]["inputs"].items()}}


def heard(wired: dict[str, Any]) -> list[dict[str, Any]]:
    """The golden recording as it comes to a node, with a picture of `side` beside each of `front`."""
    found = []
    for event in golden.events({name: name for name in wired["inputs"]}, golden.recorded()):
        found.append(event)
        if event["id"] == "frame_front":
            stamps = [event["metadata"][name] for name in ("seq", "episode", "t_ns")]
            pixels = pa.array(np.full(32 * 48 * 3, LEVEL, np.uint8))  # of another size than the others
            found.append({**event, "id": "frame_side", "value": pixels, "metadata": frame_metadata(48, 32, *stamps)})
    return found


def assert_side_by_side(video: Path, shape: tuple[int, int, int], side: slice) -> None:
    film = cv2.VideoCapture(str(video))
    good, picture = film.read()
    assert good and picture.shape == shape
    assert np.abs(picture[:, side].astype(int) - LEVEL).mean() < 8


def assert_in_data_set(path: Path, folder: Path) -> None:
    (found,) = demonstrations(path)
    assert sorted(found.seen) == ["front", "side", "wrist"]
    assert to_dataset(path, folder, 15, print) == 1
    dataset = Dataset.open(folder)
    assert sorted(dataset.cameras) == ["front", "side", "wrist"]
    assert np.abs(dataset.frames(0, "side").astype(int) - LEVEL).mean() < 2


def test_recorder_data_set_and_video_hold_what_is_wired(tmp_path):
    graph, path = graph_with_side(tmp_path / "graph.yml"), tmp_path / "x.drec"
    wired = wiring(graph, "recorder")
    node = replay_node(heard(wired), node_config=wired, dataflow_descriptor={"nodes": []})
    assert recorder.run(node, replace(golden.SETTINGS, record=str(path))) == ""
    assert_in_data_set(path, tmp_path / "set")

    wired = wiring(graph, "evaluator")
    done = pack(Score(10_000, 0, 0, 0, True, False, ["coverage"], np.zeros(1)))
    events = [*heard(wired), {"type": "INPUT", "id": "score", "value": done, "metadata": {}}]
    node = replay_node(events, node_config=wired, dataflow_descriptor={"nodes": []})
    assert evaluator.run(node, replace(golden.SETTINGS, out=str(tmp_path))) == 0
    assert_side_by_side(tmp_path / "episode_0.mp4", (64, 64 + 96 + 64, 3), slice(70, 154))


@pytest.mark.graph
@pytest.mark.timeout(TRIES * TIMEOUT_S)
def test_a_graph_with_a_third_camera_of_the_users_own(dora_env, tmp_path):
    graph = graph_with_side(tmp_path / "graph.yml")
    path = path_with(install(tmp_path / "site"))
    variables = {"PYTHONPATH": path, "CAMERA_SIDE": f"own:{LEVEL}", "RECORD": tmp_path / "x.drec", "TIME_LIMIT_S": 8}
    done = run(graph, dora_env, tmp_path / "out", **variables)
    assert done.code == 0, done.text[-2000:]
    assert_side_by_side(tmp_path / "out" / "episode_0.mp4", (240, 720, 3), slice(250, 470))
    assert_in_data_set(tmp_path / "x.drec", tmp_path / "set")
