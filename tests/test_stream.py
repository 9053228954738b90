"""Identical chunks through every join and refinement."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.registry import make_codec
from operators.codec import DctCodec
from operators.episode_log import ChunkRecord, EpisodeLog
from operators.join import JOINS, newest
from operators.metrics import plan_time, seam_jumps_mm
from operators.refine import METHODS
from operators.rows import Rows
from operators.settings import Settings
from operators.stream import Arrival, delayed, play, stream_of
from studies.lockstep import Lockstep
from studies.streams import Setting, compare_streams, measured, recorded
from studies.streams import settings as stream_settings
from tests.replay import EXPERT
from tests.test_join import POSE, curve

DCT = DctCodec()


@pytest.fixture(scope="module")
def stream():
    return recorded(1.0, 10_001)


def test_the_naive_stream_is_what_the_episode_commanded():
    log = Lockstep(Settings(**EXPERT), "async_naive").run(0, 10_001, lambda chunk: 8)
    played, commanded = play(stream_of(log), newest, None, DCT, 0), plan_time(log)
    n = len(commanded.action)
    at_rest = 12  # the robot sets out slowly: there commands lie between rows
    assert np.allclose(played.action[at_rest:n, :3], commanded.action[at_rest:, :3], atol=1e-6)
    assert np.array_equal(played.chunk_id[at_rest:n], commanded.chunk_id[at_rest:])


def test_a_refined_stream_hands_over_what_the_decoder_would():
    """Up to the first switch: after it, in closed loop, the robot sees something else."""
    log = Lockstep(Settings(**EXPERT), "async_rtr").run(0, 10_001, lambda chunk: 8)
    chunk = log.chunks[1]
    assert chunk.handed is not None and chunk.arrival_tick is not None
    found = play(stream_of(log)[:2], newest, "rtr", make_codec("dct"), Settings().margin)
    rows = Rows(found.tick, found.action).since(chunk.arrival_tick)
    assert np.allclose(rows.action, chunk.handed.since(chunk.arrival_tick).action, atol=1e-6)


@st.composite
def streams(draw: st.DrawFn) -> list[Arrival]:
    arrivals, t0 = [Arrival(0, curve(0, 48, draw(st.integers(0, 99))), POSE)], 0
    for number in range(draw(st.integers(1, 4))):
        t0 += draw(st.integers(1, 30))
        chunk = curve(t0, 48, 100 * number + draw(st.integers(0, 99)))
        arrivals.append(Arrival(t0 + draw(st.integers(0, 30)), chunk, POSE))
    return sorted(arrivals, key=lambda arrival: arrival.tick)


@settings(max_examples=25)
@given(arrivals=streams(), join=st.sampled_from(sorted(JOINS)), method=st.sampled_from([None, *METHODS]))
def test_no_method_changes_a_row_before_the_takeover_and_none_is_missing(arrivals, join, method):
    whole = play(arrivals, JOINS[join], method, DCT, 3)
    assert np.isfinite(whole.action).all() and len(whole.action) == len(whole.chunk_id)
    for count in range(1, len(arrivals)):
        before = play(arrivals[:count], JOINS[join], method, DCT, 3)
        takeover = min(arrivals[count].tick, before.tick + len(before.action)) - before.tick
        assert np.array_equal(before.action[:takeover], whole.action[:takeover])


@pytest.mark.parametrize("join", JOINS)
@pytest.mark.parametrize("method", [None, *METHODS])
def test_where_all_chunks_agree_every_method_plays_them(join, method):
    path = curve(0, 120)
    arrivals = [Arrival(t0 + d, path.between(t0, t0 + 48), POSE) for t0, d in ((0, 0), (20, 8), (44, 12), (70, 3))]
    found = play(arrivals, JOINS[join], method, DCT, 3)
    tolerance = 1e-3 if method else 1e-6  # the codec knows slow motion only
    assert np.abs(found.action[:, :3] - path.action[: len(found.action), :3]).max() < tolerance


def test_chunks_that_are_late_or_would_leave_a_gap_are_passed_over():
    late = Arrival(40, curve(-10, 48, 1), POSE)
    gap = Arrival(60, curve(60, 48, 2), POSE)
    waited_for = Arrival(100, curve(20, 48, 3), POSE)  # the plan had stood at its end, tick 47, until then
    found = play([Arrival(0, curve(0, 48), POSE), late, gap, waited_for], newest, None, DCT, 0)
    assert list(found.chunk_id) == [0] * 48 + [3] * 20


def test_a_chunk_without_arrival_is_no_part_of_a_stream():
    log = Lockstep(Settings(**EXPERT, time_limit_s=2), "async_naive").run(0, 10_001, lambda chunk: 8)
    lost = ChunkRecord(99, 5, raw=curve(5, 48))
    assert len(stream_of(EpisodeLog(**{**vars(log), "chunks": [*log.chunks, lost]}))) == len(log.chunks)


@pytest.mark.parametrize("delay", [8, 16])
def test_every_method_softens_the_same_seams(stream, delay):
    arrivals, path = stream
    shifted = delayed(arrivals, delay)
    naive = measured(play(shifted, newest, None, DCT, 0), path)
    assert naive["velocity_jump"] > 1
    for join, method in (("fade", None), ("blend", None), ("newest", "rtr"), ("fade", "rtr")):
        found = measured(play(shifted, JOINS[join], method, DCT, 3), path)
        assert found["velocity_jump"] < 0.5 * naive["velocity_jump"], (join, method)
        assert found["deviation_mm"] < 1.4 * naive["deviation_mm"], (join, method)


def test_a_larger_margin_softens_seams_more(stream):
    arrivals = delayed(stream[0], 8)
    jumps = [np.nanmean(seam_jumps_mm(play(arrivals, newest, "rtr", DCT, margin))) for margin in (0, 3, 8)]
    assert jumps[0] > jumps[1] > jumps[2]


def test_the_study_writes_a_line_for_each_setting_delay_and_metric(tmp_path, monkeypatch):
    few = [way for way in stream_settings() if way.codec in ("none", "dct") and way.join in ("newest", "fade")]
    monkeypatch.setattr("studies.streams.settings", lambda: iter(few))
    monkeypatch.setattr("studies.streams.DELAYS", (8,))
    with compare_streams(1.0, 10_001, 2, tmp_path).open() as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 4 * len(few)
    assert {Setting(line["join"], line["refine"], line["codec"], int(line["margin"])) for line in lines} == set(few)
    assert all(line["n"] == "2" and line["revision"] and line["first_seed"] == "10001" for line in lines)
    assert len(list(stream_settings())) == 4 * (1 + 3 * 9)
