"""`rtr collect`: demonstrations as a data set: the expert's, with its returns after pushes, or a policy's, labelled."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from time import monotonic

import numpy as np
from rich.progress import track

from models.registry import policy_class
from nodes.drivers.camera_sim import renderer
from operators.messages import HZ
from operators.settings import Settings
from recordings.dataset.facts import Facts
from recordings.dataset.features import features as recorded_features
from recordings.dataset.reader import Dataset, Feature, feature
from recordings.dataset.writer import Prepared, Writer, prepare
from simulation.arm import World, cameras
from simulation.renderer import Renderer
from simulation.tasks import choice, make_task, named, task_class, taught
from studies.disturbed import Disturbances, Disturbed
from studies.driven import Driven
from studies.simulated import Simulated

COLLECTING_SEEDS = range(10_000)  # 10 000-19 999 tune, 20 000 and up evaluate


@dataclass(frozen=True)
class Collect:
    """Collect demonstrations of the expert, with pushes and its returns. The same command goes on where it was."""

    task: str = ""
    """Empty: the first there is."""
    episodes: int = 500
    seed: int = 0
    """Of the first episode; the next has the next. Below 10000: higher ones tune and evaluate."""
    out: Path = Path("datasets/demos")
    variant: str = ""
    """One of the task's own; empty: its first."""
    policy: str = "expert"
    """Who moves the arm: expert, or a learned policy, and the expert labels the states that it gets into."""
    fps: int = 10
    """Pictures and rows a second; divides 60."""
    image: int = 96
    """Width and height of the pictures."""
    render: int = 240
    """Width and height at which they are drawn before they are shrunk."""
    recovery: float = 0.2
    """Share of the expert's chunks before which the arm is pushed; this and the next two are for the expert."""
    drift: float = 0.4
    """Share that drift off millimetres while they are played, as a poor policy's do."""
    pause: float = 0.12
    """Share before which the robot stands a while, as in sync mode."""
    ticks: int = 100_000
    """Only so many of each episode: the first 120 or so are the way to the work piece, which is little of a whole."""
    workers: int = os.cpu_count() or 1

    def run(self) -> None:
        collect(self)


@dataclass(frozen=True)
class Job:
    """One episode to record."""

    options: Collect
    seed: int
    staging: Path


def collect(options: Collect) -> None:
    """Record the episodes that are not in the data set yet, in the order of their seeds.

    Raises:
        ValueError: an option that is none, or a data set collected with others.
    """
    _check(options)
    start, succeeded = monotonic(), []
    with Writer(options.out, options.fps, features(options), "ur5e_sim") as writer:
        _same_settings(options)
        if told := taught(options.task).FACTS:
            Facts.of(told, options.task).write(options.out)
        there = {about["seed"] for about in writer.about}
        seeds = [seed for seed in range(options.seed, options.seed + options.episodes) if seed not in there]
        jobs = [Job(options, seed, writer.staging / str(seed)) for seed in seeds]
        for episode in track(_recorded(jobs, options.workers), f"{options.out}", len(jobs)):
            writer.append(episode)
            succeeded.append(episode.about["success"])
    _summary(options.out, succeeded, monotonic() - start)


def features(options: Collect) -> dict[str, Feature]:
    """Observation, commands, and what only a simulation knows (`label.*`); times in ticks of 1/60 s."""
    task = taught(options.task)
    return {
        **recorded_features(options.fps, dict.fromkeys(cameras(task.SCENE), (options.image, options.image))),
        "since_push": feature("int64", 1),  # ticks since a disturbance last began, -1 before
        **{f"label.{name}": feature(*about) for name, about in task.LABELS.items()},
    }


def record(job: Job) -> Prepared:
    """Play one episode; everything random follows from the seed."""
    options = job.options
    every = HZ // options.fps
    if options.policy == "expert":
        task = make_task(options.task, job.seed, options.variant)
        disturbances = Disturbances(options.recovery, options.drift, options.pause)
        played = Disturbed(task, disturbances, every, *_rig(options.task, options.render), options.image)
    else:
        rigs = _driven(options.policy, options.task, options.variant, options.render)
        played = Driven(job.seed, rigs, every, _rig(options.task, options.render)[1], options.image)
    played.play(options.ticks)
    about = {"seed": job.seed, "task": named(options.task), "variant": _variant(options), **played.result()}
    notes, text = played.notes, task_class(options.task).TEXTS[0]
    rows, frames = notes.rows(), notes.frames()
    return prepare(job.staging, features(options), options.fps, rows, frames, text, about)


def _check(options: Collect) -> None:
    last = options.seed + options.episodes - 1
    if options.seed not in COLLECTING_SEEDS or last not in COLLECTING_SEEDS:
        allowed = f"seeds {COLLECTING_SEEDS[0]} to {COLLECTING_SEEDS[-1]} (higher ones tune and evaluate)"
        raise ValueError(f"expected {allowed}, got {options.seed} to {last}")
    if options.ticks < 1:
        raise ValueError(f"--ticks: expected at least 1, got {options.ticks}")
    if options.fps < 1 or HZ % options.fps:
        raise ValueError(f"--fps: expected a divisor of {HZ} such as 10, 15, 20 or 30, got {options.fps}")
    for name in ("recovery", "drift", "pause"):
        if not 0 <= getattr(options, name) <= 1:
            raise ValueError(f"--{name}: expected a share from 0 to 1, got {getattr(options, name)}")
    taught(options.task)
    make_task(options.task, options.seed, options.variant)
    if options.policy != "expert" and not policy_class(options.policy).cameras:
        raise ValueError(f"--policy: expected expert or a policy that goes by pictures, got {options.policy}")


def _variant(options: Collect) -> str:
    return choice("VARIANT", options.variant, task_class(options.task).VARIANTS)


def _same_settings(options: Collect) -> None:
    """Refuse to mix episodes collected with different settings."""
    path = options.out / "meta" / "collect.json"
    decisive = ("task", "variant", "policy", "fps", "image", "render", "recovery", "drift", "pause", "ticks")
    mine = {name: value for name, value in asdict(options).items() if name in decisive}
    mine |= {"task": named(options.task), "variant": _variant(options)}
    if not path.exists():
        path.write_text(json.dumps(mine, indent=1))
    theirs = {"policy": "expert"} | json.loads(path.read_text())
    if theirs != mine:
        raise ValueError(f"{path}: expected {mine}, got {theirs}; choose another --out")


def _recorded(jobs: list[Job], workers: int) -> Iterator[Prepared]:
    """The episodes in the order of the jobs, recorded on all cores."""
    if workers <= 1 or len(jobs) <= 1:
        yield from map(record, jobs)
        return
    context = get_context("spawn")  # OpenGL does not survive a fork
    with ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_end_with_parent) as pool:
        try:
            yield from pool.map(record, jobs)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _end_with_parent() -> None:
    """Leave when the run is killed; a pool's worker would wait for its next job for ever."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


@cache
def _rig(task: str, render: int) -> tuple[World, Renderer]:
    """One world and renderer a process, used again for every episode."""
    return World(), renderer(task, render, render)


@cache
def _driven(policy: str, task: str, variant: str, render: int) -> dict[str, Simulated]:
    """The same where a policy moves the arm."""
    config = Settings(policy=policy, task=task, variant=variant, image_width=render, image_height=render)
    return {mode: Simulated(config, mode) for mode in ("sync", "async_rtr")}


def _summary(out: Path, succeeded: list[float], elapsed_s: float) -> None:
    """Print what the data set holds, and how fast this run's episodes were recorded."""
    episodes = Dataset.open(out).episodes
    print(f"{out}: {len(episodes)} episodes, {sum(episode.length for episode in episodes)} rows")
    if succeeded:
        rate = f"{len(succeeded) / elapsed_s:.2f} a second, {elapsed_s:.0f} s"
        print(f"{len(succeeded)} recorded, {rate}; done well in {np.mean(succeeded):.0%} of them")
