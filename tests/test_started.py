"""Graphs under `dora up` and `dora start`, where nodes inherit the daemon's environment and not the shell's."""

import subprocess
from collections.abc import Iterator

import pytest

from recordings.trace import load, names
from tests.graphs import ROOT, TIMEOUT_S

pytestmark = [pytest.mark.graph, pytest.mark.timeout(4 * TIMEOUT_S)]
LEAKED = {"ROBOT": "nothing", "POLICY": "nothing", "TASK": "nothing", "CAMERA_FRONT": "nothing", "VARIANT": "nothing"}


def dora(env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = ["dora", *words]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S)


@pytest.fixture
def daemon(dora_env) -> Iterator[dict[str, str]]:
    """A daemon that somebody started with other variables -> the environment of a clean shell."""
    up = dora(dora_env | LEAKED, "up")
    assert up.returncode == 0, up.stdout + up.stderr
    yield dora_env
    dora(dora_env, "down")


def test_what_a_graph_lists_is_the_shells_and_nothing_leaks_from_the_daemon(daemon, tmp_path):
    for graph, mode in (("sync.yml", "sync"), ("async_rtr.yml", "async_rtr")):
        out = tmp_path / mode
        shell = daemon | {
            "POLICY": "expert",
            "SEED": "10003",
            "OUT": str(out),
            "RECORD": str(tmp_path / f"{mode}.drec"),
        }
        started = "--attach", "--env", "CODEC=dct", "--env", "TIME_LIMIT_S=4", "--env", "NOISE=0"
        done = dora(shell, "start", f"dataflows/{graph}", *started)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        (name,) = names(out / "trace")
        log = load(out / "trace", name)
        told = {key: log.meta[key] for key in ("task", "policy", "mode", "codec", "noise")}
        assert told == {"task": "write_board", "policy": "expert", "mode": mode, "codec": "dct", "noise": 0}
        assert len(log.cycles) > 100 and (tmp_path / f"{mode}.drec").stat().st_size > 10_000
