"""A task, a policy, a robot and a camera of a user's own package go everywhere, without a change in this project."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from recordings.dataset.reader import Dataset
from tests.graphs import ROOT, TIMEOUT_S, TRIES, run
from tests.own_rig import path_with
from tests.test_third_camera import graph_with_side

ENTRIES = """
[rtr.tasks]
touch = a_users_own.task:Touch
[rtr.policies]
aside = a_users_own.policy:Aside
[rtr.robots]
slow = a_users_own.rig:Slow
[rtr.cameras]
plain = a_users_own.rig:Plain
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> str:
    """The package as pip would leave it -> PYTHONPATH with it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "tests" / "own", folder / "a_users_own")
    about = folder / "a_users_own-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: a-users-own\nVersion: 1\n")
    (about / "entry_points.txt").write_text(ENTRIES)
    return path_with(folder)


def rtr(site: str, *words: object, **variables: str) -> str:
    command = [sys.executable, "-m", "studies.cli", *map(str, words)]
    environ = {**os.environ, "PYTHONPATH": site, **variables}
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environ, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("policy", ["expert", "aside"])
@pytest.mark.parametrize("mode", ["sync", "async_rtr"])
def test_evaluated_and_reported(site, tmp_path, policy, mode):
    about = "--task", "touch", "--policy", policy, "--mode", mode, "--episodes", 1, "--json", tmp_path / "x.json"
    rtr(site, "evaluate", *about, "--trace", tmp_path / "trace", REFINE_CODEC="dct", NOISE="0")
    found = json.loads((tmp_path / "x.json").read_text())
    assert found["success"]["mean"] == 1 and found["deviation_mm"]["mean"] < 2
    rtr(site, "report", tmp_path / "trace", "--out", tmp_path)
    assert "touch" in (tmp_path / "report.html").read_text()


def test_collected_as_a_data_set_that_is_played(site, tmp_path):
    data = tmp_path / "set"
    said = rtr(site, "collect", "--task", "touch", "--episodes", 2, "--out", data, "--image", 24, "--workers", 1)
    assert "2 episodes" in said
    rtr(site, "dataset", "check", data)
    dataset = Dataset.open(data)
    assert dataset.cameras == ("front", "side") and dataset.episodes[0].tasks == ("Touch the point.",)
    rtr(site, "recording", "from-dataset", data, tmp_path / "x.drec", "--episodes", 0)
    assert "touch" in rtr(site, "recording", "info", tmp_path / "x.drec")
    rtr(site, "openloop", data, "--policy", "aside", "--out", tmp_path, NOISE="0")


def test_what_is_not_there_is_named_with_the_choices(site):
    with pytest.raises(AssertionError, match="expected one of write_board, touch, got 'tuch'"):
        rtr(site, "evaluate", "--task", "tuch", "--policy", "expert", "--episodes", 1)
    with pytest.raises(AssertionError, match="VARIANT: expected one of left, right, got 'up'"):
        rtr(site, "collect", "--task", "touch", "--variant", "up")


@pytest.mark.graph
@pytest.mark.timeout(TRIES * TIMEOUT_S)
def test_live_recorded_and_reported(site, dora_env, tmp_path):
    graph, path = graph_with_side(tmp_path / "graph.yml"), tmp_path / "x.drec"
    wired = yaml.safe_load(graph.read_text())
    policy = next(node for node in wired["nodes"] if node["id"] == "policy")
    policy["inputs"]["frame_side"] = {"source": "camera_side/frame_side", "queue_size": 2}
    for node in wired["nodes"]:  # of its own scene only the front view is drawn
        if node["id"] == "camera_wrist":
            node["env"] = {"CAMERA_WRIST": "sim:front"}
    graph.write_text(yaml.safe_dump(wired, sort_keys=False))
    own: dict[str, Any] = {"TASK": "touch", "POLICY": "aside", "ROBOT": "slow", "CAMERA_SIDE": "plain:120"}
    own |= {"PYTHONPATH": site, "RECORD": path, "TIME_LIMIT_S": 15}
    done = run(graph, dora_env, tmp_path / "out", **own)
    assert done.code == 0 and "episode 0: done" in done.text, done.text[-2000:]
    (log,) = done.logs
    assert log.score["success"] == 1 and len(log.marks) and len(log.reference)
    assert np.linalg.norm(log.cycles.action[0, :3] - log.reference[0]) < 1e-3  # it waited until the robot was ready
    rtr(site, "recording", "check", path)
    assert rtr(site, "recording", "to-dataset", path, tmp_path / "runs", "--fps", 10)
    rtr(site, "report", path, "--out", tmp_path / "again")
    told = json.loads((tmp_path / "again" / "report.json").read_text())["metrics"]
    assert told["success"]["mean"] == 1 and Path(tmp_path / "again" / "report.html").is_file()
