"""A data set's episodes as demonstrations: rows at the pictures' rate become measurements at 60 Hz.

What a row says is kept; between two rows positions are interpolated linearly and rotations along the shortest turn.
Commands between rows are those of `action_chunk` where it is there.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

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


def demonstrations(dataset: Dataset, episodes: Collection[int] | None = None) -> Iterator[Demonstration]:
    """The episodes of a data set, one after the other.

    Args:
        dataset: with the features `observation.state` (xyz, 6-D rotation) and `action` (10).
        episodes: numbers of those wanted, if not all.

    Raises:
        DamagedDataset: it lacks a feature, or one is of another shape.
    """
    for name, shape in _NEEDED.items():
        kind = dataset.features.get(name)
        if kind is None or tuple(kind["shape"]) != shape:
            expected = f"a feature of shape {shape}"
            raise DamagedDataset(dataset.root / INFO_PATH, expected, f"{kind and kind['shape']}", name)
    for about in dataset.episodes:
        if episodes is None or about.index in episodes:
            yield _demonstration(dataset, about)


def _demonstration(dataset: Dataset, about: EpisodeInfo) -> Demonstration:
    rows = dataset.rows(about.index)
    begun = np.arange(about.length) * HZ / dataset.fps  # cycle at which each row was taken
    cycles = np.arange(int(begun[-1] + 1e-6) + 1)
    stamps = np.round(cycles * _PERIOD_NS).astype(np.int64)
    tick = rows["tick"].astype(np.int64) if "tick" in rows else np.round(begun).astype(np.int64)
    at = _among(cycles, begun)
    measured_tick = np.floor(at.between(tick[:, None])[:, 0] + 1e-6).astype(np.int64)
    other = {name: rows.get(name, np.zeros((about.length, *shape))) for name, shape in _OPTIONAL.items()}
    q, velocity, wrench, gripper = (at.between(values.reshape(about.length, -1)) for values in other.values())
    pose = at.poses(rows[STATE].astype(np.float64))
    measured = Measurements(cycles, stamps, measured_tick, cycles, q, pose, velocity, wrench, gripper[:, 0])
    seed = int(about.about.get("seed", 0))
    task, variant = (str(about.about.get(name, "")) for name in ("task", "variant"))
    episode = Episode(0, about.index, 0, "start", seed, task, variant, about.tasks[0], "", False)
    stamped = np.round(np.arange(about.length) * 1e9 / dataset.fps).astype(np.int64)

    def frames() -> Iterator[tuple[str, int, Frame]]:
        streams = {camera: dataset.stream(about.index, camera) for camera in dataset.cameras}
        for row in range(about.length):
            for camera, stream in streams.items():
                yield camera, row, Frame(next(stream), row, about.index, int(stamped[row]))

    seen = dict.fromkeys(dataset.cameras, stamped)
    return Demonstration(episode, measured, _commanded(rows, tick), seen, frames)


class _Places(NamedTuple):
    """Where moments (m,) lie among rows: the row before, the one after, and how far it is from one to the other."""

    left: np.ndarray  # (m,) int64
    right: np.ndarray
    share: np.ndarray  # (m, 1), exactly 0 at a row

    def between(self, values: np.ndarray) -> np.ndarray:
        """(n, k) of the rows -> (m, k), linear."""
        return values[self.left] * (1 - self.share) + values[self.right] * self.share

    def poses(self, states: np.ndarray) -> np.ndarray:
        """States (n, 9) -> poses (m, 6): xyz linear, rotation along the shortest turn."""
        before, after = matrix_from_6d(states[self.left, 3:]), matrix_from_6d(states[self.right, 3:])
        turn = vector_from_matrix(after @ np.swapaxes(before, -1, -2)) * self.share
        rotation = vector_from_matrix(matrix_from_vector(turn) @ before)
        return np.concatenate([self.between(states[:, :3]), rotation], -1)


def _among(at: np.ndarray, rows: np.ndarray) -> _Places:
    """Moments (m,) among those of rows (n,), which do not fall; the first and last hold beyond the ends."""
    place = np.interp(at, rows, np.arange(len(rows)))
    left = place.astype(np.int64)
    return _Places(left, np.minimum(left + 1, len(rows) - 1), (place - left)[:, None])


def _commanded(rows: Mapping[str, np.ndarray], tick: np.ndarray) -> Rows:
    """One row a tick: each row's chunk up to the next row, or its action and what lies between."""
    ticks = np.arange(int(tick[0]), int(tick[-1]) + 1)
    at = _among(ticks, tick)
    left = at.left
    if CHUNK in rows and rows[CHUNK].shape[1:] == (HORIZON, ACTION_WIDTH):
        after = np.minimum(ticks - tick[left], HORIZON - 1)
        held = np.concatenate([rows[CHUNK][left, after], rows[CHUNK][-1][1:]])
        return Rows(int(tick[0]), held.astype(np.float32))
    actions = at.between(rows[ACTION].astype(np.float64))
    actions[:, 3:9] = orthonormal_6d(actions[:, 3:9])
    exact = ticks == tick[left]
    actions[exact] = rows[ACTION][left[exact]]
    return Rows(int(tick[0]), actions.astype(np.float32))
