"""`rtr evaluate`: seeded episodes in simulated time, metrics with intervals, traces to recompute everything from."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from hashlib import sha256
from math import ceil
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.console import Console
from rich.progress import track
from rich.table import Table

from operators.chunks.latency import TRACES, latency_ms
from operators.measure.intervals import aggregate
from operators.measure.log import EpisodeLog
from operators.measure.metrics import METRICS, episode_metrics
from operators.messages import HZ
from operators.settings import Settings
from recordings.trace import DamagedTrace, load, save
from studies.check import graph_settings
from studies.simulated import GRAPHS, OPTICS, Optics, Simulated

EVALUATION_SEEDS = 20_000  # 0-9 999 collect, 10 000-19 999 tune


@dataclass(frozen=True)
class Evaluate:
    """Evaluate a policy in simulated time: same seed, same bits. Other settings come from the environment."""

    task: str = ""
    """Empty: the first there is."""
    policy: str = "dp_latent60"
    mode: str = "async_rtr"
    """A graph of dataflows/, without its .yml."""
    graph: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """A graph of your own, in the place of --mode."""
    delay: str = "8"
    """Ticks of 1/60 s from the exposure of the picture to the takeover: a number, or lognormal:8, spikes:8, outage:8.
    The age of the picture is part of it. Below full feed fewer plan ticks pass in it."""
    episodes: int = 50
    seed: int = EVALUATION_SEEDS
    """Of the first episode; the next has the next."""
    variant: str = ""
    """One of the task's own; empty: its first."""
    sight: Literal["true", "black", "other_episode", "other_target"] = "true"
    """What the policy's pictures show; other_target: another goal is painted, and judged."""
    picture_age_ms: float = OPTICS.age_ms
    """From the exposure of a picture to the policy; the default is that of live runs."""
    picture_period: int = OPTICS.period_cycles
    """Cycles from one picture to the next that nobody asked for."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Write the metrics here: per name mean, 95 % interval, n."""
    trace: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Write traces here; episodes already there with the same configuration are not played again."""
    workers: int = os.cpu_count() or 1

    def run(self) -> None:
        evaluate(self)


@dataclass(frozen=True)
class Job:
    """One episode to play."""

    config: Settings
    mode: str  # a graph: its name in dataflows/, or its path
    delay: str
    number: int
    seed: int
    trace: Path | None
    sight: str = "true"
    timed: bool = False  # tell how long computation took; it changes nothing else
    optics: Optics = OPTICS

    @property
    def configuration(self) -> str:
        """Hash of everything that decides the outcome but the episode."""
        return sha256(repr((self.config, self.mode, self.delay, self.sight, self.optics)).encode()).hexdigest()[:12]


def evaluate(options: Evaluate) -> dict[str, dict]:
    """Play the episodes, print and write the metrics.

    Raises:
        ValueError: an option that is none.
    """
    names = {"TASK": options.task, "POLICY": options.policy, "VARIANT": options.variant}
    graph = options.graph or GRAPHS / f"{options.mode}.yml"
    config = graph_settings(graph, {**os.environ, **names})
    delay_cycles(options.delay, 0, 0, 0)
    optics, mode = Optics(options.picture_age_ms, options.picture_period), options.mode
    first = Job(config, mode, options.delay, 0, options.seed, options.trace, options.sight, optics=optics)
    first = replace(first, mode=str(options.graph)) if options.graph else first
    jobs = [replace(first, number=number, seed=options.seed + number) for number in range(options.episodes)]
    found = list(track(play_all(jobs, options.workers), f"{graph.stem}, delay {options.delay}", len(jobs)))
    metrics = aggregate([metrics for _, metrics in sorted(found, key=lambda pair: pair[0])])
    seeds = f"{options.episodes} episodes from seed {options.seed}"
    show(metrics, f"{options.policy}, {graph.stem}, delay {options.delay}, {seeds}")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        about = {"configuration": jobs[0].configuration, "seed": options.seed, "episodes": options.episodes}
        about["revision"] = revision()
        options.json.write_text(json.dumps({**_plain(metrics), "about": {**about, **settings_of(jobs[0])}}, indent=1))
    return metrics


def play_all(jobs: list[Job], workers: int) -> Iterator[tuple[int, dict[str, float]]]:
    """(number, metrics) of each episode as it ends, on all cores."""
    context = get_context("spawn")  # OpenGL and torch do not survive a fork
    with ProcessPoolExecutor(min(workers, len(jobs)), context) as pool:
        for future in as_completed([pool.submit(play, job) for job in jobs]):
            yield future.result()


def play(job: Job) -> tuple[int, dict[str, float]]:
    """One episode, from its trace where there is one of the same configuration."""
    log = traced(job) or _rig(job).run(
        job.number, job.seed, lambda chunk: delay_cycles(job.delay, job.seed, job.number, chunk)
    )
    log.meta["configuration"] = job.configuration
    if job.trace:
        save(job.trace, log)
    return job.number, episode_metrics(log)


def traced(job: Job) -> EpisodeLog | None:
    """The episode's trace if it was already played with this configuration."""
    if not job.trace:
        return None
    try:
        log = load(job.trace, f"episode_{job.number}")
    except (DamagedTrace, FileNotFoundError):
        return None
    same = (log.meta.get("configuration"), log.meta.get("seed")) == (job.configuration, job.seed)
    return log if same else None


def delay_cycles(delay: str, seed: int, episode: int, chunk_id: int) -> int:
    """From the exposure of one chunk's picture to its takeover, in cycles: ticks at full feed.

    Raises:
        ValueError: `delay` is neither a number nor TRACE:NUMBER.
    """
    trace, _, cycles = delay.rpartition(":")
    if (trace and trace not in TRACES) or not cycles.isdigit():
        raise ValueError(
            f"--delay: expected ticks such as 8, or one of {', '.join(TRACES)} as in lognormal:8, got {delay}"
        )
    if not trace:
        return int(cycles)
    return ceil(latency_ms(trace, int(cycles) * 1000 / HZ, seed, episode, chunk_id) * HZ / 1000)


def revision() -> str:
    """Git revision of the code that ran, `-dirty` where files differ from it, or unknown."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def _plain(metrics: dict[str, dict]) -> dict[str, dict]:
    """JSON knows no NaN: what was not measured has n = 0 and null."""
    unmeasured = {"mean": None, "ci95": None, "n": 0}
    return {name: dict(found) if found["n"] else unmeasured for name, found in metrics.items()}


def settings_of(job: Job) -> dict[str, object]:
    return {**vars(job.config), "mode": job.mode, "delay": job.delay, "sight": job.sight}


def show(metrics: dict[str, dict], title: str) -> None:
    """Print a table of all metrics."""
    table = Table("metric", "mean", "95 % interval", "n", "unit", title=title)
    for name, found in metrics.items():
        low, high = found["ci95"]
        table.add_row(name, f"{found['mean']:.3f}", f"{low:.3f} .. {high:.3f}", str(found["n"]), METRICS[name].unit)
    Console().print(table)


_rigs: dict[tuple, Simulated] = {}


def _rig(job: Job) -> Simulated:
    """One world a process, used again for every episode."""
    key = (job.config, job.mode, job.sight, job.timed, job.optics)
    if key not in _rigs:
        graph = Path(job.mode) if job.mode.endswith(".yml") else job.mode
        _rigs[key] = Simulated(job.config, graph, job.sight, time.perf_counter_ns if job.timed else int, job.optics)
    return _rigs[key]
