"""Traces come back bit by bit; the report holds every metric, stands alone and is small."""

import json
import re
import time
from dataclasses import fields, replace
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.measure.log import ChunkRecord, Cycles, EpisodeLog, Measurements, PlanTime
from operators.measure.metrics import METRICS, episode_metrics
from operators.motion.rotation import action_from_pose
from operators.motion.rows import Rows, rows
from recordings.trace import DamagedTrace, load, names, save
from reports.report import write_report

HORIZON, EVERY, DELAY = 48, 24, 8
PERIOD_NS = 16_666_667


def stroke(ticks):
    """A lying eight, (ticks, 2) m."""
    u = 2 * np.pi * np.arange(ticks) / ticks
    return np.stack([0.09 * np.sin(u), 0.04 * np.sin(2 * u)], -1)


def chunk_of(random, chunk_id, path):
    """What an imperfect policy hands over: the stroke, a little off."""
    t0 = chunk_id * EVERY
    pose = np.zeros((HORIZON, 6))
    pose[:, :2] = path[np.minimum(np.arange(t0, t0 + HORIZON), len(path) - 1)] + random.normal(0, 7e-4, 2)
    pose[:, 2] = 0.12 + random.normal(0, 1e-4)
    begin = 1_000_000_000 + t0 * PERIOD_NS
    inference = int(random.normal(95e6, 8e6))
    stations = {"inference_start_ns": begin + 9_000_000, "inference_end_ns": begin + 9_000_000 + inference}
    handed = begin + inference + 13_000_000
    arrival = t0 if chunk_id == 0 else t0 + DELAY + int(random.integers(0, 3))
    return ChunkRecord(
        chunk_id,
        t0,
        arrival_tick=arrival,
        raw=rows(t0, action_from_pose(pose)),
        handed=rows(t0, action_from_pose(pose)).since(t0 + (DELAY - 2) * (chunk_id > 0)),
        request_ns=begin,
        **stations,
        refine_ms=float(random.normal(2.3, 0.2)),
        handed_ns=handed,
        takeover_ns=handed + int(random.integers(4, 17)) * 1_000_000,
        expected_tick=t0 + DELAY + 1,
        exposed_ns=begin - 4_000_000,
        shift_ticks=float(random.normal(0, 1)),
    )


def an_episode(seed=20000, ticks=480):
    """One written stroke with a stop in it, as an evaluator would leave it."""
    random = np.random.default_rng(seed)
    path = stroke(ticks)
    chunks = [chunk_of(random, i, path) for i in range(ticks // EVERY)]
    owner = np.searchsorted([chunk.arrival_tick or 0 for chunk in chunks], np.arange(ticks), side="right") - 1
    plan = np.stack([chunks[c].raw.at(min(t, chunks[c].raw.end - 1)) for t, c in enumerate(owner)])
    first, second = ticks * 5 // 12, ticks * 11 // 16
    held = np.sort(np.concatenate([np.arange(ticks), [first] * 14, [second] * 20]))
    again = np.diff(held, prepend=-1) == 0
    state = np.where(again, np.where(held <= first, "holding", "waiting"), "playing")
    n = len(held)
    t_ns = 1_000_000_000 + np.arange(n) * PERIOD_NS + random.normal(0, 4e4, n).astype(np.int64)
    cycles = Cycles(np.arange(n), held, t_ns, state, plan[held], plan[held], owner[held], (held % 97 == 5) * 2)
    wrench = np.zeros((n, 6))
    wrench[:, 2] = 2 + 0.35 * np.sin(np.arange(n) / 17) + random.normal(0, 0.12, n)
    tcp = np.zeros((n, 6))
    tcp[:, :3] = plan[held, :3]
    return EpisodeLog(
        meta={
            "name": f"episode_{seed}",
            "episode": seed,
            "task": "a task",
            "mode": "async_rtr",
            "policy": "dp_latent60",
        }
        | {"refine": "rtr", "margin": 8, "join": "newest", "seed": seed, "done_cycle": n - 1},
        cycles=cycles,
        chunks=[*chunks, ChunkRecord(99, 480, request_ns=9_000_000_000)],
        proprio=Measurements(np.arange(n), t_ns + 2_000_000, held + 1, np.arange(n), tcp, tcp, tcp, wrench, tcp[:, 0]),
        score={"success": 1.0, "inked_percent": 97.3, "mean_force_n": 2.02},
        goal=path,
        marks=plan[held, :2].astype(np.float64) + random.normal(0, 2e-4, (n, 2)),
        begins=np.array([0, 240]),
        reference_rotation=np.zeros(3),
        faults=[(int(t_ns[first + 1]), "policy", "stale frame", "expected a frame younger than 200 ms, got <412 ms>")],
        plan=PlanTime(0, plan, owner),
    )


def assert_same(left, right):
    """Equal in type, dtype and every bit."""
    assert type(left) is type(right)
    if isinstance(left, np.ndarray):
        assert left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    elif isinstance(left, EpisodeLog | Cycles | Measurements | ChunkRecord):
        for field in fields(left):
            assert_same(getattr(left, field.name), getattr(right, field.name))
    elif isinstance(left, list | Rows | PlanTime):
        assert len(left) == len(right)
        for a, b in zip(tuple(left), tuple(right), strict=True):
            assert_same(a, b)
    else:
        assert left == right


@pytest.mark.parametrize("log", [an_episode(ticks=96), EpisodeLog({"name": "empty"})])
def test_a_trace_comes_back_bit_by_bit(tmp_path, log):
    save(tmp_path, log)
    back = load(tmp_path, log.meta["name"])
    assert_same(back, log)
    np.testing.assert_equal(episode_metrics(back), episode_metrics(log))
    assert names(tmp_path) == [log.meta["name"]]


def test_a_trace_replaces_the_one_before(tmp_path):
    log = an_episode(ticks=96)
    save(tmp_path, log)
    save(tmp_path, replace(log, plan=None))
    assert load(tmp_path, log.meta["name"]).plan is None


@pytest.mark.parametrize("name", ["", "../elsewhere", "a/b"])
def test_a_trace_needs_a_plain_name(tmp_path, name):
    with pytest.raises(ValueError, match="plain file name"):
        save(tmp_path, EpisodeLog({"name": name}))


def test_cycles_are_stored_as_documented(tmp_path):
    save(tmp_path, an_episode(ticks=96))
    table = pq.read_table(tmp_path / "episode_20000_cycles.parquet")
    assert table.column_names == ["cycle", "tick", "t_ns", "state", "planned", "action", "chunk_id", "clamped"]
    assert table.schema.field("planned").type == pa.list_(pa.float32(), 10)


@pytest.mark.parametrize("part", ["cycles", "chunks", "proprio", "task", "plan"])
def test_a_damaged_trace_is_named_in_one_sentence(tmp_path, part):
    save(tmp_path, an_episode(ticks=96))
    path = tmp_path / f"episode_20000_{part}.parquet"
    whole = path.read_bytes()
    wrong = {
        "a Parquet file": lambda: path.write_bytes(whole[: len(whole) // 2]),
        "columns": lambda: pq.write_table(pa.table({"tick": [1, 2]}), path),
    }
    if part != "plan":  # a trace may have none
        wrong["a trace file"] = path.unlink
    for expected, damage in wrong.items():
        damage()
        with pytest.raises(DamagedTrace, match=f"{path.name}: expected {expected}.*, got ") as caught:
            load(tmp_path, "episode_20000")
        assert "\n" not in str(caught.value)
        path.write_bytes(whole)


def test_values_that_cannot_be_are_refused(tmp_path):
    log = an_episode(ticks=96)
    save(tmp_path, log)
    path = tmp_path / "episode_20000_cycles.parquet"
    table = pq.read_table(path)
    pq.write_table(table.set_column(3, table.schema.field(3), pa.array(["asleep"] * len(table))), path)
    with pytest.raises(DamagedTrace, match="expected states"):
        load(tmp_path, "episode_20000")
    pq.write_table(table.set_column(3, table.schema.field(3), pa.array([None] * len(table), pa.string())), path)
    with pytest.raises(DamagedTrace, match="nulls"):
        load(tmp_path, "episode_20000")


class Page(HTMLParser):
    """Collects text and everything that would be fetched."""

    def __init__(self, text):
        super().__init__()
        self.words, self.links, self.charts = [], [], 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.charts += tag == "svg"
        self.links += [value for name, value in attrs if name in ("src", "href", "data") and str(value)[:1] != "#"]

    def handle_data(self, data):
        self.words.append(data)


def test_the_report_holds_every_metric_and_stands_alone(tmp_path):
    logs = [an_episode(20000, ticks=240), an_episode(20001, ticks=96)]
    begun = time.process_time()
    write_report(logs, tmp_path, {"hardware": "two cores"})
    assert time.process_time() - begun < 8
    found = json.loads((tmp_path / "report.json").read_text())
    assert set(found["metrics"]) == set(METRICS) == set(found["units"])
    assert {"velocity_jump", "velocity_jump_at_switch", "velocity_jump_floor"} < set(found["metrics"])
    assert found["metrics"]["success"]["n"] == 2 and found["meta"]["seed"] == [20000, 20001]
    assert found["episodes"][0]["metrics"]["starved_percent"] == pytest.approx(100 * 14 / 274)
    assert found["extra"] == {"hardware": "two cores"}
    text = (tmp_path / "report.html").read_text()
    page = Page(text)
    assert page.links == [] and "url(http" not in text and page.charts == 2 * 3 + 3
    assert len(text) < 1_500_000
    words = " ".join(page.words)
    assert "got <412 ms>" in words and "two cores" in words and all(name in words for name in METRICS)
    assert not re.search(r"\bnan\b", words)


def test_an_episode_without_anything_is_reported_too(tmp_path):
    write_report([EpisodeLog({"name": "nothing"})], tmp_path)
    found = json.loads((tmp_path / "report.json").read_text())
    assert found["metrics"]["velocity_jump"] == {"mean": None, "ci95": [None, None], "n": 0}
    assert "nothing" in (tmp_path / "report.html").read_text()
    with pytest.raises(ValueError, match="at least one episode"):
        write_report([], tmp_path)


def test_many_episodes_keep_the_page_small(tmp_path, monkeypatch):
    monkeypatch.setattr("reports.page.DETAIL_BYTES", 10_000)
    write_report([an_episode(20000 + i, ticks=48) for i in range(2)], tmp_path)
    assert "not drawn here: 1." in (tmp_path / "report.html").read_text()
