"""What the evaluator keeps of an episode: stamps of one clock only are set beside each other."""

import numpy as np
import pytest

from operators.actors.journal import Journal
from operators.measure.metrics import episode_metrics
from operators.measure.timing import observation_age_ms, picture_age_ms
from operators.messages import ActionChunk, Chunk, Command, Plan, Proprio, Request
from tests.chunks import START, line
from tests.replay import episode_messages, told

MS = 1_000_000
START_MESSAGE = told(episode_messages("async_rtr"), "episode")[0]


def played(clock: str) -> Journal:
    journal, zero = Journal(START_MESSAGE, {"name": "x"}, clock), np.zeros(6)
    rig = 7 * 10**15 if clock == "rig" else 0  # a recording of another boot
    rows = line(0, 48).action
    journal.receive(Proprio(0, 0, rig + 10 * MS, 0, 0, zero, zero, zero, zero, 0.0))
    journal.receive(Request(0, 0, 4 * MS, 0, 0, 8, 8, False, -1, -1))
    about = "action", 60.0, "", zero, 0, 20.0, rows, 0, [], np.zeros(0)
    journal.receive(Chunk(0, 0, 55 * MS, 0, 0, *about, rig + 10 * MS, 15 * MS, -1, True, 1.5))
    journal.receive(ActionChunk(0, 0, 60 * MS, 0, 0, 0, 2.0, rows, -1, True, 1.5))
    journal.receive(Command(0, 0, rig + 70 * MS, 0, 0, "playing", START, START, 0, 0))
    owner = np.zeros(48, np.int64)
    journal.receive(Plan(0, 0, rig + 70 * MS, 0, 1, "playing", rows[:1], rows[1:], owner, 0, 0, 0, 0, 0, 0, -1, 1.5))
    return journal


@pytest.mark.parametrize("clock", ["own", "rig"])
def test_the_age_of_an_observation_is_told_in_the_rigs_time(clock):
    log = played(clock).log()
    [chunk] = log.chunks
    assert observation_age_ms(chunk) == 60 and chunk.shift_ticks == 1.5 and chunk.inference_ms == 20
    assert episode_metrics(log)["observation_age_ms"] == 60


def test_what_processes_did_is_timed_where_the_clock_is_the_same():
    [live], [recorded] = played("own").log().chunks, played("rig").log().chunks
    assert picture_age_ms(live) == 5 and live.request_ns == 4 * MS and live.handed_ns == 60 * MS
    assert np.isnan(picture_age_ms(recorded)) and recorded.request_ns is None and recorded.handed_ns is None
