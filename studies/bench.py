"""`rtr bench`: how fast the parts are, and how even the loop is while everything runs.

Percentiles beside their bars; no verdict from one run on a noisy machine.
"""

import os
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

from operators.chunks.codec import DctCodec, reconstruct
from operators.chunks.refine import refine
from operators.messages import HORIZON, Plan
from operators.motion.join import newest
from operators.motion.limits import Limiter
from operators.motion.plan import hold
from operators.motion.rotation import action_from_pose
from operators.motion.rows import Rows, rows
from operators.schema import pack, unpack
from recordings.drec.file import Reader
from recordings.drec.survey import survey
from robots import read_robot
from studies.running import run_graph

LIVE = (
    *("starved_percent", "jitter_ms_p50", "jitter_ms_p99", "jitter_ms_max"),
    *("refine_ms_p50", "refine_ms_p99", "delay_ticks"),
)
SETTLED_S = 2.0  # dora loses messages while the processes of a graph find each other


@dataclass(frozen=True)
class Bench:
    """Time the parts, a live run while both cores are kept busy, and one with and one without a recording."""

    seconds: int = 60
    """Of each live run at least; 0 leaves them out."""
    latency_ms: int = 100
    busy: int = os.cpu_count() or 1
    """Processes that do nothing but load the cores meanwhile."""

    def run(self) -> None:
        console = Console()
        console.print(parts())
        if self.seconds:
            console.print(live(self))
            console.print(recorded(self))


def parts() -> Table:
    """Time of each part on the 60 Hz path and of the refinement."""
    walk = np.cumsum(np.full((HORIZON + 64, 6), 1e-3), 0) * [1, 0.5, 0, 0, 0, 0]
    actions = action_from_pose(walk + [0.4, 0, 0.3, 0, 3, 0])
    chunk, executed = rows(56, actions[56 : 56 + HORIZON]), rows(0, actions[:64])
    planned, pose, codec = rows(64, actions[64:96]), walk[56], DctCodec()
    plan = hold(actions[0]).receive(rows(0, actions[:48]), 0, newest)
    limiter = Limiter.start(actions[0], read_robot("ur5e").envelope)
    message = Plan(
        0, 0, 0, 0, 64, "playing", executed.action, planned.action, np.zeros(96, np.int64), 1, 9, 1, 2, 0, 63, -1
    )
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
    with TemporaryDirectory() as folder:
        found = run_live(options, Path(folder), options.busy)
    bars = {"starved_percent": "0", "jitter_ms_p99": "< 1 where SCHED_FIFO is allowed", "refine_ms_p99": "< 3"}
    table = Table("metric", "mean", "bar", title=f"live, {options.busy} busy processes beside it")
    for name in LIVE:
        table.add_row(name, f"{found[name]['mean']:.3f}", bars.get(name, ""))
    return table


def recorded(options: Bench) -> Table:
    """The same run twice, without and with a recording of everything, both cameras too."""
    with TemporaryDirectory() as folder:
        without = run_live(options, Path(folder) / "without", 0)
        file = Path(folder) / "run.drec"
        recording = run_live(options, Path(folder) / "with", 0, RECORD=str(file), RECORD_FRAMES="zstd")
        with Reader(file) as reader:
            whole, settled = survey(reader), survey(reader, SETTLED_S)
    table = Table("metric", "without", "recorded", "ratio", "bar", title="live, with and without a recording")
    for name in LIVE:
        plain, beside = without[name]["mean"], recording[name]["mean"]
        ratio = f"{beside / plain:.2f}" if plain else ""
        bar = "ratio <= 1.2" if name == "jitter_ms_p99" else ""
        table.add_row(name, f"{plain:.3f}", f"{beside:.3f}", ratio, bar)
    table.add_row("messages", "", str(whole.messages), "", "")
    table.add_row(f"lost in the first {SETTLED_S:g} s", "", str(whole.missing - settled.missing), "", "0")
    table.add_row("lost after that", "", str(settled.missing), "", "0")
    return table


def run_live(options: Bench, out: Path, busy: int, **values: str) -> dict[str, dict]:
    """Metrics of a live run of async_rtr.yml with `busy` processes that load the cores."""
    episodes, stop = max(1, -(-options.seconds // 8)), Event()
    with ExitStack() as stack:
        for _ in range(busy):
            process = Process(target=_spin, args=(stop,), daemon=True)
            process.start()
            stack.callback(process.join)
        stack.callback(stop.set)
        chosen = {"LATENCY_MS": str(options.latency_ms), "EPISODES": str(episodes), **values}
        print(f"live run of {episodes} episodes, {busy} busy processes, {values or 'nothing recorded'} ...", flush=True)
        return run_graph("async_rtr", out, chosen)["metrics"]


def _spin(stop) -> None:
    while not stop.is_set():
        sum(range(10000))
