"""Real `dora run`s of the graphs, judged by what they leave behind."""

import json
import sys
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from operators.measure.log import EpisodeLog
from operators.measure.metrics import episode_metrics
from tests.graphs import TIMEOUT_S, TRIES, run, steady_run, with_node

pytestmark = [pytest.mark.graph, pytest.mark.timeout(TRIES * TIMEOUT_S + 60)]

PROBE = """#!{python}
import json, re
from dora import Node

def mapped(address):
    for line in open("/proc/self/maps"):
        start, end = (int(x, 16) for x in line.split()[0].split("-"))
        if start <= address < end:
            return line.split()[1], line.split()[-1]

node, found = Node(), None
for event in node:
    if event["type"] == "STOP" or (event["type"] == "INPUT_CLOSED"):
        break
    if event["type"] == "INPUT" and found is None:
        array = event["value"]
        rights, file = mapped(array.buffers()[1].address)
        found = dict(file=file, rights=rights, writeable=bool(array.to_numpy().flags.writeable), bytes=len(array))
        metadata = event["metadata"]
        found["metadata"] = {{key: type(metadata[key]).__name__ for key in metadata if key != "timestamp"}}
        json.dump(found, open({out!r}, "w"))
"""


@pytest.fixture(scope="module")
def async_rtr(tmp_path_factory, module_dora_env):
    """One episode of async_rtr.yml with a node that looks at the frames it receives."""
    folder = tmp_path_factory.mktemp("async_rtr")
    probe = folder / "probe"
    probe.write_text(PROBE.format(python=sys.executable, out=str(folder / "probe.json")))
    probe.chmod(0o755)
    edge = "{source: camera_front/frame_front, queue_size: 2}"
    node = f"  - id: probe\n    path: {probe}\n    inputs:\n      frame: {edge}\n"
    graph = with_node("async_rtr.yml", node, folder / "graph.yml")
    done = steady_run(graph, module_dora_env, folder / "out", LATENCY_MS=100)
    return folder, done


def test_an_episode_ends_by_itself_with_success(async_rtr):
    _, done = async_rtr
    assert done.code == 0, done.text[-2000:]
    [log] = done.logs
    assert log.score["success"] == 1 and log.meta["mode"] == "async_rtr"
    assert "tick" in done.text and "velocity jump" in done.text and "report.html" in done.text


def test_nothing_starves_and_the_loop_is_even(async_rtr):
    metrics = async_rtr[1].report["metrics"]
    assert metrics["starved_percent"]["mean"] == 0
    assert metrics["jitter_ms_p50"]["mean"] < 1
    assert set(async_rtr[1].report["metrics"]) >= {"velocity_jump", "deviation_mm", "delay_ticks", "refine_ms_p99"}


def test_chunks_were_timed_from_request_to_takeover(async_rtr):
    chunk = async_rtr[1].logs[0].chunks[3]
    stations = chunk.request_ns, chunk.inference_start_ns, chunk.inference_end_ns, chunk.handed_ns
    assert list(stations) == sorted(stations)
    assert chunk.inference_end_ns - chunk.request_ns > 95e6


def test_a_frame_lies_in_shared_memory_and_is_read_only(async_rtr):
    folder, _ = async_rtr
    found = json.loads((folder / "probe.json").read_text())
    assert "/dev/shm" in found["file"] or ".zenoh" in found["file"], found
    assert not found["writeable"] and found["bytes"] == 240 * 240 * 3
    assert {found["metadata"][key] for key in ("width", "height", "seq", "episode", "t_ns")} == {"int"}


def test_the_video_shows_both_cameras(async_rtr):
    video = cv2.VideoCapture(str(async_rtr[1].out / "episode_0.mp4"))
    good, picture = video.read()
    assert good and picture.shape == (240, 480, 3)
    assert picture[:, :240].std() > 10 and picture[:, 240:].std() > 10
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) > 60


def test_the_report_stands_alone(async_rtr):
    page = (async_rtr[1].out / "report.html").read_text()
    assert len(page) > 20_000 and "http://" not in page.replace("http://www.w3.org", "") and "<script src" not in page


def test_sync_chunks_start_where_the_robot_stands(dora_env, tmp_path):
    done = steady_run("sync.yml", dora_env, tmp_path, NOISE=0)
    assert done.code == 0, done.text[-2000:]
    [log] = done.logs
    for chunk in log.chunks[1:]:
        if chunk.takeover_ns is None:
            continue
        assert chunk.handed is not None
        before, first = log.cycles.action[log.cycles.tick < chunk.t0][-1], chunk.handed.action[0]
        assert np.linalg.norm(first[:3] - before[:3]) < 3e-3  # a tick's way at full speed, and the servo's lag
    metrics = episode_metrics(log)
    assert metrics["waiting_percent"] > 10 and metrics["starved_percent"] == 0 and log.score["success"] == 1


def test_naive_and_operators_graphs_run(dora_env, tmp_path):
    for graph, mode in (("async_naive.yml", "async_naive"), ("async_rtr_operators.yml", "async_rtr")):
        done = run(graph, dora_env, tmp_path / graph)
        assert done.code == 0, done.text[-2000:]
        assert done.logs[0].meta["mode"] == mode and done.logs[0].score["success"] == 1


def test_a_guided_policy_runs_and_one_that_cannot_be_guided_ends_the_run(dora_env, tmp_path):
    done = steady_run("async_rtc.yml", dora_env, tmp_path / "flow", POLICY="expert_flow")
    assert done.code == 0, done.text[-2000:]
    [log] = done.logs
    metrics = episode_metrics(log)
    assert log.meta["mode"] == "async_rtc" and log.score["success"] == 1 and metrics["starved_percent"] == 0
    refused = run("async_rtc.yml", dora_env, tmp_path / "expert", POLICY="expert")
    assert refused.code == 1 and refused.seconds < 15
    assert "GUIDE=rtc: it steers the sampling steps" in refused.text


def test_a_learned_policy_is_corrected_every_tick(dora_env, tmp_path):
    done = steady_run("async_a2c2.yml", dora_env, tmp_path, POLICY="dp_latent60", CODEC="vae", TIME_LIMIT_S=20)
    assert done.code == 0, done.text[-2000:]
    [log] = done.logs
    assert log.meta["mode"] == "async_a2c2" and log.score["coverage"] > 0.5
    assert episode_metrics(log)["starved_percent"] == 0
    moved = np.array([np.linalg.norm(planned[:3] - chunk[:3]) for planned, chunk in told_and_chunks(log)])
    assert len(moved) > 200 and (moved > 1e-5).mean() > 0.9 and moved.max() < 0.02


def told_and_chunks(log: EpisodeLog) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """What was planned in each cycle, and the row of its chunk."""
    handed = {chunk.chunk_id: chunk.handed for chunk in log.chunks}
    for planned, tick, owner in zip(log.cycles.planned, log.cycles.tick, log.cycles.chunk_id, strict=True):
        rows = handed.get(owner)
        if rows is not None and rows.tick <= tick < rows.end:
            yield planned, rows.at(tick)


def test_with_600_ms_latency_no_cycle_starves_after_the_first_chunk(dora_env, tmp_path):
    done = steady_run("async_rtr.yml", dora_env, tmp_path, LATENCY_MS=600, NOISE=0)
    assert done.code == 0 and done.report["metrics"]["starved_percent"]["mean"] == 0


def test_with_2_s_latency_it_starves_brakes_and_moves_on(dora_env, tmp_path):
    done = steady_run("async_rtr.yml", dora_env, tmp_path, LATENCY_MS=2000, NOISE=0, TIME_LIMIT_S=20)
    assert done.code == 0
    state, tick = done.logs[0].cycles.state, done.logs[0].cycles.tick
    assert {"braking", "holding"} <= set(state) and done.report["metrics"]["starved_percent"]["mean"] > 0
    recovered = np.count_nonzero((state[1:] == "playing") & (state[:-1] == "holding"))
    assert recovered >= 2 and tick[-1] > 60, done.text[-2000:]


def test_episodes_follow_each_other_and_a_trace_can_be_replayed(dora_env, tmp_path):
    first = run("async_rtr.yml", dora_env, tmp_path / "first", EPISODES=2, NOISE=0)
    assert first.code == 0 and [log.meta["seed"] for log in first.logs] == [10003, 10004]
    trace = tmp_path / "first" / "trace" / "episode_0"
    again = run("async_rtr.yml", dora_env, tmp_path / "again", POLICY="replay", REPLAY=trace)
    assert again.code == 0 and again.logs[0].score["coverage"] > 0.9
