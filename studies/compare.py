"""`rtr compare`: every way to join chunks over every delay, on the same seeds, resumable cell by cell.

A cell is a method at a delay; its file holds the metrics of each of its episodes, so that every figure can be computed
again, paired with another method's on the same seed.
"""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from models.registry import make_policy
from models.stored import read_head
from operators.policy import check_features, check_guide
from operators.settings import Settings
from reports.comparison import write_results
from studies.evaluate import EVALUATION_SEEDS, Job, delay_cycles, play, revision
from studies.methods import DELAYS, MANY, Method, chosen

QUICK, FULL, FULL_MANY = 3, 20, 50  # episodes a cell
QUICK_DELAYS = ("8", "16")


@dataclass(frozen=True)
class Compare:
    """Compare ways to join chunks in simulated time. Without --full a first look: three episodes at delays 8 and 16."""

    policy: str = "expert_flow"
    """One that every method applies to; methods that it cannot be guided by are left out and named."""
    noise: float = 1.0
    methods: str = ""
    """Names separated by commas; empty: all."""
    delays: str = ""
    """Ticks from picture to takeover, or lognormal:8 and the like, separated by commas."""
    episodes: int = 0
    """A cell; 0: three, or with --full 50 at delays 8 and 16 and 20 at the others."""
    seed: int = EVALUATION_SEEDS
    baseline: str = "naive"
    """Method to which differences on the same seeds are given, where it is played."""
    full: bool = False
    out: Path = Path("out/compare")
    """Cells; those already there of the same configuration and revision are not played again."""
    results: Path = Path("docs/results")
    workers: int = os.cpu_count() or 1

    def run(self) -> None:
        compare(self)


class Cell(NamedTuple):
    """A method at a delay."""

    name: str
    method: Method
    delay: str
    jobs: list[Job]

    @property
    def about(self) -> dict[str, Any]:
        """What must be the same for a cell to be taken from its file."""
        first = self.jobs[0]
        config = {key: value for key, value in vars(first.config).items() if key != "out"}
        seeds = [first.seed, len(self.jobs)]
        return {"method": self.name, "mode": first.mode, "delay": self.delay, "seeds": seeds, "settings": config}


def compare(options: Compare) -> Path:
    """Play what is missing, then write results; the markdown file.

    Raises:
        ValueError: an option that is none.
    """
    cells = cells_of(options)
    version = revision()
    known = {cell.name + cell.delay: read_cell(options.out, cell, version) for cell in cells}
    missing = [cell for cell in cells if known[cell.name + cell.delay] is None]
    print(f"{len(cells)} cells, {len(cells) - len(missing)} of them known")
    for cell, episodes in _play(missing, options.workers):
        known[cell.name + cell.delay] = write_cell(options.out, cell, episodes, version)
    found = [cell for cell in (known[cell.name + cell.delay] for cell in cells) if cell is not None]
    path = write_results(found, options.results, f"compare_{options.policy}", options.baseline)
    print(path)
    return path


def cells_of(options: Compare) -> list[Cell]:
    """All cells of a comparison, the delays with most episodes first."""
    delays = [delay for delay in options.delays.split(",") if delay] or (DELAYS if options.full else QUICK_DELAYS)
    base = Settings(policy=options.policy, noise=options.noise)
    methods = usable(chosen(options.methods), base)
    cells = []
    for delay in sorted(delays, key=lambda delay: delay not in MANY):
        delay_cycles(delay, 0, 0, 0)
        count = options.episodes or ((FULL_MANY if delay in MANY else FULL) if options.full else QUICK)
        for name, method in methods.items():
            config = method.config(base)
            jobs = [Job(config, method.mode, delay, n, options.seed + n, None, timed=True) for n in range(count)]
            cells.append(Cell(name, method, delay, jobs))
    return cells


def usable(methods: dict[str, Method], base: Settings) -> dict[str, Method]:
    """Those the policy can be guided or corrected by, and all that need neither; the others are named."""
    policy, found = make_policy(base), {}
    for name, method in methods.items():
        try:
            if method.mode == "async_rtc":
                check_guide(policy, base.policy, method.config(base).guide)
            if method.mode == "async_a2c2":
                check_features(policy, base.policy)
                read_head(base.policy)
            found[name] = method
        except ValueError as error:
            print(f"{name} left out: {error}")
    return found


def read_cell(folder: Path, cell: Cell, version: str) -> dict[str, Any] | None:
    """A cell's content if it was played with this configuration and revision."""
    try:
        content = json.loads(_path(folder, cell).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    same = content["about"] == json.loads(json.dumps(cell.about)) and content["revision"] == version
    return content if same and len(content["episodes"]) == len(cell.jobs) else None


def write_cell(folder: Path, cell: Cell, episodes: list[dict[str, float]], version: str) -> dict[str, Any]:
    """Write a cell whole or not at all -> its content."""
    path = _path(folder, cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = [{name: None if value != value else value for name, value in episode.items()} for episode in episodes]
    content = {
        "about": cell.about,
        "configuration": cell.jobs[0].configuration,
        "revision": version,
        "episodes": plain,
    }
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1))
    part.replace(path)
    return json.loads(path.read_text())


def _path(folder: Path, cell: Cell) -> Path:
    return folder / f"{cell.jobs[0].config.policy}_{cell.name}_{cell.delay.replace(':', '_')}.json"


def _play(cells: list[Cell], workers: int) -> Iterator[tuple[Cell, list[dict[str, float]]]]:
    """Each cell with its episodes' metrics as soon as all are played, on all cores."""
    jobs = [(number, job) for number, cell in enumerate(cells) for job in cell.jobs]
    if not jobs:
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    context = get_context("spawn")  # torch and OpenGL do not survive a fork
    with (
        Progress(*columns, TextColumn("left"), TimeRemainingColumn(elapsed_when_finished=False)) as progress,
        ProcessPoolExecutor(min(workers, len(jobs)), context) as pool,
    ):
        bar = progress.add_task("episodes", total=len(jobs))
        played: list[dict[int, dict[str, float]]] = [{} for _ in cells]
        futures = {pool.submit(play, job): number for number, job in jobs}
        for future in as_completed(futures):
            number = futures[future]
            episode, metrics = future.result()
            played[number][episode] = metrics
            progress.advance(bar)
            if len(played[number]) == len(cells[number].jobs):
                task = progress.tasks[bar]
                left = (task.total or 0) - task.completed
                if not progress.console.is_terminal:  # a log gets a line a cell in the place of a bar
                    minutes = task.elapsed * left / task.completed / 60 if task.elapsed else 0.0
                    name, delay = cells[number].name, cells[number].delay
                    progress.console.print(f"{name}, delay {delay}: done; about {minutes:.0f} minutes left")
                yield cells[number], [played[number][episode] for episode in sorted(played[number])]
