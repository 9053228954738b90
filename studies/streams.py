"""`rtr compare --stream`: recorded chunks through every join, refinement, codec and margin, over delays."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.progress import track

from models.registry import make_codec
from operators.episode_log import PlanTime
from operators.intervals import mean_interval
from operators.join import JOINS
from operators.metrics import distance_mm, seam_jumps_mm, second_difference_mm, switches, third_difference_mm
from operators.settings import Settings
from operators.stream import Arrival, delayed, play, stream_of
from simulation.tasks import make_task
from studies.evaluate import revision
from studies.lockstep import Lockstep

DELAYS = (4, 8, 12, 16, 20)
RECORDED_DELAY = 8
MARGINS = (0, 2, 3, 4, 6, 8, 12)
CODECS = ("dct", "pca", "vae")


class Setting(NamedTuple):
    """One way through plan and decoder."""

    join: str
    refine: str  # none, or one of operators.refine.METHODS
    codec: str  # of the refinement, none without
    margin: int


def settings() -> Iterator[Setting]:
    """All of them."""
    for join in JOINS:
        yield Setting(join, "none", "none", 0)
        for codec in CODECS:
            yield Setting(join, "rtr_paper", codec, 0)
            yield Setting(join, "rtr_released", codec, 0)
            yield from (Setting(join, "rtr", codec, margin) for margin in MARGINS)


def recorded(noise: float, seed: int) -> tuple[list[Arrival], np.ndarray]:
    """The chunks of one naive episode of the noisy expert, and the path (n, 3) m it means to go, base frame."""
    config = Settings(policy="expert", codec="dct", noise=noise)
    log = Lockstep(config, "async_naive").run(0, seed, lambda chunk: RECORDED_DELAY)
    task = make_task(config.task, seed, config.targets)
    return stream_of(log), task.to_base(task.reference(np.arange(task.duration_ticks)))


def measured(plan: PlanTime, path: np.ndarray) -> dict[str, float]:
    """Seam, smoothness and fidelity of what would be commanded."""
    at = [switch.start for switch in switches(plan)]
    return {
        "velocity_jump": float(np.nanmean(seam_jumps_mm(plan))),
        "velocity_jump_at_switch": float(np.nanmean(second_difference_mm(plan.action)[at])),
        "command_jerk_mm_per_tick3": float(np.nanmean(third_difference_mm(plan.action))),
        "deviation_mm": float(distance_mm(plan.action[:, :3].astype(np.float64), path).mean()),
    }


def compare_streams(noise: float, seed: int, episodes: int, folder: Path) -> Path:
    """Write `streams.csv`: a line a setting, delay and metric, mean over episodes with its interval -> the file."""
    codecs = {name: make_codec(name) for name in CODECS}
    streams = [recorded(noise, seed + number) for number in range(episodes)]
    folder.mkdir(parents=True, exist_ok=True)
    path, version = folder / "streams.csv", revision()
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        head = ["delay", *Setting._fields, "metric", "mean", "low", "high", "n"]
        writer.writerow([*head, "noise", "first_seed", "revision"])
        for delay, way in track([(d, s) for d in DELAYS for s in settings()], "streams"):
            codec, method = codecs.get(way.codec, codecs["dct"]), None if way.refine == "none" else way.refine
            found = [
                measured(play(delayed(stream, delay), JOINS[way.join], method, codec, way.margin), target)
                for stream, target in streams
            ]
            for metric in found[0]:
                summary = mean_interval([one[metric] for one in found])
                figures = [f"{figure:.6g}" for figure in (summary["mean"], *summary["ci95"], summary["n"])]
                writer.writerow([delay, *way, metric, *figures, noise, seed, version])
    print(path)
    return path
