"""`rtr bench`: how fast the parts are, and how even the loop is while everything runs.

Percentiles beside their bars; no verdict from one run on a noisy machine.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import Event, Process
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.table import Table

from operators.codec import DctCodec, reconstruct
from operators.join import newest
from operators.limits import Envelope, Limiter
from operators.messages import HORIZON, Plan, pack, unpack
from operators.plan import hold
from operators.refine import refine
from operators.rotation import action_from_pose
from operators.rows import Rows, rows

GRAPH = Path(__file__).parents[1] / "dataflows" / "async_rtr.yml"


@dataclass(frozen=True)
class Bench:
    """Time the parts, then a live run while both cores are kept busy."""

    seconds: int = 60
    """Of the live run at least; 0 leaves it out."""
    latency_ms: int = 100
    busy: int = os.cpu_count() or 1
    """Processes that do nothing but load the cores meanwhile."""

    def run(self) -> None:
        console = Console()
        console.print(parts())
        if self.seconds:
            console.print(live(self))


def parts() -> Table:
    """Time of each part on the 60 Hz path and of the refinement."""
    walk = np.cumsum(np.full((HORIZON + 64, 6), 1e-3), 0) * [1, 0.5, 0, 0, 0, 0]
    actions = action_from_pose(walk + [0.4, 0, 0.3, 0, 3, 0])
    chunk, executed = rows(56, actions[56 : 56 + HORIZON]), rows(0, actions[:64])
    planned, pose, codec = rows(64, actions[64:96]), walk[56], DctCodec()
    plan = hold(actions[0]).receive(rows(0, actions[:48]), 0, newest)
    limiter = Limiter.start(actions[0], Envelope())
    message = Plan(0, 0, 0, 0, 64, "playing", executed.action, planned.action, np.zeros(96, np.int64))
    array = pack(message)
    table = Table("part", "wall p50 ms", "wall p99 ms", "CPU p99 ms", "bar", title="parts")

    def again(splice: Rows) -> Rows:
        return reconstruct(splice, pose, codec)

    for name, bar, call in (
        ("refine (DCT)", "p99 < 3 ms", lambda: refine("rtr", chunk, executed, planned, again)),
        ("plan step", "", lambda: plan.step()),
        ("limits", "", lambda: limiter.limit(actions[0])),
        ("pack a plan", "", lambda: pack(message)),
        ("check and unpack a plan", "", lambda: unpack(Plan, array)),
    ):
        p50, p99 = np.percentile(times_ms(call, time.perf_counter_ns), [50, 99])
        cpu = np.percentile(times_ms(call, time.thread_time_ns), 99)  # without what other programs took
        table.add_row(name, f"{p50:.3f}", f"{p99:.3f}", f"{cpu:.3f}", bar)
    return table


def times_ms(call: Callable[[], object], clock: Callable[[], int], repeat: int = 1000) -> np.ndarray:
    """Duration of each of many calls."""
    call()
    marks = [clock()]
    for _ in range(repeat):
        call()
        marks.append(clock())
    return np.diff(marks) / 1e6


def live(options: Bench) -> Table:
    """Run async_rtr.yml for a while with both cores loaded and show its metrics."""
    episodes, stop = max(1, -(-options.seconds // 8)), Event()
    with TemporaryDirectory() as folder, ExitStack() as stack:
        for _ in range(options.busy):
            process = Process(target=_spin, args=(stop,), daemon=True)
            process.start()
            stack.callback(process.join)
        stack.callback(stop.set)
        values = {"LATENCY_MS": options.latency_ms, "EPISODES": episodes, "OUT": folder}
        environ = {**os.environ, **{name: str(value) for name, value in values.items()}}
        command = ["dora", "run", "--log-level", "error", str(GRAPH)]
        print(f"live run of {episodes} episodes with {options.busy} busy processes ...", flush=True)
        done = subprocess.run(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            sys.exit(f"rtr bench: the live run failed\n{done.stdout[-2000:]}")
        found = json.loads((Path(folder) / "report.json").read_text())["metrics"]
    table = Table("metric", "mean", "bar", title=f"{episodes} live episodes, {options.busy} busy processes beside them")
    bars = {"starved_percent": "0", "jitter_ms_p99": "< 1 where SCHED_FIFO is allowed", "refine_ms_p99": "< 3"}
    for name in (
        "starved_percent",
        "jitter_ms_p50",
        "jitter_ms_p99",
        "jitter_ms_max",
        "refine_ms_p50",
        "refine_ms_p99",
        "delay_ticks",
    ):
        table.add_row(name, f"{found[name]['mean']:.3f}", bars.get(name, ""))
    return table


def _spin(stop) -> None:
    while not stop.is_set():
        sum(range(10000))
