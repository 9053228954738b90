"""`rtr collect`: the expert's demonstrations as a data set, with its returns after pushes."""

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

from operators.messages import ACTION_WIDTH, HZ, Scene
from operators.rotation import action_from_pose, matrix_from_vector
from recordings.dataset import Dataset, Feature, Rows, feature
from recordings.dataset_writer import Prepared, Writer, prepare
from recordings.features import LAGS, TASK_TEXTS
from recordings.features import features as recorded_features
from simulation.renderer import CAMERAS, Renderer
from simulation.tasks import make_task
from simulation.world import LONGEST_PUSH, World
from simulation.write_board import WriteBoard

COLLECTING_SEEDS = range(10_000)  # 10 000-19 999 tune, 20 000 and up evaluate
REPLAN = 24  # ticks between two chunks of the expert
REST = HZ // 2  # ticks recorded after the lift
SHORTEST_PUSH = 0.001  # m, along the surface
PRESS = 0.0005  # m, along the normal
PRESS_SHARE = 0.2  # of the disturbances, those along the normal
PUSH_SPREAD = np.radians(25)  # standard deviation of a push's direction from straight across the stroke


@dataclass(frozen=True)
class Collect:
    """Collect the expert's demonstrations, with pushes and its returns. The same command goes on where it was."""

    task: str = "write_board"
    episodes: int = 500
    seed: int = 0
    """Of the first episode; the next has the next. Below 10000: higher ones tune and evaluate."""
    out: Path = Path("datasets/write_board")
    targets: str = "random"
    fps: int = 15
    """Pictures and rows a second; divides 60."""
    image: int = 96
    """Width and height of the pictures."""
    recovery: float = 0.3
    """Share of the expert's chunks before which the arm is pushed."""
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
        there = {about["seed"] for about in writer.about}
        seeds = [seed for seed in range(options.seed, options.seed + options.episodes) if seed not in there]
        jobs = [Job(options, seed, writer.staging / str(seed)) for seed in seeds]
        for episode in track(_recorded(jobs, options.workers), f"{options.out}", len(jobs)):
            writer.append(episode)
            succeeded.append(episode.about["success"])
    _summary(options.out, succeeded, monotonic() - start)


def features(options: Collect) -> dict[str, Feature]:
    """Observation, commands, and what only a simulation knows (`label.*`); times in ticks of 1/60 s."""
    return {
        **recorded_features(options.fps, dict.fromkeys(CAMERAS, (options.image, options.image))),
        "since_push": feature("int64", 1),  # ticks since the arm was last disturbed, -1 before
        "label.board_pose": feature("float32", 6),  # xyz, rotation vector
        "label.ticks_left": feature("int64", 1),  # until the end of the lift
    }


def record(job: Job) -> Prepared:
    """Play one episode; everything random follows from the seed."""
    options = job.options
    task = make_task(options.task, job.seed, options.targets)
    demonstration = Demonstration(task, options, *_rig(options.image))
    demonstration.play()
    about = {"seed": job.seed, **demonstration.result()}
    rows, frames, text = demonstration.rows(), demonstration.frames(), TASK_TEXTS[options.task]
    return prepare(job.staging, features(options), options.fps, rows, frames, text, about)


class Demonstration:
    """One episode: the expert plans anew every REPLAN ticks without delay, and is disturbed before some of its chunks.

    A row's `action_chunk` is what the expert would command from the state in that row, also between its plans and
    while it is being pressed off its path: the label of a policy that sees this state.
    """

    def __init__(self, task: WriteBoard, options: Collect, world: World, draw: Renderer):
        self._task, self._world, self._draw = task, world, draw
        self._every, self._recovery = HZ // options.fps, options.recovery
        self._rng = np.random.default_rng((task.seed, 3))
        self._normal = matrix_from_vector(task.board_pose[3:])[:, 2]
        self._measured = world.reset(task)
        self._judge = task.judge()
        self._states: list[np.ndarray] = []  # (9,) measured pose of every tick so far
        self._chunk = np.zeros((0, ACTION_WIDTH), np.float32)  # being played, one REPLAN long
        self._disturbed = -1  # tick of the last disturbance
        self._rows: list[dict[str, np.ndarray | int]] = []
        self._frames: dict[str, list[np.ndarray]] = {name: [] for name in CAMERAS}

    def play(self) -> None:
        """From the start to REST ticks after the expert's lift."""
        for tick in range(self._task.duration_ticks + REST):
            if tick % REPLAN == 0:
                self._plan(tick)
            self._states.append(action_from_pose(self._measured.tcp_pose)[:9])
            if tick % self._every == 0:
                self._look(tick)
            self._measured = self._world.step(self._chunk[tick % REPLAN])
            self._judge.update(tick / HZ, self._measured, self._world.ink)

    def rows(self) -> Rows:
        """Feature -> (n, ...)."""
        return {name: np.stack([np.asarray(row[name]) for row in self._rows]) for name in self._rows[0]}

    def frames(self) -> dict[str, np.ndarray]:
        """Camera -> (n, h, w, 3) uint8 RGB."""
        return {name: np.stack(pictures) for name, pictures in self._frames.items()}

    def result(self) -> dict[str, float]:
        """How well it was written, disturbances and all."""
        score = self._judge.result()
        return {name: score[name] for name in ("success", "coverage", "stray")}

    def _plan(self, tick: int) -> None:
        """A new chunk, perhaps after a push along the surface, or pressed off along the normal while it is played."""
        pushed, pressed = self._rng.random(2) < (self._recovery, PRESS_SHARE)
        offset, side = self._push(tick), self._rng.choice([-1.0, 1.0])
        if pushed and not pressed:
            self._measured = self._world.push(offset)
        self._chunk = self._expert(tick)[:REPLAN].copy()
        if pushed and pressed:
            rise = np.minimum(np.arange(REPLAN) / (REPLAN / 2), 1.0)[:, None]
            self._chunk[:, :3] += (side * PRESS * rise * self._normal).astype(np.float32)
        if pushed:
            self._disturbed = tick

    def _push(self, tick: int) -> np.ndarray:
        """A push more or less across the stroke, (2,) m in the board plane."""
        along = np.diff(self._task.reference(np.array([tick - 2.0, tick + 2.0])), axis=0)[0, :2]
        still = np.linalg.norm(along) < 1e-5
        across = np.arctan2(along[0], -along[1]) if not still else self._rng.uniform(-np.pi, np.pi)
        angle = across + self._rng.normal(0, PUSH_SPREAD) + np.pi * self._rng.integers(2)
        return self._rng.uniform(SHORTEST_PUSH, 0.999 * LONGEST_PUSH) * np.array([np.cos(angle), np.sin(angle)])

    def _look(self, tick: int) -> None:
        """Record a row and its pictures: the state before this tick's command."""
        task, measured = self._task, self._measured
        past = np.stack([self._states[max(tick - lag, 0)] for lag in LAGS])
        self._rows.append(
            {
                "observation.state": self._states[-1],
                "observation.past": past,
                "observation.q": measured.q.astype(np.float32),
                "observation.velocity": measured.tcp_velocity.astype(np.float32),
                "observation.wrench": measured.wrench.astype(np.float32),
                "action": self._chunk[tick % REPLAN],
                "action_chunk": self._expert(tick),
                "tick": tick,
                "since_push": tick - self._disturbed if self._disturbed >= 0 else -1,
                "label.board_pose": task.board_pose.astype(np.float32),
                "label.ticks_left": max(task.duration_ticks - tick, 0),
            }
        )
        ink = self._world.ink, np.array(self._world.pen_down, np.int64)
        scene = Scene(tick, task.seed, 0, tick, self._world.qpos, task.board_pose, task.target, *ink)
        for name, pictures in self._frames.items():
            pictures.append(self._draw.render(scene, name))

    def _expert(self, tick: int) -> np.ndarray:
        return self._task.expert_chunk(tick, self._measured.tcp_pose, self._measured.wrench)


def _check(options: Collect) -> None:
    last = options.seed + options.episodes - 1
    if options.seed not in COLLECTING_SEEDS or last not in COLLECTING_SEEDS:
        allowed = f"seeds {COLLECTING_SEEDS[0]} to {COLLECTING_SEEDS[-1]} (higher ones tune and evaluate)"
        raise ValueError(f"expected {allowed}, got {options.seed} to {last}")
    if options.fps < 1 or HZ % options.fps:
        raise ValueError(f"--fps: expected a divisor of {HZ} such as 10, 15, 20 or 30, got {options.fps}")
    if not 0 <= options.recovery <= 1:
        raise ValueError(f"--recovery: expected a share from 0 to 1, got {options.recovery}")
    make_task(options.task, options.seed, options.targets)


def _same_settings(options: Collect) -> None:
    """Refuse to mix episodes collected with different settings."""
    path = options.out / "meta" / "collect.json"
    decisive = ("task", "targets", "fps", "image", "recovery")
    mine = {name: value for name, value in asdict(options).items() if name in decisive}
    if not path.exists():
        path.write_text(json.dumps(mine, indent=1))
    theirs = json.loads(path.read_text())
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
def _rig(image: int) -> tuple[World, Renderer]:
    """One world and renderer a process, used again for every episode."""
    return World(), Renderer(image, image)


def _summary(out: Path, succeeded: list[float], elapsed_s: float) -> None:
    """Print what the data set holds, and how fast this run's episodes were recorded."""
    episodes = Dataset.open(out).episodes
    print(f"{out}: {len(episodes)} episodes, {sum(episode.length for episode in episodes)} rows")
    if succeeded:
        rate = f"{len(succeeded) / elapsed_s:.2f} a second, {elapsed_s:.0f} s"
        print(f"{len(succeeded)} recorded, {rate}; the expert succeeded in {np.mean(succeeded):.0%} of them")
