"""Writes data sets episode by episode; a kill at any moment leaves all finished episodes readable.

An episode has a file of its own everywhere. Each is written aside and put in place by a rename, `meta/info.json` last:
what it does not count yet is replaced by the next run.

Video is lossless: FFV1 in MP4, the container LeRobot names. The thin light-blue line to write does not survive the
lossy codecs at hand (MPEG-4, VP9, MJPEG halve the colour resolution and are up to 100 of 255 off); FFV1 takes about
5 kB for a frame of 96 x 96.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from shutil import rmtree
from typing import IO, Any, NamedTuple

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recordings.dataset.reader import (
    CAMERA,
    DATA_PATH,
    EPISODES_PATH,
    INDEX_FEATURES,
    INFO_PATH,
    STATS_PATH,
    TASKS_PATH,
    VERSION,
    VIDEO_PATH,
    Columns,
    DamagedDataset,
    Dataset,
    Feature,
    read_info,
    read_table,
)
from recordings.dataset.stats import Stats, array_stats, image_stats, merged, sampled_frames

CHUNK_SIZE = 1000  # files a folder


class Prepared(NamedTuple):
    """An episode that only needs its place in a data set; may come from another process."""

    rows: Columns  # without the index features
    videos: dict[str, Path]  # feature -> file to move
    stats: Stats
    task: str
    about: dict[str, int | float]  # more columns for the episode table


def camera_feature(height: int, width: int, fps: int) -> Feature:
    """A feature of pictures."""
    info = {"video.height": height, "video.width": width, "video.channels": 3, "video.fps": fps}
    info |= {"video.codec": "ffv1", "video.pix_fmt": "bgr0", "video.is_depth_map": False, "has_audio": False}
    return {"dtype": "video", "shape": [height, width, 3], "names": ["height", "width", "channels"], "info": info}


def prepare(
    directory: Path,
    features: Mapping[str, Feature],
    fps: int,
    rows: Columns,
    frames: Mapping[str, np.ndarray] | Iterator[tuple[str, np.ndarray]],
    task: str,
    about: Mapping[str, int | float] | None = None,
) -> Prepared:
    """Check an episode, encode its videos into a folder of its own and take its statistics.

    Args:
        directory: for the videos; on the data set's file system.
        features: of the data set, without the index features.
        fps: rows a second.
        rows: feature -> (n, *shape), or (n,) where the shape is (1,).
        frames: camera -> (n, h, w, 3) uint8 RGB, checked before anything is written; or camera and frame, one by one.
        task: what was to be done, in words.
        about: more columns for the episode table, such as the seed.

    Raises:
        ValueError: rows and frames are not what `features` says, or not finite.
    """
    cameras = {name: kind for name, kind in features.items() if kind["dtype"] == "video"}
    if not isinstance(frames, Iterator):
        _check(features, {**rows, **{CAMERA + camera: pixels for camera, pixels in frames.items()}})
        frames = ((camera, frame) for camera, pixels in frames.items() for frame in pixels)
    _check({name: kind for name, kind in features.items() if name not in cameras}, rows)
    length = len(next(iter(rows.values())))
    rmtree(directory, ignore_errors=True)
    with ExitStack() as stack:
        videos = {
            name: stack.enter_context(Pictures(directory, name, kind, length, fps)) for name, kind in cameras.items()
        }
        for camera, frame in frames:
            videos[CAMERA + camera].add(frame)
    for name, video in videos.items():
        if video.added != length:
            raise ValueError(f"{name}: expected {length} rows, got {video.added}")
    stats = {name: array_stats(values) for name, values in rows.items()}
    stats |= {name: video.stats() for name, video in videos.items()}
    return Prepared(dict(rows), {name: video.path for name, video in videos.items()}, stats, task, dict(about or {}))


class Pictures:
    """A camera's video of one episode, written frame by frame into a folder; use it in a `with`.

    Raises:
        OSError: OpenCV cannot write such a file here.
    """

    def __init__(self, directory: Path, name: str, feature: Feature, count: int, fps: int):
        directory.mkdir(parents=True, exist_ok=True)
        self.path, self.count, self.added = directory / f"{name}.mp4", count, 0
        self._shape, self._name = tuple(feature["shape"]), name
        size, ffv1 = (self._shape[1], self._shape[0]), cv2.VideoWriter.fourcc(*"FFV1")
        self._video = cv2.VideoWriter(str(self.path), cv2.CAP_FFMPEG, ffv1, fps, size)
        if not self._video.isOpened():
            raise OSError(f"{self.path}: OpenCV cannot write FFV1 video of {size[0]} x {size[1]} here")
        self._chosen, self._sampled = sampled_frames(count), list[np.ndarray]()

    def __enter__(self) -> "Pictures":
        return self

    def __exit__(self, *_: object) -> None:
        self._video.release()

    def add(self, frame: np.ndarray) -> None:
        """Append one picture.

        Raises:
            ValueError: it is not of the feature's shape.
        """
        if frame.dtype != np.uint8 or frame.shape != self._shape:
            expected, got = f"uint8 of shape {self._shape}", f"{frame.dtype} of shape {frame.shape}"
            raise ValueError(f"{self._name}, row {self.added}: expected {expected}, got {got}")
        self._video.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        if self.added in self._chosen:
            self._sampled.append(frame.copy())
        self.added += 1

    def stats(self) -> dict[str, np.ndarray]:
        return image_stats(np.stack(self._sampled))


class Writer:
    """Appends episodes to a data set, new or begun; use it in a `with`. There is one at a time."""

    def __init__(self, root: Path | str, fps: int, features: Mapping[str, Feature], robot: str):
        """Open the data set, or begin one.

        Raises:
            DamagedDataset: what is there is damaged, or of another rate or other features.
            ValueError: another process is writing it.
        """
        self.root = Path(root)
        self.root.mkdir(parents=True, exist_ok=True)
        self._lock = _locked(self.root)
        try:
            self._begin(fps, features, robot)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        rmtree(self.staging, ignore_errors=True)
        self._lock.close()

    @property
    def staging(self) -> Path:
        """A folder for what is being prepared, on the same file system; removed in the end."""
        return self.root / ".staging"

    def append(self, episode: Prepared) -> None:
        """Add an episode; when this returns it is there for every reader."""
        number, length = len(self.about), len(next(iter(episode.rows.values())))
        rows = {**episode.rows, **self._index_rows(number, length, self._task_index(episode.task))}
        stats = {**episode.stats, **{name: array_stats(rows[name]) for name in INDEX_FEATURES}}
        _replace(self.root / DATA_PATH.format(**_place(number)), _table(rows, self._info["features"]))
        for name, source in episode.videos.items():
            video = self.root / VIDEO_PATH.format(video_key=name, **_place(number))
            video.parent.mkdir(parents=True, exist_ok=True)
            os.replace(source, video)
        record = self._record(number, length, episode)
        _replace(self.root / EPISODES_PATH.format(**_place(number)), _episode_table(record, stats))
        self._stats = merged(self._stats, stats)
        _replace(self.root / STATS_PATH, json.dumps(self._stats, indent=4, default=np.ndarray.tolist))
        totals = {"total_episodes": number + 1, "total_frames": self._info["total_frames"] + length}
        self._info |= {**totals, "total_tasks": len(self._tasks), "splits": {"train": f"0:{number + 1}"}}
        _replace(self.root / INFO_PATH, json.dumps(self._info, indent=4))
        self.about.append(episode.about)

    def _begin(self, fps: int, features: Mapping[str, Feature], robot: str) -> None:
        """Read what is there, make it if nothing is, and take away what a killed run left half done."""
        wanted = {"fps": fps, "features": {**features, **INDEX_FEATURES}}
        if not (self.root / INFO_PATH).exists():
            self._info = {**_empty_info(robot), **wanted}
            _replace(self.root / INFO_PATH, json.dumps(self._info, indent=4))
        self._info = read_info(self.root)
        for name, value in wanted.items():
            if self._info[name] != value:
                raise DamagedDataset(self.root / INFO_PATH, *_unlike(name, value, self._info[name]))
        episodes = Dataset.open(self.root).episodes
        self.about = [episode.about for episode in episodes]  # what `prepare` was told of each finished episode
        self._tasks = self._read_tasks()
        self._remove_unfinished()
        self._stats = self._read_stats()

    def _index_rows(self, number: int, length: int, task_index: int) -> Columns:
        count = np.arange(length)
        return {
            "timestamp": (count / self._info["fps"]).astype(np.float32),
            "frame_index": count,
            "episode_index": np.full(length, number),
            "index": self._info["total_frames"] + count,
            "task_index": np.full(length, task_index),
        }

    def _record(self, number: int, length: int, episode: Prepared) -> dict[str, Any]:
        """The episode's row of the episode table, without statistics."""
        place, start = _place(number), self._info["total_frames"]
        record = {"episode_index": number, "tasks": [episode.task], "length": length}
        record |= {f"data/{name}": value for name, value in place.items()}
        record |= {"dataset_from_index": start, "dataset_to_index": start + length}
        for video in episode.videos:
            times = {"from_timestamp": 0.0, "to_timestamp": length / self._info["fps"]}
            record |= {f"videos/{video}/{name}": value for name, value in {**place, **times}.items()}
        return {**record, **{f"meta/episodes/{name}": value for name, value in place.items()}, **episode.about}

    def _task_index(self, task: str) -> int:
        if task not in self._tasks:
            self._tasks.append(task)
            _replace(self.root / TASKS_PATH, _task_table(self._tasks))
        return self._tasks.index(task)

    def _read_tasks(self) -> list[str]:
        path = self.root / TASKS_PATH
        return read_table(path)["task"].to_pylist() if path.exists() else []

    def _read_stats(self) -> Stats:
        """Of all episodes, by the episode table: a run may have been killed before it wrote their file."""
        stats: Stats = {}
        for path in sorted(self.root.glob("meta/episodes/*/*.parquet")):
            for record in read_table(path).to_pylist():
                each: Stats = {}
                for name, value in record.items():
                    if name.startswith("stats/"):
                        feature, _, part = name.removeprefix("stats/").rpartition("/")
                        each.setdefault(feature, {})[part] = np.array(value)
                stats = merged(stats, each)
        return stats

    def _remove_unfinished(self) -> None:
        """What a killed run left of the next episode, so that no other reader takes it for one."""
        place = _place(len(self.about))
        for path in (DATA_PATH, EPISODES_PATH):
            (self.root / path.format(**place)).unlink(missing_ok=True)
        for name, kind in self._info["features"].items():
            if kind["dtype"] == "video":
                (self.root / VIDEO_PATH.format(video_key=name, **place)).unlink(missing_ok=True)
        rmtree(self.staging, ignore_errors=True)


def _locked(root: Path) -> IO[str]:
    """An open file that no other process can get before it is closed, or this process dies."""
    lock = (root / ".lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise ValueError(f"{root}: another process is writing this data set") from None
    return lock


def _empty_info(robot: str) -> dict[str, Any]:
    totals = {"total_episodes": 0, "total_frames": 0, "total_tasks": 0}
    sizes = {"chunks_size": CHUNK_SIZE, "data_files_size_in_mb": 100, "video_files_size_in_mb": 200}
    paths = {"data_path": DATA_PATH, "video_path": VIDEO_PATH}
    return {"codebase_version": VERSION, "robot_type": robot, **totals, **sizes, "splits": {"train": "0:0"}, **paths}


def _place(number: int) -> dict[str, int]:
    return {"chunk_index": number // CHUNK_SIZE, "file_index": number % CHUNK_SIZE}


def _unlike(name: str, wanted: Any, there: Any) -> tuple[str, str]:
    """Expected and got of the first difference between two settings of a data set."""
    if not isinstance(wanted, dict):
        return f"{name} {wanted}", str(there)
    feature = next(feature for feature in [*wanted, *there] if wanted.get(feature) != there.get(feature))
    return f"feature {feature} as {wanted.get(feature)}", str(there.get(feature))


def _check(features: Mapping[str, Feature], values: Mapping[str, np.ndarray]) -> None:
    """Whether every feature is there once a row, of its type and shape, and finite."""
    if set(values) != set(features):
        raise ValueError(f"expected features {', '.join(features)}, got {', '.join(values)}")
    length = len(next(iter(values.values())))
    for name, kind in features.items():
        dtype = "uint8" if kind["dtype"] == "video" else kind["dtype"]
        shape = () if kind["shape"] == [1] else tuple(kind["shape"])
        if len(values[name]) != length or not length:
            raise ValueError(f"{name}: expected {length} rows (at least 1), got {len(values[name])}")
        if values[name].dtype != dtype or values[name].shape[1:] != shape:
            got = f"{values[name].dtype} of shape {values[name].shape[1:]}"
            raise ValueError(f"{name}: expected {dtype} of shape {shape}, got {got}")
        if values[name].dtype.kind != "f":
            continue
        bad = np.flatnonzero(~np.isfinite(values[name]).reshape(length, -1).all(1))
        if len(bad):
            raise ValueError(f"{name}, row {bad[0]}: expected finite numbers, got NaN or infinity")


def _table(rows: Columns, features: Mapping[str, Feature]) -> pa.Table:
    names = [name for name, kind in features.items() if kind["dtype"] != "video"]
    return pa.table({name: _column(rows[name]) for name in names})


def _column(values: np.ndarray) -> pa.Array:
    """(n,) as numbers, (n, a) as lists of fixed size, (n, a, b) as nested lists, as LeRobot's columns are typed."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    if values.ndim == 1:
        return flat
    if values.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
    for width in values.shape[:0:-1]:
        flat = pa.ListArray.from_arrays(np.arange(0, len(flat) + 1, width, dtype=np.int32), flat)
    return flat


def _episode_table(record: dict[str, Any], stats: Stats) -> pa.Table:
    flat = {f"stats/{name}/{part}": value.tolist() for name, parts in stats.items() for part, value in parts.items()}
    return pa.table({name: [value] for name, value in {**record, **flat}.items()})


def _task_table(tasks: list[str]) -> pa.Table:
    """Task texts and their index; pandas, which LeRobot reads them with, takes the texts for the table's index."""
    table = pa.table({"task_index": pa.array(range(len(tasks)), pa.int64()), "task": tasks})
    kinds = [("task_index", "int64", "int64"), ("task", "unicode", "object")]
    columns = [
        {"name": name, "field_name": name, "pandas_type": kind, "numpy_type": numpy, "metadata": None}
        for name, kind, numpy in kinds
    ]
    about = {"index_columns": ["task"], "column_indexes": [], "columns": columns, "pandas_version": "2.0.0"}
    return table.replace_schema_metadata({"pandas": json.dumps(about)})


def _replace(path: Path, content: str | pa.Table) -> None:
    """A file of this content: whole, or as before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    if isinstance(content, str):
        aside.write_text(content)
    else:
        pq.write_table(content, aside)
    os.replace(aside, path)
