"""Checks a data set against the documented layout of LeRobotDataset v3.0, field by field, then all it holds.

Each problem is one line with file, feature and row, what was expected and what is there. Where lerobot is installed it
is asked too.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recordings.dataset.reader import (
    CAMERA,
    INDEX_FEATURES,
    INFO_PATH,
    STATS_PATH,
    TASKS_PATH,
    VERSION,
    DamagedDataset,
    Dataset,
    read_json,
    read_table,
)

Test = Callable[[Any], bool]

DTYPES = {"video", "image", "string", "bool", "float16", "float32", "float64"}
DTYPES |= {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
STATISTICS = ("min", "max", "mean", "std", "count")


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _path(*parts: str) -> Test:
    def fits(value: Any) -> bool:
        try:
            return isinstance(value, str) and value.format(video_key="k", chunk_index=1, file_index=2) != value
        except (KeyError, IndexError, ValueError):
            return False

    return lambda value: fits(value) and all(f"{{{part}" in value for part in parts)


# field of meta/info.json -> what it is in words, and whether a value is that
INFO: dict[str, tuple[str, Test]] = {
    "codebase_version": (VERSION, lambda value: value == VERSION),
    "robot_type": ("text or null", lambda value: value is None or isinstance(value, str)),
    "total_episodes": ("a whole number", _count),
    "total_frames": ("a whole number", _count),
    "total_tasks": ("a whole number", _count),
    "chunks_size": ("a whole number above 0", lambda value: _count(value) and value > 0),
    "data_files_size_in_mb": ("a number above 0", lambda value: isinstance(value, int | float) and value > 0),
    "video_files_size_in_mb": ("a number above 0", lambda value: isinstance(value, int | float) and value > 0),
    "fps": ("a whole number above 0", lambda value: _count(value) and value > 0),
    "splits": ("names and ranges such as 0:3", lambda value: isinstance(value, dict)),
    "data_path": ("a path with {chunk_index} and {file_index}", _path("chunk_index", "file_index")),
    "video_path": (
        "a path with {video_key}, {chunk_index} and {file_index}, or null",
        lambda value: value is None or _path("video_key", "chunk_index", "file_index")(value),
    ),
    "features": ("features by name", lambda value: isinstance(value, dict) and bool(value)),
}
# column of meta/episodes -> Arrow type, or None for any whole number
EPISODES: dict[str, pa.DataType | None] = {
    "episode_index": None,
    "tasks": pa.list_(pa.string()),
    "length": None,
    "data/chunk_index": None,
    "data/file_index": None,
    "dataset_from_index": None,
    "dataset_to_index": None,
    "meta/episodes/chunk_index": None,
    "meta/episodes/file_index": None,
}
VIDEO: dict[str, pa.DataType | None] = {
    "chunk_index": None,
    "file_index": None,
    "from_timestamp": pa.float64(),
    "to_timestamp": pa.float64(),
}


def problems(root: Path, videos: bool = True) -> Iterator[str]:
    """Everything that is wrong with a data set, one line each.

    Args:
        root: folder that holds `meta`.
        videos: whether every picture is decoded; otherwise only that the files are there.
    """
    parts: list[
        tuple[Callable[[Path], Iterator[DamagedDataset]], bool]
    ] = [  # and whether the next are of no use without
        (_info, True),
        (_tasks, False),
        (_statistics, False),
        (_episode_columns, True),
        (partial(_contents, videos=videos), False),
    ]
    for part, needed in parts:
        whole = True
        try:
            for problem in part(root):
                whole = False
                yield str(problem)
        except DamagedDataset as error:
            whole = False
            yield str(error)
        if needed and not whole:
            return


def by_lerobot(root: Path) -> str:
    """What lerobot itself says: nothing when it reads the data set; a sentence when it does not, or is not there."""
    try:
        lerobot = import_module("lerobot.datasets.lerobot_dataset")
    except ImportError:
        return "lerobot is not installed, so it was not asked"
    try:
        dataset = lerobot.LeRobotDataset("local/check", root=root)
        for row in {0, len(dataset) - 1}:
            dataset[row]
    except Exception as error:  # whatever a library of others may raise is its verdict
        said = f"{type(error).__name__}: {error}".splitlines()[0]
        return f"{root}: lerobot cannot read it: {said}"
    return ""


def _info(root: Path) -> Iterator[DamagedDataset]:
    path = root / INFO_PATH
    info = read_json(path, "a data set")
    if not isinstance(info, dict):
        raise DamagedDataset(path, "an object", type(info).__name__)
    for name, (expected, fits) in INFO.items():
        if name not in info or not fits(info[name]):
            got = json.dumps(info[name])[:200] if name in info else "nothing"
            raise DamagedDataset(path, f"{name} to be {expected}", got)
    yield from (DamagedDataset(path, expected, got, name) for name, expected, got in _features(info))
    for name, span in info["splits"].items():
        first, _, end = str(span).partition(":")
        if not (first.isdigit() and end.isdigit() and int(first) <= int(end) <= info["total_episodes"]):
            yield DamagedDataset(path, f"split {name} within 0:{info['total_episodes']}", repr(span))


def _features(info: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Feature, expected, got."""
    for name, wanted in INDEX_FEATURES.items():
        there = info["features"].get(name)
        if not isinstance(there, dict) or [there.get("dtype"), there.get("shape")] != [
            wanted["dtype"],
            wanted["shape"],
        ]:
            yield name, f"{wanted['dtype']} of shape {wanted['shape']}", json.dumps(there)
    for name, kind in info["features"].items():
        if not isinstance(kind, dict):
            yield name, "dtype, shape and names", json.dumps(kind)
            continue
        shape, names = kind.get("shape"), kind.get("names")
        if kind.get("dtype") not in DTYPES:
            yield name, f"a dtype of {', '.join(sorted(DTYPES))}", repr(kind.get("dtype"))
        if not isinstance(shape, list) or not shape or not all(type(n) is int and n > 0 for n in shape):
            yield name, "a shape of whole numbers above 0", repr(shape)
        if "names" not in kind or not (names is None or isinstance(names, list | dict)):
            yield name, "names as a list or null", repr(names)
        if kind.get("dtype") == "video":
            yield from _camera(info, name, kind)


def _camera(info: dict[str, Any], name: str, kind: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    about = kind.get("info") or kind.get("video_info") or {}
    if not isinstance(kind.get("shape"), list) or len(kind["shape"]) != 3:
        yield name, "a shape of height, width and channels", repr(kind.get("shape"))
        return
    sizes = dict(zip(kind.get("names") or ("height", "width", "channels"), kind["shape"], strict=False))
    for part in ("height", "width", "channels"):
        if f"video.{part}" in about and part in sizes and about[f"video.{part}"] != sizes[part]:
            yield name, f"video.{part} {sizes[part]}", repr(about[f"video.{part}"])
    if "video.fps" in about and about["video.fps"] != info["fps"]:
        yield name, f"video.fps {info['fps']}", repr(about["video.fps"])
    if info["video_path"] is None:
        yield name, "video_path, since this is a video", "null"


def _tasks(root: Path) -> Iterator[DamagedDataset]:
    path, info = root / TASKS_PATH, read_json(root / INFO_PATH)
    if not info["total_episodes"]:
        return
    table = read_table(path)
    texts = next((name for name in ("task", "__index_level_0__") if name in table.column_names), None)
    if texts is None or "task_index" not in table.column_names:
        raise DamagedDataset(path, "columns task and task_index", ", ".join(table.column_names))
    for row, number in enumerate(table["task_index"].to_pylist()):
        if number != row:
            raise DamagedDataset(path, str(row), str(number), "task_index", row)
    if len(table) != info["total_tasks"]:
        yield DamagedDataset(path, f"{info['total_tasks']} tasks", str(len(table)))


def _episode_columns(root: Path) -> Iterator[DamagedDataset]:
    info = read_json(root / INFO_PATH)
    cameras = [name for name, kind in info["features"].items() if kind["dtype"] == "video"]
    wanted = EPISODES | {f"videos/{name}/{part}": kind for name in cameras for part, kind in VIDEO.items()}
    for path in sorted(root.glob("meta/episodes/*/*.parquet")):
        try:
            schema = pq.read_schema(path)
        except (pa.ArrowException, OSError) as error:
            yield DamagedDataset(path, "a Parquet file", str(error).split("\n")[0])
            continue
        for name, kind in wanted.items():
            there = schema.field(name).type if name in schema.names else None
            fits = there is not None and (pa.types.is_integer(there) if kind is None else there == kind)
            if not fits:
                yield DamagedDataset(path, f"{kind or 'whole numbers'}", str(there or "no such column"), name)


def _statistics(root: Path) -> Iterator[DamagedDataset]:
    path, info = root / STATS_PATH, read_json(root / INFO_PATH)
    if not info["total_episodes"]:
        return
    stats = read_json(path)
    for name, kind in info["features"].items():
        missing = [part for part in STATISTICS if part not in stats.get(name, {})]
        if missing and kind["dtype"] != "string":
            yield DamagedDataset(path, f"{', '.join(missing)}", "none of these", name)
        elif kind["dtype"] not in ("video", "image", "string") and stats[name]["count"] != [info["total_frames"]]:
            yield DamagedDataset(path, f"count {[info['total_frames']]}", str(stats[name]["count"]), name)
    columns = {f"stats/{name}/{part}" for name in info["features"] for part in STATISTICS}
    for path in sorted(root.glob("meta/episodes/*/*.parquet")):
        with suppress(pa.ArrowException, OSError):  # told elsewhere
            for name in sorted(columns - set(pq.read_schema(path).names)):
                yield DamagedDataset(path, "statistics", "no such column", name)


def _contents(root: Path, videos: bool) -> Iterator[DamagedDataset]:
    dataset = Dataset.open(root)
    tasks = read_table(root / TASKS_PATH).num_rows
    for number, about in enumerate(dataset.episodes):
        try:
            task = dataset.rows(number)["task_index"]
            for row in np.flatnonzero((task < 0) | (task >= tasks))[:1]:
                yield DamagedDataset(about.data, f"a task below {tasks}", str(task[row]), "task_index", int(row))
        except DamagedDataset as error:
            yield error
        for camera in dataset.cameras:
            try:
                path = about.videos[CAMERA + camera][0]
                if not videos and not path.is_file():
                    raise DamagedDataset(path, "a video", "nothing there", CAMERA + camera)
                for _ in dataset.stream(number, camera) if videos else ():
                    pass
            except DamagedDataset as error:
                yield error
