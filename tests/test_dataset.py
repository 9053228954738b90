"""Data sets: what is written is read, whatever moment a run is killed at, and what is damaged is named."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recordings.dataset import writer as dataset_writer
from recordings.dataset.cache import cache
from recordings.dataset.reader import DamagedDataset, Dataset, feature
from recordings.dataset.stats import array_stats, merged
from recordings.dataset.writer import Pictures, Writer, camera_feature, prepare

FPS, SIZE = 15, 16
STATE, WRIST = "observation.state", "observation.images.wrist"
FEATURES = {
    WRIST: camera_feature(SIZE, SIZE, FPS),
    STATE: feature("float32", 3, names=["x", "y", "z"]),
    "action_chunk": feature("float32", 4, 2),
    "tick": feature("int64", 1),
}
DATA = "data/chunk-000/file-001.parquet"
VIDEO = f"videos/{WRIST}/chunk-000/file-001.mp4"
EPISODE = "meta/episodes/chunk-000/file-001.parquet"


def contents(seed: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Rows and frames of an episode of 5 + seed rows."""
    rng, length = np.random.default_rng(seed), 5 + seed
    state, chunk = (rng.normal(size=(length, *shape)).astype(np.float32) for shape in [(3,), (4, 2)])
    rows = {STATE: state, "action_chunk": chunk, "tick": 4 * np.arange(length)}
    return rows, {"wrist": rng.integers(0, 256, (length, SIZE, SIZE, 3), np.uint8)}


def append(root: Path, *seeds: int, fps: int = FPS) -> None:
    with Writer(root, fps, FEATURES, "toy") as writer:
        for seed in seeds:
            rows, frames = contents(seed)
            staging = writer.staging / str(seed)
            writer.append(prepare(staging, FEATURES, fps, rows, frames, "write", {"seed": seed}))


def write_video(path: Path, frames: np.ndarray, fps: int) -> None:
    kind = camera_feature(frames.shape[1], frames.shape[2], fps)
    with Pictures(path.parent, path.stem, kind, len(frames), fps) as video:
        for frame in frames:
            video.add(frame)


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    append(tmp_path / "toy", 0, 1, 2)
    return tmp_path / "toy"


def test_what_is_written_is_read_bit_by_bit(root):
    dataset = Dataset.open(root, FEATURES)
    assert [(e.index, e.length, e.start, e.tasks) for e in dataset.episodes] == [
        (0, 5, 0, ("write",)),
        (1, 6, 5, ("write",)),
        (2, 7, 11, ("write",)),
    ]
    assert [episode.about["seed"] for episode in dataset.episodes] == [0, 1, 2]
    for seed in range(3):
        rows, frames = contents(seed)
        read = dataset.rows(seed)
        assert all(np.array_equal(read[name], rows[name]) and read[name].dtype == rows[name].dtype for name in rows)
        np.testing.assert_allclose(read["timestamp"], np.arange(5 + seed) / FPS, rtol=1e-6)
        assert np.array_equal(dataset.frames(seed, "wrist"), frames["wrist"])


def test_layout_is_that_of_version_3_0(root):
    info = json.loads((root / "meta/info.json").read_text())
    assert (info["codebase_version"], info["fps"], info["robot_type"]) == ("v3.0", FPS, "toy")
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (3, 18, 1)
    assert info["splits"] == {"train": "0:3"}
    assert {"chunks_size", "data_files_size_in_mb", "video_files_size_in_mb"} <= set(info)
    assert info["data_path"] == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    assert info["video_path"] == "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    assert {"timestamp", "frame_index", "episode_index", "index", "task_index"} <= set(info["features"])
    assert all({"dtype", "shape", "names"} <= set(kind) for kind in info["features"].values())
    assert info["features"][WRIST]["info"]["video.codec"] == "ffv1"
    columns = set(pq.read_schema(root / EPISODE).names)
    bookkeeping = {"episode_index", "tasks", "length", "dataset_from_index", "dataset_to_index"}
    places = {f"{part}/{which}_index" for part in ("data", "meta/episodes") for which in ("chunk", "file")}
    video = {f"videos/{WRIST}/{part}" for part in ("chunk_index", "file_index", "from_timestamp", "to_timestamp")}
    stats = {f"stats/{name}/{part}" for name in info["features"] for part in ("min", "max", "mean", "std", "count")}
    assert bookkeeping | places | video | stats <= columns
    tasks = pq.read_table(root / "meta/tasks.parquet")
    assert tasks.to_pylist() == [{"task_index": 0, "task": "write"}]
    assert json.loads(tasks.schema.metadata[b"pandas"])["index_columns"] == ["task"]
    assert pq.read_schema(root / DATA).field(STATE).type == pa.list_(pa.float32(), 3)


def test_statistics_are_those_of_all_rows(root):
    stats = json.loads((root / "meta/stats.json").read_text())
    chunks = np.concatenate([contents(seed)[0]["action_chunk"] for seed in range(3)]).astype(float)
    for name, expected in {"min": chunks.min(0), "mean": chunks.mean(0), "std": chunks.std(0)}.items():
        np.testing.assert_allclose(stats["action_chunk"][name], expected, atol=1e-12)
    assert stats["action_chunk"]["count"] == [18] and stats["tick"]["max"] == [24]
    assert np.shape(stats[WRIST]["mean"]) == (3, 1, 1) and 0.4 < stats[WRIST]["mean"][0][0][0] < 0.6


def test_statistics_merge_as_if_taken_at_once():
    values = np.random.default_rng(0).normal(size=(50, 4))
    both = merged({"a": array_stats(values[:7])}, {"a": array_stats(values[7:])})["a"]
    for name, expected in array_stats(values).items():
        np.testing.assert_allclose(both[name], expected)


def test_killed_at_any_moment_finished_episodes_stay_and_the_next_run_goes_on(tmp_path, monkeypatch):
    append(tmp_path / "whole", 0, 1)
    rename, renames = os.replace, 5  # rows, video, episode table, statistics, info
    for fatal in range(renames):
        root = tmp_path / f"killed_{fatal}"
        append(root, 0)
        allowed = iter(range(fatal))

        def dying(source, target, allowed=allowed):
            if next(allowed, None) is None:
                raise KeyboardInterrupt
            rename(source, target)

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(dataset_writer.os, "replace", dying)
            append(root, 1)
        (survivor,) = Dataset.open(root).episodes
        assert Dataset.open(root).rows(0)["tick"][-1] == 16 and survivor.about["seed"] == 0
        append(root, 1)
        assert files(root) == files(tmp_path / "whole")


def test_one_writer_at_a_time(root):
    with Writer(root, FPS, FEATURES, "toy"), pytest.raises(ValueError, match="another process"):
        append(root, 3)


def test_a_data_set_goes_on_only_as_it_began(root):
    with pytest.raises(DamagedDataset, match=r"info\.json: expected fps 30, got 15"):
        append(root, 3, fps=30)
    other = {**FEATURES, STATE: feature("float32", 4)}
    with pytest.raises(DamagedDataset, match=rf"expected feature {STATE} as .*4"):
        Writer(root, FPS, other, "toy")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("tick", lambda v: v[:-1], "tick: expected 5 rows .*got 4"),
        (WRIST, lambda v: v[:-1], f"{WRIST}: expected 5 rows .*got 4"),
        (WRIST, lambda v: v[:, :8], f"{WRIST}: expected uint8 of shape .16, 16, 3., got"),
        (STATE, lambda v: v.astype(float), f"{STATE}: expected float32 of shape .3,., got float64"),
        (STATE, lambda v: np.where(np.arange(5)[:, None] == 3, np.float32("nan"), v), f"{STATE}, row 3: .*NaN"),
    ],
)
def test_a_bad_episode_is_refused_before_anything_is_written(tmp_path, name, change, message):
    rows, frames = contents(0)
    values = {**rows, WRIST: frames["wrist"]}
    values[name] = change(values[name])
    with pytest.raises(ValueError, match=message):
        prepare(tmp_path / "e", FEATURES, FPS, {k: values[k] for k in rows}, {"wrist": values[WRIST]}, "write")
    assert not (tmp_path / "e").exists()


def test_what_is_asked_for_must_be_there(root, tmp_path):
    with pytest.raises(DamagedDataset, match=r"info\.json: expected features action"):
        Dataset.open(root, ["action"])
    with pytest.raises(DamagedDataset, match=r"info\.json: expected a data set, got nothing there"):
        Dataset.open(tmp_path)
    with pytest.raises(DamagedDataset, match="expected a camera of wrist, got front"):
        Dataset.open(root).frames(0, "front")


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size * 2 // 3)


def with_info(**changes: object) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return rewrite


def with_column(name: str, change: Callable) -> Callable[[Path], None]:
    def rewrite(path: Path) -> None:
        table = pq.read_table(path)
        changed = pa.array(change(table[name].to_pylist()), table[name].type)
        pq.write_table(table.set_column(table.column_names.index(name), name, changed), path)

    return rewrite


def at(row: int, value: object) -> Callable[[list], list]:
    return lambda values: [*values[:row], value, *values[row + 1 :]]


def renamed(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.rename_columns(["state" if n == STATE else n for n in table.column_names]), path)


def retyped(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index("tick"), "tick", table["tick"].cast("float64")), path)


NESTED = [[1.0, 2.0]] * 3 + [[1.0]]
DAMAGES = [
    ("meta/info.json", truncate, r"info\.json: expected JSON"),
    ("meta/info.json", with_info(codebase_version="v2.1"), r"info\.json: expected codebase_version v3\.0, got v2\.1"),
    ("meta/info.json", with_info(fps=None), r"info\.json: expected fps to be of type int, got None"),
    ("meta/info.json", with_info(fps=30), r"file-000\.parquet, timestamp, row 1: expected 0\.0333333 at 30 rows"),
    ("meta/info.json", with_info(total_episodes=4), r"episodes: expected 4 episodes, got 3"),
    ("meta/info.json", with_info(total_frames=17), r"info\.json: expected total_frames 18, got 17"),
    (EPISODE, Path.unlink, r"episodes: expected 3 episodes, got 2"),
    (EPISODE, truncate, r"episodes.*file-001\.parquet: expected a Parquet file"),
    (EPISODE, with_column("dataset_from_index", lambda _: [6]), "expected episode 1 from row 5, got 1 from row 6"),
    (DATA, Path.unlink, r"file-001\.parquet: expected a Parquet file, got nothing there"),
    (DATA, truncate, r"data.*file-001\.parquet: expected a Parquet file"),
    (DATA, lambda path: pq.write_table(pq.read_table(path)[:4], path), r"parquet: expected 6 rows of episode 1, got 4"),
    (DATA, renamed, rf"file-001\.parquet: expected features {STATE}, got state"),
    (DATA, retyped, r"file-001\.parquet, tick: expected int64, got double"),
    (DATA, with_column(STATE, at(2, [0, np.nan, 0])), rf"file-001\.parquet, {STATE}, row 2: .* NaN"),
    (DATA, with_column("tick", at(3, None)), r"file-001\.parquet, tick, row 3: expected a value, got null"),
    (DATA, with_column("frame_index", at(4, 5)), r"file-001\.parquet, frame_index, row 4: expected 4, got 5"),
    (DATA, with_column("action_chunk", at(3, NESTED)), r"parquet, action_chunk, row 3: expected 8 numbers, got 7"),
    (VIDEO, Path.unlink, rf"file-001\.mp4, {WRIST}: expected a video, got nothing there"),
    (VIDEO, truncate, rf"file-001\.mp4, {WRIST}: expected a video, got a file that cannot"),
    (VIDEO, lambda path: write_video(path, contents(1)[1]["wrist"][:4], FPS), "row 4: expected 6 frames, got 4"),
    (VIDEO, lambda path: write_video(path, contents(1)[1]["wrist"], 30), "expected 15 frames a second, got 30"),
    (VIDEO, lambda path: write_video(path, np.zeros((6, 8, 8, 3), np.uint8), FPS), "row 0: expected frames of .16"),
]


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGES)
def test_damage_is_named_and_nothing_half_read_is_cached(root, tmp_path, name, damage, message):
    damage(root / name)
    with pytest.raises(DamagedDataset, match=message):
        cache(Dataset.open(root), tmp_path / "cache")
    index = tmp_path / "cache/cache.json"
    assert not index.exists() or len(json.loads(index.read_text())["episodes"]) <= 1


def test_cache_holds_all_rows_and_grows_with_the_data_set(root, tmp_path):
    first = cache(Dataset.open(root), tmp_path / "cache")
    append(root, 3)
    grown = cache(Dataset.open(root), tmp_path / "cache")
    rows, frames = zip(*(contents(seed) for seed in range(4)), strict=True)
    assert (len(first), len(grown), first.key != grown.key) == (18, 26, True)
    assert grown.starts.tolist() == [0, 5, 11, 18, 26] and grown.about[3] == {"seed": 3}
    for name in rows[0]:
        assert np.array_equal(grown[name], np.concatenate([r[name] for r in rows])) and grown[name].dtype != np.float64
    assert np.array_equal(grown.frames["wrist"], np.concatenate([f["wrist"] for f in frames]))
    assert np.array_equal(first.frames["wrist"], grown.frames["wrist"][:18])
    assert not grown["tick"].flags.writeable


def test_pictures_that_were_read_do_not_stay_in_the_process(root, tmp_path):
    found = cache(Dataset.open(root), tmp_path / "cache")
    assert np.array_equal(found.pictures("wrist", np.array([9, 0])), found.frames["wrist"][[9, 0]])
    assert resident_kb("wrist.bin") > 0  # the line above has read the map itself too
    found.pictures("wrist", np.arange(len(found)))
    assert resident_kb("wrist.bin") == 0


def resident_kb(name: str) -> int:
    """Of all maps of a file in this process."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    sizes = [next(line for line in lines if line.startswith("Rss:")) for line in lines if line.endswith(name)]
    return sum(int(size.split()[1]) for size in sizes)


def test_an_older_view_of_the_data_set_does_not_shrink_the_cache(root, tmp_path):
    older = Dataset.open(root)
    append(root, 3)
    grown = cache(Dataset.open(root), tmp_path / "cache")
    before = files(tmp_path / "cache")
    assert len(cache(older, tmp_path / "cache")) == 18 and len(grown) == 26
    assert files(tmp_path / "cache") == before


def test_an_interrupted_cache_goes_on(root, tmp_path):
    cache(Dataset.open(root), tmp_path / "whole")
    directory = tmp_path / "cache"
    truncate(root / VIDEO)
    with pytest.raises(DamagedDataset):
        cache(Dataset.open(root), directory)
    with (directory / "tick.bin").open("ab") as file:
        file.write(b"half an episode")
    write_video(root / VIDEO, contents(1)[1]["wrist"], FPS)
    cache(Dataset.open(root), directory)
    assert files(directory) == files(tmp_path / "whole")


def test_a_cache_of_another_data_set_is_not_used(root, tmp_path):
    first = cache(Dataset.open(root), tmp_path / "cache")
    append(tmp_path / "other", 2, 1)
    other = cache(Dataset.open(tmp_path / "other"), tmp_path / "cache")
    assert np.array_equal(first["tick"], np.concatenate([contents(seed)[0]["tick"] for seed in range(3)]))
    assert np.array_equal(other["tick"], np.concatenate([contents(seed)[0]["tick"] for seed in (2, 1)]))
    with Writer(tmp_path / "none", FPS, FEATURES, "toy"), pytest.raises(DamagedDataset, match="one episode, got none"):
        cache(Dataset.open(tmp_path / "none"), tmp_path / "empty")
