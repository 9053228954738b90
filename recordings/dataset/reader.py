"""Data sets in the layout of LeRobotDataset v3.0, readable by LeRobot and by us.

    meta/info.json                              rate, features, totals; replaced last: what it counts is there
    meta/stats.json, meta/tasks.parquet         statistics of all rows, task texts
    meta/episodes/chunk-000/file-000.parquet    where an episode's rows and frames are, its length and statistics
    data/chunk-000/file-000.parquet             rows
    videos/<feature>/chunk-000/file-000.mp4     a camera's frames, one a row

LeRobot wants one frame a row, so rows come at the images' rate (`fps`) and what happens at 60 Hz in between is a
feature of its row: the chunk of the next 48 commands, and lagged states. Every row is a training sample.

`recordings.dataset.writer` writes them, `recordings.dataset.cache` unpacks them for training.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

VERSION = "v3.0"
CAMERA = "observation.images."  # a camera's feature is this and its name
INFO_PATH = "meta/info.json"
STATS_PATH = "meta/stats.json"
TASKS_PATH = "meta/tasks.parquet"
EPISODES_PATH = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
DATA_PATH = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO_PATH = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"

Feature = dict[str, Any]  # dtype, shape of one row, names of its numbers
Columns = dict[str, np.ndarray]  # feature -> (n, *shape), or (n,) where the shape is (1,)

_BOOKKEEPING = ("episode_index", "tasks", "length", "dataset_from_index", "dataset_to_index")


def feature(dtype: str, *shape: int, names: list[str] | None = None) -> Feature:
    """A feature of numbers."""
    return {"dtype": dtype, "shape": list(shape), "names": names}


# what every data set has beside its own features; the writer fills them in
INDEX_FEATURES: dict[str, Feature] = {
    "timestamp": feature("float32", 1),  # s from the episode's first row
    "frame_index": feature("int64", 1),  # of the row in its episode
    "episode_index": feature("int64", 1),
    "index": feature("int64", 1),  # of the row in the data set
    "task_index": feature("int64", 1),
}


class DamagedDataset(ValueError):
    """A data set that cannot be used: one sentence with file, feature and row, what was expected and what is there."""

    def __init__(self, path: Path, expected: str, got: str, feature: str = "", row: int = -1):
        where = [f"{path}", *([feature] if feature else []), *([f"row {row}"] if row >= 0 else [])]
        super().__init__(f"{', '.join(where)}: expected {expected}, got {got}")


@dataclass(frozen=True)
class EpisodeInfo:
    """Where an episode is, and what is known of it."""

    index: int
    length: int  # rows
    start: int  # index of its first row in the data set
    tasks: tuple[str, ...]
    data: Path
    videos: Mapping[str, tuple[Path, float]]  # feature -> file and time of the first frame [s]
    about: Mapping[str, Any]  # columns of the episode table that LeRobot does not know, such as the seed
    key: str  # hash of everything known of it, statistics of its rows included


@dataclass(frozen=True)
class Dataset:
    """A data set on disk, read one episode at a time; what is read is checked."""

    root: Path
    fps: int
    features: Mapping[str, Feature]
    episodes: tuple[EpisodeInfo, ...]

    @classmethod
    def open(cls, root: Path | str, features: Iterable[str] = ()) -> "Dataset":
        """The finished episodes of a data set; one that is being written may be opened.

        Args:
            root: folder that holds `meta`.
            features: names it must have.

        Raises:
            DamagedDataset: it is none, is damaged, or has not what is asked for.
        """
        root = Path(root)
        info = read_info(root)
        missing = [name for name in features if name not in info["features"]]
        if missing:
            raise DamagedDataset(root / INFO_PATH, f"features {', '.join(missing)}", ", ".join(info["features"]))
        found = [episode for path in sorted(root.glob("meta/episodes/*/*.parquet")) for episode in _listed(path, info)]
        episodes = tuple(_located(root, info, *place) for place in found[: info["total_episodes"]])
        _consistent(root, info, episodes)
        return cls(root, info["fps"], info["features"], episodes)

    @property
    def cameras(self) -> tuple[str, ...]:
        return tuple(name.removeprefix(CAMERA) for name, kind in self.features.items() if kind["dtype"] == "video")

    @property
    def key(self) -> str:
        """Hash of the contents."""
        about = [self.fps, dict(self.features), [episode.key for episode in self.episodes]]
        return sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]

    def rows(self, episode: int) -> Columns:
        """All numbers of an episode.

        Raises:
            DamagedDataset: its file is cut off, has other features, missing rows, or NaN.
        """
        about = self.episodes[episode]
        table = read_table(about.data)
        numbers = {name: kind for name, kind in self.features.items() if kind["dtype"] != "video"}
        if set(table.column_names) != set(numbers):
            raise DamagedDataset(about.data, *_difference(numbers, table.column_names))
        table = table.filter(pc.field("episode_index") == episode)
        if len(table) != about.length:
            raise DamagedDataset(about.data, f"{about.length} rows of episode {episode}", str(len(table)))
        rows = {name: _values(about.data, table[name], name, kind) for name, kind in numbers.items()}
        self._check_order(about, rows)
        return rows

    def frames(self, episode: int, camera: str) -> np.ndarray:
        """A camera's pictures of an episode, one a row: (n, h, w, 3) uint8 RGB.

        Raises:
            DamagedDataset: the video is missing, cut off, or of another rate or size.
        """
        return np.stack([*self.stream(episode, camera)])

    def stream(self, episode: int, camera: str) -> Iterator[np.ndarray]:
        """The same one by one, (h, w, 3)."""
        about, name, shape = self.episodes[episode], CAMERA + camera, tuple(self._pictures(camera)["shape"])
        path, start_s = about.videos[name]
        if not path.is_file():
            raise DamagedDataset(path, "a video", "nothing there", name)
        video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
        try:
            if not video.isOpened():
                raise DamagedDataset(path, "a video", "a file that cannot be opened as one", name)
            rate = video.get(cv2.CAP_PROP_FPS)
            if abs(rate - self.fps) > 0.01:
                raise DamagedDataset(path, f"{self.fps} frames a second", f"{rate:g}", name)
            for _ in range(round(start_s * self.fps)):
                video.grab()
            for row in range(about.length):
                there, frame = video.read()
                if not there:
                    raise DamagedDataset(path, f"{about.length} frames", str(row), name, row)
                if frame.shape != shape:
                    raise DamagedDataset(path, f"frames of {shape}", str(frame.shape), name, row)
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
        finally:
            video.release()

    def _pictures(self, camera: str) -> Feature:
        if CAMERA + camera not in self.features:
            raise DamagedDataset(self.root / INFO_PATH, f"a camera of {', '.join(self.cameras)}", camera)
        return self.features[CAMERA + camera]

    def _check_order(self, about: EpisodeInfo, rows: Columns) -> None:
        """Whether rows are numbered as they should be and `fps` apart."""
        count = np.arange(about.length)
        wanted = {"frame_index": count, "index": about.start + count, "timestamp": count / self.fps}
        for name, values in wanted.items():
            wrong = np.flatnonzero(np.abs(rows[name] - values) > 1e-4)
            if len(wrong):
                row = int(wrong[0])
                rate = f" at {self.fps} rows a second" if name == "timestamp" else ""
                raise DamagedDataset(about.data, f"{values[row]:g}{rate}", f"{rows[name][row]:g}", name, row)


def read_info(root: Path) -> dict[str, Any]:
    """`meta/info.json`, checked.

    Raises:
        DamagedDataset: it is missing or not of version 3.0.
    """
    path = root / INFO_PATH
    info = read_json(path, "a data set")
    kinds = {"codebase_version": str, "fps": int, "features": dict, "total_episodes": int, "total_frames": int}
    kinds |= {"data_path": str, "chunks_size": int}
    if any(isinstance(kind, dict) and kind.get("dtype") == "video" for kind in (info.get("features") or {}).values()):
        kinds["video_path"] = str
    for name, kind in kinds.items():
        if not isinstance(info.get(name), kind):
            raise DamagedDataset(path, f"{name} to be of type {kind.__name__}", repr(info.get(name)))
    if info["codebase_version"] != VERSION:
        raise DamagedDataset(path, f"codebase_version {VERSION}", info["codebase_version"])
    return info


def read_json(path: Path, what: str = "JSON") -> Any:
    """What a file says.

    Raises:
        DamagedDataset: it is missing (expected `what`), or no JSON.
    """
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise DamagedDataset(path, what, "nothing there") from None
    except (ValueError, OSError) as error:
        raise DamagedDataset(path, "JSON", str(error)) from None


def read_table(path: Path, without: str = "\n") -> pa.Table:
    """A Parquet file without nulls, or its columns that do not start with `without`.

    Raises:
        DamagedDataset: it is missing, cut off, or has nulls.
    """
    try:
        with pq.ParquetFile(path) as file:
            table = file.read([name for name in file.schema_arrow.names if not name.startswith(without)])
    except FileNotFoundError:
        raise DamagedDataset(path, "a Parquet file", "nothing there") from None
    except (pa.ArrowException, OSError) as error:
        raise DamagedDataset(path, "a Parquet file", str(error).split("\n")[0]) from None
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count:
            row = column.is_null().to_pylist().index(True)
            raise DamagedDataset(path, "a value", "null", name, row)
    return table


def _listed(path: Path, info: dict[str, Any]) -> list[tuple[Path, dict[str, Any], str]]:
    """File, record without statistics, and hash of each episode in a file of the episode table."""
    table = read_table(path, without="stats/")
    needed = [*_BOOKKEEPING, "data/chunk_index", "data/file_index"]
    for name in (name for name, kind in info["features"].items() if kind["dtype"] == "video"):
        needed += [f"videos/{name}/{part}" for part in ("chunk_index", "file_index", "from_timestamp")]
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise DamagedDataset(path, f"columns {', '.join(missing)}", "none of these names")
    contents = path.read_bytes()
    keys = [sha256(contents + str(row).encode()).hexdigest()[:16] for row in range(len(table))]
    return [(path, record, key) for record, key in zip(table.to_pylist(), keys, strict=True)]


def _located(root: Path, info: dict[str, Any], path: Path, record: dict[str, Any], key: str) -> EpisodeInfo:
    videos = {}
    for name in (name for name, kind in info["features"].items() if kind["dtype"] == "video"):
        place = {part: record[f"videos/{name}/{part}"] for part in ("chunk_index", "file_index")}
        videos[name] = (
            root / info["video_path"].format(video_key=name, **place),
            record[f"videos/{name}/from_timestamp"],
        )
    place = {part: record[f"data/{part}"] for part in ("chunk_index", "file_index")}
    return EpisodeInfo(
        index=record["episode_index"],
        length=record["length"],
        start=record["dataset_from_index"],
        tasks=tuple(record["tasks"]),
        data=root / info["data_path"].format(**place),
        videos=videos,
        about={name: value for name, value in record.items() if "/" not in name and name not in _BOOKKEEPING},
        key=key,
    )


def _consistent(root: Path, info: dict[str, Any], episodes: tuple[EpisodeInfo, ...]) -> None:
    """Whether the episode table has as many episodes and rows as promised, in order."""
    if len(episodes) != info["total_episodes"]:
        raise DamagedDataset(root / "meta/episodes", f"{info['total_episodes']} episodes", str(len(episodes)))
    start = 0
    for number, episode in enumerate(episodes):
        if (episode.index, episode.start) != (number, start):
            expected = f"episode {number} from row {start}"
            raise DamagedDataset(root / "meta/episodes", expected, f"{episode.index} from row {episode.start}")
        start += episode.length
    if start != info["total_frames"]:
        raise DamagedDataset(root / INFO_PATH, f"total_frames {start}", str(info["total_frames"]))


def _difference(wanted: Iterable[str], there: Iterable[str]) -> tuple[str, str]:
    """Names that should be there and are not, and the other way round."""
    missing, more = sorted(set(wanted) - set(there)), sorted(set(there) - set(wanted))
    expected = f"features {', '.join(missing)}" if missing else "no further features"
    return expected, ", ".join(more) or "none of these names"


def _values(path: Path, column: pa.ChunkedArray, name: str, kind: Feature) -> np.ndarray:
    """A column as (n, *shape), or (n,) for a shape of (1,)."""
    flat = column.combine_chunks()
    while isinstance(flat, (pa.ListArray, pa.FixedSizeListArray, pa.LargeListArray)):
        flat = flat.flatten()
    shape = () if kind["shape"] == [1] else tuple(kind["shape"])
    if np.dtype(flat.type.to_pandas_dtype()) != kind["dtype"]:
        raise DamagedDataset(path, kind["dtype"], str(flat.type), name)
    if flat.null_count or len(flat) != len(column) * int(np.prod(shape)):
        sizes = [_numbers(value) for value in column.to_pylist()]
        row = next((row for row, size in enumerate(sizes) if size != np.prod(shape)), -1)
        raise DamagedDataset(path, f"{np.prod(shape):g} numbers", f"{sizes[row]}", name, row)
    values = flat.to_numpy(zero_copy_only=False).reshape(-1, *shape)
    bad = np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(1))
    if len(bad):
        raise DamagedDataset(path, "finite numbers", "NaN or infinity", name, int(bad[0]))
    return values


def _numbers(value: Any) -> int:
    """How many numbers, not counting nulls, there are in nested lists."""
    return sum(map(_numbers, value)) if isinstance(value, list) else int(value is not None)
