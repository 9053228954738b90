"""`rtr dataset check`: a good data set passes, and every damage is named with file, feature and row."""

import json
import sys
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recordings.dataset.check import INFO, by_lerobot, problems
from studies.dataset import Check, Info
from tests.test_dataset import DAMAGES, DATA, EPISODE, STATE, WRIST, append, at, with_column, with_info

TASKS = "meta/tasks.parquet"


@pytest.fixture
def root(tmp_path):
    append(tmp_path / "toy", 0, 1, 2)
    return tmp_path / "toy"


def test_a_good_data_set_has_no_problems(root, capsys):
    assert list(problems(root)) == []
    Info(root).run()
    assert "3 episodes, 18 rows, 15 rows a second" in capsys.readouterr().out
    Check(root).run()
    assert "no problems" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGES)
def test_what_stops_a_reader_is_a_problem(root, name, damage, message, capsys):
    damage(root / name)
    assert list(problems(root))
    with pytest.raises(SystemExit):
        Check(root).run()
    assert "problem" in capsys.readouterr().out


def feature_of(name, **changes):
    def rewrite(path):
        info = json.loads(path.read_text())
        info["features"].setdefault(name, {}).update(changes)
        path.write_text(json.dumps(info))

    return rewrite


def without(name):
    def rewrite(path):
        info = json.loads(path.read_text())
        del info[name]
        path.write_text(json.dumps(info))

    return rewrite


def dropped(name):
    def rewrite(path):
        table = pq.read_table(path)
        pq.write_table(table.drop_columns([name]), path)

    return rewrite


def cast(name, kind):
    def rewrite(path):
        table = pq.read_table(path)
        pq.write_table(table.set_column(table.column_names.index(name), name, table[name].cast(kind)), path)

    return rewrite


INFO_FILE, STATS = "meta/info.json", "meta/stats.json"
LAYOUT = [
    *[(INFO_FILE, without(name), rf"info\.json: expected {name} to be .*, got nothing") for name in INFO],
    (INFO_FILE, with_info(data_path="data/x.parquet"), "expected data_path to be a path with {chunk_index}"),
    (INFO_FILE, with_info(splits={"train": "0:9"}), r"expected split train within 0:3, got '0:9'"),
    (INFO_FILE, feature_of(STATE, dtype="decimal"), rf"info\.json, {STATE}: expected a dtype of .*got 'decimal'"),
    (INFO_FILE, feature_of(STATE, shape=[0]), rf"{STATE}: expected a shape of whole numbers above 0, got \[0\]"),
    (INFO_FILE, feature_of(STATE, names="xyz"), rf"{STATE}: expected names as a list or null, got 'xyz'"),
    (INFO_FILE, feature_of("index", dtype="int32"), r"info\.json, index: expected int64 of shape \[1\]"),
    (INFO_FILE, feature_of(WRIST, info={"video.fps": 30}), rf"{WRIST}: expected video.fps 15, got 30"),
    (INFO_FILE, feature_of(WRIST, info={"video.height": 8}), rf"{WRIST}: expected video.height 16, got 8"),
    (INFO_FILE, with_info(video_path=None), rf"{WRIST}: expected video_path, since this is a video"),
    (TASKS, dropped("task_index"), r"tasks\.parquet: expected columns task and task_index, got task"),
    (TASKS, with_column("task_index", lambda v: [4]), r"tasks\.parquet, task_index, row 0: expected 0, got 4"),
    (INFO_FILE, with_info(total_tasks=2), r"tasks\.parquet: expected 2 tasks, got 1"),
    (EPISODE, dropped("data/file_index"), r"file-001\.parquet, data/file_index: expected whole numbers, got no such"),
    (EPISODE, cast("length", pa.float64()), r"file-001\.parquet, length: expected whole numbers, got double"),
    (EPISODE, dropped(f"stats/{STATE}/std"), rf"stats/{STATE}/std: expected statistics, got no such column"),
    (STATS, lambda path: path.write_text("{}"), rf"stats\.json, {STATE}: expected min, max, mean, std, count"),
    (
        DATA,
        with_column("task_index", at(2, 7)),
        r"file-001\.parquet, task_index, row 2: expected a task below 1, got 7",
    ),
]


@pytest.mark.parametrize(("name", "damage", "message"), LAYOUT)
def test_each_field_of_the_layout_is_checked(root, name, damage, message):
    damage(root / name)
    told = list(problems(root))
    with pytest.raises(AssertionError, match=message):
        assert not told, "\n".join(told)


def test_all_problems_are_told_not_only_the_first(root):
    with_column(STATE, at(2, [0, float("nan"), 0]))(root / DATA)
    (root / "videos" / WRIST / "chunk-000/file-002.mp4").unlink()
    first, second = problems(root)
    assert f"file-001.parquet, {STATE}, row 2" in first and f"file-002.mp4, {WRIST}" in second
    assert len(list(problems(root, videos=False))) == 2


def test_lerobot_is_asked_where_it_is_there(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "lerobot.datasets.lerobot_dataset", None)
    assert by_lerobot(root) == "lerobot is not installed, so it was not asked"
    asked = []

    class LeRobotDataset:
        def __init__(self, name, root):
            asked.append(root)

        def __len__(self):
            return 18

        def __getitem__(self, row):
            if row == 17 and len(asked) > 1:
                raise KeyError("timestamp")

    for name in ("lerobot", "lerobot.datasets"):
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    module = SimpleNamespace(LeRobotDataset=LeRobotDataset)
    monkeypatch.setitem(sys.modules, "lerobot.datasets.lerobot_dataset", module)
    assert by_lerobot(root) == "" and asked == [root]
    assert by_lerobot(root) == f"{root}: lerobot cannot read it: KeyError: 'timestamp'"
