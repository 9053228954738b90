"""The README's commands on a recording as users make it: of a live run, made here, of a policy that looks."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recordings.drec.demonstrations import demonstrations
from recordings.drec.survey import playable
from tests.boot import FAR_NS, JUST_STARTED_NS, earliest_ns, moved_recording
from tests.graphs import TIMEOUT_S, run
from tests.test_recording import look

pytestmark = [pytest.mark.graph, pytest.mark.timeout(4 * TIMEOUT_S)]
POLICY: dict[str, Any] = {"POLICY": "dp_latent60", "CODEC": "vae"}


@pytest.fixture(scope="module")
def recording(tmp_path_factory, module_dora_env) -> Path:
    folder = tmp_path_factory.mktemp("fresh")
    path = folder / "run.drec"
    done = run("async_rtr.yml", module_dora_env, folder / "out", **POLICY, RECORD=path, TIME_LIMIT_S=6)
    assert done.code == 0, done.text[-2000:]
    assert playable(look(path)) == "" and look(path).problems == 0
    return path


def ticks(path: Path) -> int:
    return int(demonstrations(path)[0].measured.tick.max())


@pytest.mark.parametrize("speed", [1, 4])
def test_it_plays_to_its_end_at_every_speed(recording, dora_env, tmp_path, speed):
    done = run("playback.yml", dora_env, tmp_path, **POLICY, RECORDING=recording, SPEED=speed)
    assert done.code == 0 and "episode 0: done" in done.text, done.text[-2000:]
    assert done.logs[0].cycles.tick[-1] > 0.9 * ticks(recording) - 20
    chunks = [chunk for chunk in done.logs[0].chunks if chunk.arrival_tick is not None]
    assert len(chunks) > 5 and not any(fault[1:3] == ("executor", "chunk refused") for fault in done.logs[0].faults[1:])


@pytest.mark.parametrize("boot", ["just started", "up for long"])
def test_it_plays_on_a_machine_of_another_boot(recording, dora_env, tmp_path, boot):
    by_ns = JUST_STARTED_NS - earliest_ns(recording) if boot == "just started" else FAR_NS
    path = moved_recording(recording, tmp_path / "moved.drec", by_ns)
    done = run("playback.yml", dora_env, tmp_path / "out", **POLICY, RECORDING=path, SPEED=4, LATENCY_MS=50)
    assert done.code == 0 and "episode 0: done" in done.text, done.text[-2000:]
    assert done.logs[0].cycles.tick[-1] > 0.9 * ticks(recording) - 20


def rtr(*words: object) -> str:
    command = [sys.executable, "-m", "studies.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_open_loop_finds_the_picture_of_every_moment(recording, tmp_path):
    rtr("openloop", recording, "--policy", "dp_latent60", "--out", tmp_path, "--json", tmp_path / "x.json")
    told = json.loads((tmp_path / "x.json").read_text())["dp_latent60"]
    assert told["deviation_mm"]["mean"] < 20 and np.isfinite(told["chunk_jerk_mm_per_tick3"]["mean"])
    assert (tmp_path / "openloop.html").is_file()


def test_it_can_be_looked_at_cut_and_converted(recording, tmp_path):
    assert "write_board" in rtr("recording", "info", recording)
    rtr("recording", "check", recording)
    rtr("recording", "plot", recording, tmp_path / "run.png")
    rtr("recording", "trim", recording, tmp_path / "part.drec", "--from-s", 1, "--to-s", 3)
    rtr("recording", "to-dataset", recording, tmp_path / "runs", "--fps", 15)
    rtr("recording", "from-dataset", tmp_path / "runs", tmp_path / "again.drec", "--episodes", 0)
    rtr("recording", "to-mcap", recording, tmp_path / "run.mcap")
    assert look(tmp_path / "part.drec").problems == 0 and look(tmp_path / "again.drec").problems == 0
