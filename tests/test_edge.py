"""The edge of a process: order, episodes, faults, camera frames."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.actor import UNSENT, Wrong
from operators.edge import Edge
from operators.frame import KEYS, Frame, frame_metadata
from operators.messages import ChunkDone, Episode, Fault, Request
from operators.schema import pack, unpack

TOPICS = {"request": Request, "chunk_done": ChunkDone, "episode": Episode, "front": Frame}


def edge(episode: int = 0) -> Edge:
    return Edge("tested", TOPICS, episode)


def request(seq: int, episode: int = 0) -> pa.Array:
    return pack(
        Request(
            seq, episode, 0, chunk_id=seq, tick=0, delay_cycles=8, delay_ticks=8, waits=False, plan=3, plan_before=2
        )
    )


def done(seq: int, episode: int = 0) -> pa.Array:
    return pack(ChunkDone(seq, episode, 0, 0, 0))


def episode(number: int, phase: str = "start", last: bool = False) -> pa.Array:
    return pack(Episode(0, number, 0, phase, 20000, "a task", "random", "", "", last))


def event(source: str, value: pa.Array, **metadata: Any) -> dict[str, Any]:
    return {"type": "INPUT", "id": source, "value": value, "metadata": metadata}


# --- Order --------------------------------------------------------------------------------------------------------


def test_duplicates_and_messages_out_of_order_are_dropped_and_named():
    tested = edge()
    passed = [tested.read("request", request(seq)) is not None for seq in (0, 1, 1, 2, 0, 2, 3)]
    assert passed == [True, True, False, True, False, False, True]
    assert tested.counts == {"request duplicate": 2, "request out of order": 1}
    assert tested.faults[1] == ("request out of order", "expected a message after number 2, got 0", 1)


def test_each_input_is_counted_for_itself():
    tested = edge()
    assert tested.read("request", request(5)) and tested.read("chunk_done", done(0)) and not tested.faults
    assert tested.read("request", request(8)) and tested.read("chunk_done", done(1))
    assert tested.missed == {"request": 2, "chunk_done": 0}


@settings(max_examples=40)
@given(st.lists(st.integers(0, 12), max_size=20))
def test_what_passes_goes_up_and_everything_is_accounted_for(numbers):
    tested = edge()
    passed = [seq for seq in numbers if tested.read("request", request(seq))]
    assert passed == sorted(set(passed)) and sum(tested.counts.values()) == len(numbers) - len(passed)
    if passed:
        assert passed[0] == numbers[0] and passed[-1] == max(numbers)
        assert tested.missed.get("request", 0) == passed[-1] - passed[0] + 1 - len(passed)


def test_a_restarted_sender_counts_from_0_again_and_what_it_sent_before_is_not_newer():
    tested = edge()
    first, again = (unpack(Request, request(seq))._replace(run_ns=run_ns) for seq, run_ns in ((7, 10), (0, 20)))
    assert tested.heard("request", first) and tested.heard("request", again) and not tested.faults
    assert tested.heard("request", first._replace(seq=8)) is None and tested.missed.get("request", 0) == 0
    said = "expected a message after number 0, got 8, of a process that was started again since"
    assert tested.faults == [("request out of order", said, 1)]


# --- Faults -------------------------------------------------------------------------------------------------------


def test_a_fault_is_reported_at_its_1st_2nd_4th_8th_occurrence():
    tested = edge()
    for _ in range(20):
        tested.fault("broken", "again")
    tested.fault("other", "once")
    assert [count for kind, _, count in tested.faults if kind == "broken"] == [1, 2, 4, 8, 16]
    assert tested.counts == {"broken": 20, "other": 1}
    assert tested.faults[-1] == ("other", "once", 1)


def test_faults_are_sent_once_with_the_node_and_their_count():
    tested = edge(episode=3)
    for _ in range(3):
        tested.fault("broken", "again")
    sent = [tested.stamped(fault, 77) for fault in tested.taken_faults()]
    assert tested.taken_faults() == []
    assert sent == [
        ("fault", Fault(0, 3, 77, "tested", "broken", "again", 1)),
        ("fault", Fault(1, 3, 77, "tested", "broken", "again", 2)),
    ]


BAD = {
    "request schema": pack(ChunkDone(0, 0, 0, 0, 0)),
    "request length": pa.concat_arrays([request(0), request(1)]),
    "request episode": request(0, episode=9),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_message_is_dropped_named_and_forgotten(kind):
    tested = edge()
    assert tested.read("request", BAD[kind]) is None
    assert [(fault[0], fault[2]) for fault in tested.faults] == [(kind, 1)]
    assert tested.faults[0][1].startswith("Request: expected ")
    assert tested.read("request", request(0))  # its number was not taken for seen


def test_what_an_actor_refuses_becomes_a_fault_and_bugs_get_through():
    def act(error: Exception | None):
        yield "sent"
        yield Wrong("blocked", "it does not follow")
        if error:
            raise error

    tested = edge()
    assert list(tested.outcome("chunk", lambda: act(None))) == ["sent"]
    assert list(tested.outcome("chunk", lambda: act(ValueError("expected another chunk")))) == ["sent"]
    assert tested.faults == [
        ("blocked", "it does not follow", 1),
        ("blocked", "it does not follow", 2),
        ("chunk refused", "expected another chunk", 1),
    ]
    with pytest.raises(KeyError):
        list(tested.outcome("chunk", lambda: act(KeyError("a bug"))))


def test_events_that_are_no_input_of_this_node_are_passed_over():
    tested = edge()
    assert tested.receive({"type": "STOP"}) is None
    assert tested.receive(event("somebody_elses", request(0))) is None
    assert tested.receive(event("request", request(0))) and not tested.faults


# --- Episodes -----------------------------------------------------------------------------------------------------


def test_only_messages_of_the_episode_under_way_pass():
    tested = edge(episode=-1)
    assert tested.read("request", request(0, episode=0)) is None
    assert tested.read("episode", episode(0)) and tested.episode == 0
    assert tested.read("request", request(5, episode=0))
    assert tested.read("episode", episode(1)) and tested.episode == 1
    assert tested.read("request", request(6, episode=0)) is None
    assert tested.read("request", request(0, episode=1))  # counted from anew
    assert tested.counts == {"request episode": 2}


def test_a_start_is_told_once_however_often_it_is_sent_and_keeps_the_order():
    tested = edge(episode=-1)
    assert tested.read("episode", episode(2)) and tested.read("request", request(4, episode=2))
    assert tested.read("episode", episode(2)) is None and not tested.faults
    assert tested.read("request", request(4, episode=2)) is None and tested.counts == {"request duplicate": 1}


def test_an_end_is_told_and_the_last_one_ends_the_run():
    tested = edge(episode=2)
    assert tested.read("episode", episode(2, "end")) and not tested.last
    assert tested.read("episode", episode(2, "end", last=True)) and tested.last
    assert tested.read("episode", episode(2)) is None and tested.last  # nothing takes that back


def test_what_is_sent_is_numbered_by_output_and_carries_the_episode():
    tested = edge(episode=6)
    sent = [tested.stamped(ChunkDone(*UNSENT, i, 0), 10 + i) for i in range(2)]
    assert sent == [("chunk_done", ChunkDone(0, 6, 10, 0, 0)), ("chunk_done", ChunkDone(1, 6, 11, 1, 0))]
    output, asked = tested.stamped(Request(-1, -1, 5, 0, 0, 8, 8, True, -1, -1), 10)
    assert (output, asked.seq, asked.t_ns) == ("request", 0, 5)  # a time that is told stays
    assert tested.number("chunk_done") == 2


def test_a_family_of_inputs_is_known_by_its_pattern():
    tested = Edge("tested", {"frame_*": Frame, "*_fault": Fault, "episode": Episode})
    assert [tested.kind(name) for name in ("frame_side", "camera_side_fault", "episode", "sideframe_")] == [
        *(Frame, Fault, Episode, None),
    ]


# --- Frames -------------------------------------------------------------------------------------------------------

PIXELS = pa.array(np.arange(4 * 3 * 3, dtype=np.uint8))


def metadata(seq: int = 0, **changes: Any) -> dict[str, Any]:
    stamp: Any = np.int64(99)  # as stamps come out of an array
    return {**frame_metadata(4, 3, seq, 0, stamp), **changes}


def test_a_frame_is_a_read_only_view_with_its_numbers():
    frame = edge().receive(event("front", PIXELS, **metadata()))
    assert frame is not None and frame.pixels.shape == (3, 4, 3)
    assert frame.pixels[1, 2].tolist() == [18, 19, 20]  # row by row, RGB
    assert np.shares_memory(frame.pixels, PIXELS.to_numpy()) and not frame.pixels.flags.writeable
    assert (frame.seq, frame.episode, frame.t_ns) == (0, 0, 99)
    assert all(type(metadata()[key]) is int for key in KEYS)  # numpy's numbers would arrive as text


def test_frames_are_held_to_order_like_everything_else():
    tested = edge()
    passed = [tested.read("front", PIXELS, metadata(seq)) is not None for seq in (3, 3, 2, 6)]
    assert passed == [True, False, False, True] and tested.missed == {"front": 2}


BAD_FRAMES = {
    "front schema": (pa.array([1.0, 2.0]), metadata()),
    "front metadata": (PIXELS, {}),
    "front size": (PIXELS[:-1], metadata()),
    "front episode": (PIXELS, metadata(episode=1)),
}


@pytest.mark.parametrize("kind", BAD_FRAMES)
def test_a_bad_frame_is_dropped_and_named(kind):
    tested = edge()
    assert tested.read("front", *BAD_FRAMES[kind]) is None
    assert [fault[0] for fault in tested.faults] == [kind]


@pytest.mark.parametrize(
    "change", [{"encoding": "bgr8"}, {"width": "4"}, {"t_ns": None}, {"t_ns": 1.5}, {"t_ns": True}], ids=str
)
def test_frames_with_odd_metadata_are_refused(change):
    tested = edge()
    assert tested.read("front", PIXELS, metadata(**change)) is None
    assert tested.faults[0][0] == "front metadata"


@pytest.mark.parametrize(("width", "height"), [(0, 3), (-4, -3), (3, 3)])
def test_frames_of_no_or_another_size_are_refused(width, height):
    tested = edge()
    assert tested.read("front", PIXELS, metadata(width=width, height=height)) is None
    assert tested.faults[0][0] == "front size"
