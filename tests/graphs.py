"""Running real graphs in tests, each in a world of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from operators.measure.log import EpisodeLog
from recordings.trace import load, names

ROOT = Path(__file__).parents[1]
SHARED_MEMORY = Path("/dev/shm")


STALL_S = 0.1  # a machine that gives a sleeping process no processor for so long starves a robot, whatever it runs
TRIES = 3
TIMEOUT_S = 120.0


class Run(NamedTuple):
    """A finished `dora run`.

    Attributes:
        stall_s: the longest that this process, which only slept meanwhile, was woken up too late.
    """

    code: int
    text: str
    seconds: float
    logs: list[EpisodeLog]
    report: dict
    out: Path
    stall_s: float


def start(graph: Path | str, env: dict[str, str], out: Path, **variables: object) -> subprocess.Popen:
    """`dora run` in the background, its output in out/log.txt."""
    out.mkdir(parents=True, exist_ok=True)
    env = {**env, "OUT": str(out), "SEED": "10003", "POLICY": "expert", "CODEC": "dct"}
    env |= {name: str(value) for name, value in variables.items()}
    command = ["dora", "run", "--log-level", "stdout", str(ROOT / "dataflows" / graph)]
    with (out / "log.txt").open("w") as log:
        return subprocess.Popen(
            command, env=env, stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, start_new_session=True
        )


def finish(process: subprocess.Popen, out: Path, begun: float, timeout: float) -> Run:
    """Wait for a run to end by itself; one that does not is killed and fails the test."""
    stall_s, last = 0.0, time.monotonic()
    while (code := process.poll()) is None:
        time.sleep(0.01)
        stall_s, last = max(stall_s, time.monotonic() - last - 0.01), time.monotonic()
        if last - begun > timeout:
            os.killpg(process.pid, signal.SIGKILL)
            sys.stdout.write((out / "log.txt").read_text()[-3000:])
            raise subprocess.TimeoutExpired(process.args, timeout)
    report = out / "report.json"
    logs = [load(out / "trace", name) for name in names(out / "trace")] if (out / "trace").exists() else []
    text = (out / "log.txt").read_text()
    found = json.loads(report.read_text()) if report.exists() else {}
    return Run(code, text, time.monotonic() - begun, logs, found, out, stall_s)


def run(graph: Path | str, env: dict[str, str], out: Path, timeout: float = TIMEOUT_S, **variables: object) -> Run:
    """`dora run` to its end."""
    begun = time.monotonic()
    return finish(start(graph, env, out, **variables), out, begun, timeout)


def steady_run(graph: Path | str, env: dict[str, str], out: Path, **variables: object) -> Run:
    """A run to judge by its timing: repeated, at most twice, if the machine stood still meanwhile."""
    done = run(graph, env, out / "0", TIMEOUT_S, **variables)
    for attempt in range(1, TRIES):
        if done.stall_s < STALL_S:
            break
        done = run(graph, env, out / str(attempt), TIMEOUT_S, **variables)
    return done


def with_node(graph: str, node: str, to: Path) -> Path:
    """A copy of a graph with one more node (YAML text of the list item) at `to`."""
    to.write_text((ROOT / "dataflows" / graph).read_text() + "\n" + node)
    return to


def processes_of(home: str) -> list[str]:
    """Commands of the processes that were started with this HOME and still live."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={home}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except (PermissionError, FileNotFoundError, ProcessLookupError):
            continue
    return [command for command in found if command]
