"""A data set's episodes as demonstrations: rows at the pictures' rate become measurements at 60 Hz.

What a row says is kept; between two rows positions are interpolated linearly and rotations along the shortest turn.
Commands between rows are those of `action_chunk` where it is there.
"""

from collections.abc import Collection, Iterator, Mapping

import numpy as np

from operators.frame import Frame
from operators.measure.demonstration import Demonstration
from operators.measure.log import Measurements
from operators.messages import HORIZON, HZ, Episode
from operators.motion.rotation import matrix_from_6d, matrix_from_vector, orthonormal_6d, vector_from_matrix
from operators.motion.rows import Rows
from operators.schema import ACTION_WIDTH
from recordings.dataset.reader import INFO_PATH, DamagedDataset, Dataset, EpisodeInfo

STATE, ACTION, CHUNK = "observation.state", "action", "action_chunk"
_NEEDED = {STATE: (9,), ACTION: (ACTION_WIDTH,)}
_OPTIONAL = {"observation.q": (6,), "observation.velocity": (6,), "observation.wrench": (6,), "observation.gripper": ()}
_PERIOD_NS = 1_000_000_000 / HZ


def demonstrations(
    dataset: Dataset, episodes: Collection[int] | None = None, cameras: Mapping[str, str] | None = None
) -> Iterator[Demonstration]:
    """The episodes of a data set, one after the other.

    Args:
        dataset: with the features `observation.state` (xyz, 6-D rotation) and `action` (10).
        episodes: numbers of those wanted, if not all.
        cameras: camera -> the data set's name of it; without, all of the data set by their own names.

    Raises:
        DamagedDataset: it lacks a feature, or one is of another shape.
    """
    _require(dataset)
    chosen = cameras or {name: name for name in dataset.cameras}
    for name in chosen.values():
        if name not in dataset.cameras:
            raise DamagedDataset(dataset.root / INFO_PATH, f"a camera of {', '.join(dataset.cameras)}", name)
    for about in dataset.episodes:
        if episodes is not None and about.index not in episodes:
            continue
        yield _demonstration(dataset, about, chosen)


def _require(dataset: Dataset) -> None:
    for name, shape in _NEEDED.items():
        kind = dataset.features.get(name)
        if kind is None or tuple(kind["shape"]) != shape:
            expected = f"a feature of shape {shape}"
            raise DamagedDataset(dataset.root / INFO_PATH, expected, f"{kind and kind['shape']}", name)


def _demonstration(dataset: Dataset, about: EpisodeInfo, cameras: Mapping[str, str]) -> Demonstration:
    rows = dataset.rows(about.index)
    times = np.arange(about.length) / dataset.fps  # s
    cycles = np.arange(int(np.floor(times[-1] * HZ + 1e-6)) + 1)
    at = cycles / HZ
    tick = _ticks(rows, times)
    measured_tick = np.floor(_between(at, times, tick[:, None])[:, 0] + 1e-6).astype(np.int64)
    stamps = np.round(cycles * _PERIOD_NS).astype(np.int64)
    other = {name: rows.get(name, np.zeros((about.length, *shape))) for name, shape in _OPTIONAL.items()}
    q, velocity, wrench, gripper = (_between(at, times, v.reshape(about.length, -1)) for v in other.values())
    pose = _poses(at, times, rows[STATE].astype(np.float64))
    measured = Measurements(cycles, stamps, measured_tick, cycles, q, pose, velocity, wrench, gripper[:, 0])
    seed = int(about.about.get("seed", 0))
    task, variant = (str(about.about.get(name, "")) for name in ("task", "variant"))
    episode = Episode(0, about.index, 0, "start", seed, task, variant, about.tasks[0], "", False)
    stamped = np.round(times * 1e9).astype(np.int64)

    def frames() -> Iterator[tuple[str, int, Frame]]:
        streams = {camera: dataset.stream(about.index, name) for camera, name in cameras.items()}
        for row in range(about.length):
            for camera, stream in streams.items():
                yield camera, row, Frame(next(stream), row, about.index, int(stamped[row]))

    seen = dict.fromkeys(cameras, stamped)
    return Demonstration(episode, measured, _commanded(rows, tick), seen, frames)


def _ticks(rows: Mapping[str, np.ndarray], times: np.ndarray) -> np.ndarray:
    """Plan time of each row; the feature `tick`, or 60 a second."""
    return rows["tick"].astype(np.int64) if "tick" in rows else np.round(times * HZ).astype(np.int64)


def _between(at: np.ndarray, times: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n, k) at `times` -> at other times, linear; exactly a row's own value at its time."""
    left = np.clip(np.searchsorted(times, at + 1e-9, side="right") - 1, 0, len(times) - 1)
    right = np.minimum(left + 1, len(times) - 1)
    share = np.where(right > left, (at - times[left]) / np.maximum(times[right] - times[left], 1e-12), 0.0)
    share = np.where(np.abs(share) < 1e-6, 0.0, share)[:, None]
    return values[left] * (1 - share) + values[right] * share


def _poses(at: np.ndarray, times: np.ndarray, states: np.ndarray) -> np.ndarray:
    """States (n, 9) -> poses (m, 6): xyz linear, rotation along the shortest turn."""
    left = np.clip(np.searchsorted(times, at + 1e-9, side="right") - 1, 0, len(times) - 1)
    right = np.minimum(left + 1, len(times) - 1)
    share = np.clip((at - times[left]) * (right > left) / np.maximum(times[right] - times[left], 1e-12), 0, 1)
    before, after = matrix_from_6d(states[left, 3:]), matrix_from_6d(states[right, 3:])
    turn = vector_from_matrix(after @ np.swapaxes(before, -1, -2)) * share[:, None]
    rotation = vector_from_matrix(matrix_from_vector(turn) @ before)
    return np.concatenate([_between(at, times, states[:, :3]), rotation], -1)


def _commanded(rows: Mapping[str, np.ndarray], tick: np.ndarray) -> Rows:
    """One row a tick: each row's chunk up to the next row, or its action and what lies between."""
    ticks = np.arange(int(tick[0]), int(tick[-1]) + 1)
    left = np.clip(np.searchsorted(tick, ticks, side="right") - 1, 0, len(tick) - 1)
    if CHUNK in rows and rows[CHUNK].shape[1:] == (HORIZON, ACTION_WIDTH):
        after = np.minimum(ticks - tick[left], HORIZON - 1)
        rest = rows[CHUNK][-1][1:] if len(tick) else rows[CHUNK][0]
        return Rows(int(tick[0]), np.concatenate([rows[CHUNK][left, after], rest]).astype(np.float32))
    actions = _between(ticks.astype(float), tick.astype(float), rows[ACTION].astype(np.float64))
    actions[:, 3:9] = orthonormal_6d(actions[:, 3:9])
    exact = ticks == tick[left]
    actions[exact] = rows[ACTION][left[exact]]
    return Rows(int(tick[0]), actions.astype(np.float32))
