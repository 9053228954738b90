"""A data set unpacked for training: one flat file a feature, memory-mapped, rows of all episodes one after the other.

Built an episode at a time, so a stopped build goes on, and a data set that has grown is only added to.
"""

import fcntl
import json
import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from rich.progress import track

from recordings.dataset.reader import CAMERA, DamagedDataset, Dataset, Feature

_INDEX = "cache.json"
_FORMAT = 1


@dataclass(frozen=True)
class Cache:
    """Rows of all episodes: `cache["observation.state"]` is (N, 9), `cache.frames["wrist"]` (N, h, w, 3) uint8 RGB.

    Arrays are read-only memory maps; a feature of shape (1,) is (N,).
    """

    key: str  # the data set's; changes with its contents
    fps: int
    arrays: Mapping[str, np.ndarray]
    frames: Mapping[str, np.ndarray]
    starts: np.ndarray  # (E + 1,) int64, first row of each episode, and N
    about: tuple[Mapping[str, Any], ...]  # of each episode, such as its seed

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, feature: str) -> np.ndarray:
        return self.arrays[feature]

    def pictures(self, camera: str, rows: np.ndarray) -> np.ndarray:
        """A copy of some rows' frames. The map's pages are let go, or all pictures would end up resident."""
        frames = self.frames[camera]
        found = frames[rows]
        cast(mmap.mmap, frames.base).madvise(mmap.MADV_DONTNEED)  # they stay in the system's cache
        return found


def cache(dataset: Dataset, directory: Path | str) -> Cache:
    """The data set's cache in a folder, built as far as it is not there yet.

    Raises:
        DamagedDataset: an episode cannot be read; those before it stay in the cache.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    with _locked(directory):
        done = _reusable(dataset, directory)
        if done < len(dataset.episodes):
            _build(directory, dataset, done)
    return _opened(dataset, directory)


def _reusable(dataset: Dataset, directory: Path) -> int:
    """How many of the data set's first episodes the folder holds, whole and without others."""
    try:
        index = json.loads((directory / _INDEX).read_text())
    except (FileNotFoundError, ValueError):
        return 0
    if {name: index.get(name) for name in ("format", "features")} != _header(dataset):
        return 0
    keys, there = [episode.key for episode in dataset.episodes], index["episodes"]
    done = min(len(keys), len(there))
    rows = sum(episode.length for episode in dataset.episodes[:done])
    sizes = {_file(directory, name): rows * _row_bytes(kind) for name, kind in dataset.features.items()}
    whole = all(path.exists() and path.stat().st_size >= size for path, size in sizes.items())
    return done if keys[:done] == there[:done] and whole else 0


def _build(directory: Path, dataset: Dataset, done: int) -> None:
    """Unpack all episodes but the first `done`, which are there. All of one is read before anything of it is written.

    What lies beyond these is of an interrupted build. A file that is of no use is not emptied but replaced, for another
    process may have it mapped.
    """
    _write_index(directory, dataset, done)
    rows = sum(episode.length for episode in dataset.episodes[:done])
    for name, kind in dataset.features.items():
        path, size = _file(directory, name), rows * _row_bytes(kind)
        if not size:
            path.unlink(missing_ok=True)
        path.touch()
        os.truncate(path, size)
    missing = dataset.episodes[done:]
    for episode in track(missing, "unpacking", disable=len(missing) < 2):
        values = dataset.rows(episode.index)
        values |= {CAMERA + camera: dataset.frames(episode.index, camera) for camera in dataset.cameras}
        for name, array in values.items():
            with _file(directory, name).open("ab") as file:
                file.write(np.ascontiguousarray(array).data)
        _write_index(directory, dataset, episode.index + 1)


def _opened(dataset: Dataset, directory: Path) -> Cache:
    starts = np.cumsum([0, *(episode.length for episode in dataset.episodes)])
    if not starts[-1]:
        raise DamagedDataset(dataset.root, "at least one episode", "none")
    mapped = {
        name: np.memmap(_file(directory, name), _dtype(kind), "r", shape=(int(starts[-1]), *_shape(kind)))
        for name, kind in dataset.features.items()
    }
    frames = {name.removeprefix(CAMERA): array for name, array in mapped.items() if name.startswith(CAMERA)}
    arrays = {name: array for name, array in mapped.items() if not name.startswith(CAMERA)}
    about = tuple(episode.about for episode in dataset.episodes)
    return Cache(dataset.key, dataset.fps, arrays, frames, starts, about)


def _header(dataset: Dataset) -> dict[str, Any]:
    return {"format": _FORMAT, "features": dict(dataset.features)}


def _write_index(directory: Path, dataset: Dataset, done: int) -> None:
    """Say which episodes are whole in every file."""
    keys = [episode.key for episode in dataset.episodes[:done]]
    aside = directory / f".{_INDEX}.new"
    aside.write_text(json.dumps({**_header(dataset), "episodes": keys}))
    os.replace(aside, directory / _INDEX)


def _file(directory: Path, name: str) -> Path:
    return directory / f"{name}.bin"


def _shape(kind: Feature) -> tuple[int, ...]:
    return () if kind["shape"] == [1] else tuple(kind["shape"])


def _dtype(kind: Feature) -> np.dtype:
    return np.dtype("uint8" if kind["dtype"] == "video" else kind["dtype"])


def _row_bytes(kind: Feature) -> int:
    return int(np.prod(_shape(kind))) * _dtype(kind).itemsize


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Only one builder at a time; another waits."""
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
