"""`rtr openloop`: what policies predict on a recording or a data set, against what was done there."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from models.registry import make_codec, make_policy
from operators.chunks.codec import Codec
from operators.chunks.decode import decode
from operators.frame import Frame
from operators.measure.demonstration import Demonstration
from operators.measure.intervals import aggregate
from operators.measure.open_loop import open_loop
from operators.messages import Chunk, Proprio
from operators.motion.rows import Rows
from operators.policy import Observation, Policy, Prediction
from operators.settings import parse
from recordings.dataset.play import demonstrations as played
from recordings.dataset.reader import Dataset
from recordings.drec.demonstrations import demonstrations

Chunks = dict[str, list[Rows]]  # policy -> absolute rows of each of its chunks


@dataclass(frozen=True)
class OpenLoop:
    """Let policies predict on a recording or a data set: deviation, jerk, overlap and gap, axis by axis."""

    source: Annotated[Path, tyro.conf.Positional]
    """A recording (*.drec), or the folder of a data set."""
    policy: tyro.conf.UseAppendAction[tuple[str, ...]] = ("expert",)
    """One or more: --policy A --policy B. Their settings come from the environment."""
    task: str = ""
    """Instead of the one the recording tells."""
    every: int = 24
    """Ticks between two observations."""
    delay: int = 8
    """Ticks from an observation to the chunk's first played row, for the gap."""
    episodes: int = 10
    """At most, from the first on."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Write the figures here: per policy and name mean, 95 % interval, n."""
    out: Path = Path("out/openloop")
    """Folder for the plots (first episode) and openloop.html."""

    def run(self) -> None:
        compare(self)


def compare(options: OpenLoop) -> dict[str, dict]:
    """Predict, measure, print, draw.

    Raises:
        ValueError: a policy, source or number that is none.
    """
    if options.every < 1 or options.episodes < 1:
        raise ValueError(f"expected --every and --episodes from 1 up, got {options.every} and {options.episodes}")
    policies = {name: make_policy(replace(parse(os.environ), policy=name)) for name in dict.fromkeys(options.policy)}
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in policies}
    pictures: dict[str, Path] = {}
    for found in _episodes(options.source, options.episodes):
        chunks = predict(found, policies, options.every, options.task)
        for name, rows in chunks.items():
            measured[name].append(open_loop(rows, found.commanded, options.delay))
            if name not in pictures:
                pictures[name] = options.out / f"{name}.png"
                _draw(f"{name}, episode {found.episode.episode}", rows, found.commanded, pictures[name])
    if not pictures:
        raise ValueError(f"{options.source}: expected an episode with measurements and commands, there is none")
    figures = {name: aggregate(found) for name, found in measured.items()}
    table = _table(figures)
    _show(f"{options.source}, {len(next(iter(measured.values())))} episodes", table)
    _page(f"open loop on {options.source.name}", table, pictures, options.out / "openloop.html")
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(_plain(figures), indent=1))
    return figures


def predict(found: Demonstration, policies: dict[str, Policy], every: int, task: str = "") -> Chunks:
    """One episode: every `every` ticks each policy sees the measurement and newest pictures of that moment."""
    about = found.episode._replace(task=task) if task else found.episode
    for policy in policies.values():
        policy.start(about)
    chunks: Chunks = {name: [] for name in policies}
    codecs: dict[str, Codec] = {}
    cameras = {camera for policy in policies.values() for camera in policy.cameras}
    if not cameras <= set(found.seen):
        raise ValueError(
            f"expected pictures of {', '.join(sorted(cameras))}, got {', '.join(sorted(found.seen)) or 'none'}"
        )
    places = _places(found, every, cameras)
    for number, (at, frames) in enumerate(zip(places, _newest(found, places, cameras), strict=True)):
        proprio = found.measured.message(at, about.episode)
        for name, policy in policies.items():
            prediction = policy.predict(Observation(number, proprio, frames))
            codec = codecs.setdefault(prediction.codec, make_codec((prediction.codec or "dct").split(":")[0]))
            chunks[name].append(decode(_chunk(number, prediction, proprio), codec))
    return chunks


def _episodes(source: Path, most: int) -> Iterator[Demonstration]:
    found: Iterable[Demonstration]
    if source.is_dir():
        dataset = Dataset.open(source)
        found = played(dataset, range(min(most, len(dataset.episodes))))
    else:
        found = demonstrations(source)[:most]
    for each in found:
        if len(each.commanded):
            yield each


def _places(found: Demonstration, every: int, cameras: set[str]) -> list[int]:
    """Measurements at which policies are asked: when plan time has moved on, and every camera has a picture."""
    begin = found.commanded.tick
    seen = max((int(found.seen[camera].min()) for camera in cameras), default=np.iinfo(np.int64).min)
    places, last = list[int](), None
    for at, (tick, t_ns) in enumerate(zip(found.measured.tick.tolist(), found.measured.t_ns.tolist(), strict=True)):
        if t_ns >= seen and tick >= begin and tick < found.commanded.end and (last is None or tick - last >= every):
            places.append(at)
            last = tick
    return places


def _newest(found: Demonstration, places: Sequence[int], cameras: set[str]) -> Iterator[dict[str, Frame]]:
    """For each place the newest picture of each camera by its stamp; the stream is read once.

    Cameras are recorded side by side, so a picture may stand behind younger ones of another camera: those that are
    needed are kept until their place is handed out, whatever order they come in.
    """
    wanted = {camera: _numbers(found.seen[camera], found.measured.t_ns[places]) for camera in cameras}
    last = {camera: {number: k for k, number in enumerate(numbers)} for camera, numbers in wanted.items()}
    stream = found.frames() if cameras else iter(())
    held: dict[tuple[str, int], Frame] = {}
    for k in range(len(places)):
        needed = [(camera, numbers[k]) for camera, numbers in wanted.items()]
        while not all(key in held for key in needed):
            camera, number, frame = next(stream)
            if last.get(camera, {}).get(number, -1) >= k:
                held[camera, number] = frame
        yield {camera: held[camera, number] for camera, number in needed}
        held = {key: frame for key, frame in held.items() if last[key[0]][key[1]] > k}


def _numbers(stamps: np.ndarray, times: np.ndarray) -> list[int]:
    """Which picture is the newest at each time [ns]; stamps need not be in order."""
    order = np.argsort(stamps, kind="stable")
    return order[np.searchsorted(stamps[order], times, side="right") - 1].tolist()


def _chunk(number: int, prediction: Prediction, proprio: Proprio) -> Chunk:
    about = prediction.space, prediction.rate_hz, prediction.codec, proprio.tcp_pose, prediction.seed
    header = number, proprio.episode, proprio.t_ns, number, proprio.tick
    return Chunk(*header, *about, 0.0, np.asarray(prediction.values), proprio.seq, [], np.zeros(0, int))


def _table(figures: dict[str, dict]) -> list[list[str]]:
    names = list(next(iter(figures.values())))
    rows = [[name, *[_figure(found[name]) for found in figures.values()]] for name in names]
    return [["", *figures], *rows]


def _figure(found: dict) -> str:
    low, high = found["ci95"]
    return f"{found['mean']:.3f}" + (f" ({low:.3f} .. {high:.3f})" if found["n"] > 1 else "")


def _plain(figures: dict[str, dict]) -> dict:
    """JSON knows no NaN."""

    def number(value: float) -> float | None:
        return value if np.isfinite(value) else None

    return {
        policy: {
            name: {"mean": number(each["mean"]), "ci95": [number(value) for value in each["ci95"]], "n": each["n"]}
            for name, each in found.items()
        }
        for policy, found in figures.items()
    }


def _show(title: str, table: list[list[str]]) -> None:
    head, *rows = table
    shown = Table("metric", *head[1:], title=title)
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)


def _draw(title: str, chunks: list[Rows], demonstrated: Rows, to: Path) -> None:
    from reports.open_loop import draw  # brings matplotlib

    draw(title, chunks, demonstrated, to)


def _page(title: str, table: list[list[str]], pictures: dict[str, Path], to: Path) -> None:
    from reports.open_loop import page

    page(title, table, pictures, to)
    print(to)
