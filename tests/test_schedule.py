"""When chunks are asked for: the rules one by one, then a loop of scheduler and plan with chunks that take long."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.actor import UNSENT
from operators.actors.scheduling import DECAY, HISTORY, SLACK_ROWS, STARTING, Schedule, Scheduling
from operators.messages import ChunkDone, Episode, Plan, Request
from operators.motion.feed import STOPPING_ROWS
from operators.motion.join import newest
from operators.motion.plan import hold
from operators.motion.rotation import action_from_pose
from operators.motion.rows import rows
from operators.settings import Settings
from tests.acting import first

ENOUGH = 100  # planned rows
NONE = np.zeros((0, 10), np.float32)


KNOWN = Schedule(next_chunk=STARTING, asked_tick=-12)  # the first chunks are behind it


def ask(
    chunk_id: int, tick: int, delay_cycles: int, delay_ticks: int, waits: bool, plan: int = -1, plan_before: int = -1
) -> Request:
    return Request(*UNSENT, chunk_id, tick, delay_cycles, delay_ticks, waits, plan, plan_before)


def told(scheduling: Scheduling, message: object) -> Request | None:
    """What the scheduler asks for when it hears that."""
    return first(scheduling, message)


def asked(schedule: Schedule, cycle: int, tick: int, planned: int = 0) -> tuple[Schedule, Request]:
    schedule, request = schedule.moving(cycle, tick, planned)
    assert request is not None
    return schedule, request


# --- Async --------------------------------------------------------------------------------------------------------


def test_async_asks_for_the_first_chunks_at_once_then_when_the_execution_horizon_has_run():
    schedule = Schedule(execution_horizon=24)
    for chunk_id in range(STARTING):
        schedule, first = asked(schedule, cycle=10 * chunk_id, tick=chunk_id, planned=ENOUGH)
        assert (first.chunk_id, first.tick, first.waits) == (chunk_id, chunk_id, False)
        schedule = schedule.answered(chunk_id, cycle=10 * chunk_id + 8, takeover=chunk_id + 8)
    assert schedule.moving(31, 25, ENOUGH)[1] is None
    assert asked(schedule, 32, 26, ENOUGH)[1] == ask(STARTING, 26, 8, 8, False)
    assert schedule.moving(500, 25, ENOUGH)[1] is None  # ticks, not cycles: a robot that is held needs nothing


def test_a_standing_robot_is_given_its_chunk_from_the_tick_it_stands_at():
    assert asked(Schedule(), cycle=0, tick=0)[1] == ask(0, 0, delay_cycles=8, delay_ticks=0, waits=False)


def test_async_asks_earlier_where_the_rows_would_not_last():
    schedule = asked(KNOWN, 0, 0)[0].answered(STARTING, 8, 8)
    needed = 8 + STOPPING_ROWS + SLACK_ROWS
    assert schedule.moving(9, 1, int(np.ceil(needed)))[1] is None
    assert schedule.moving(9, 1, int(np.ceil(needed)) - 1)[1] is not None


def test_async_has_one_request_out_at_a_time():
    schedule, _ = asked(Schedule(timeout=180), 10, 0)
    for cycle in (11, 100, 189):
        assert schedule.moving(cycle, 90, 0) == (schedule, None)


# --- Sync ---------------------------------------------------------------------------------------------------------


def test_sync_asks_when_the_robot_has_stood_for_settle_cycles():
    schedule = Schedule(settle=12)
    assert schedule.standing(40, 0, stood=11) == (schedule, None)
    schedule, first = schedule.standing(41, 0, stood=12)
    assert first == ask(0, 0, 8, 0, waits=True)
    assert schedule.standing(42, 0, stood=13) == (schedule, None)  # it is out
    schedule = schedule.answered(0, 50, 0)
    assert schedule.standing(51, 0, stood=0)[1] is None  # moving
    assert schedule.standing(120, 48, stood=12)[1] == ask(1, 48, 9, 0, waits=True)


# --- Lost and late answers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sync", [False, True])
def test_an_answer_that_does_not_come_is_asked_for_again_under_a_new_number(sync):
    def look(schedule: Schedule, cycle: int) -> tuple[Schedule, Request | None]:
        return schedule.standing(cycle, 7, 99) if sync else schedule.moving(cycle, 7, ENOUGH)

    schedule = replace(Schedule(timeout=180, execution_horizon=1), asked_tick=-50)
    schedule, first = look(schedule, 100)
    assert first is not None and look(schedule, 279)[1] is None
    schedule, second = look(schedule, 280)
    assert second is not None and (first.chunk_id, second.chunk_id) == (0, 1)
    assert look(schedule, 281)[1] is None and look(schedule, 460)[1] is not None


def test_an_answer_to_an_older_request_changes_nothing():
    schedule, _ = asked(Schedule(timeout=180), 0, 0)
    schedule, _ = asked(schedule, 180, 0)  # the first one counts as lost
    assert schedule.answered(0, 190, 9) is schedule
    answered = schedule.answered(1, 200, 12)
    assert answered.asked_cycle is None and (answered.cycles[-1], answered.ticks[-1]) == (20, 12)
    assert answered.answered(1, 201, 13) is answered  # nor does a second answer to the same


# --- Expected delay -----------------------------------------------------------------------------------------------


def test_the_first_measured_delay_replaces_the_guess():
    schedule, _ = asked(Schedule(), 5, 0)
    assert (schedule.delay_cycles, schedule.delay_ticks) == (8, 8)
    stood, moved = schedule.answered(0, 45, 0), schedule.answered(0, 45, 25)
    assert (stood.delay_cycles, stood.delay_ticks) == (40, 21)  # until one comes while the robot moves
    again = asked(stood, 50, 5, ENOUGH)[0].answered(1, 60, 14)
    assert (again.cycles, again.delay_cycles, again.delay_ticks) == ((10,), 10, 9)
    assert (moved.delay_cycles, moved.delay_ticks) == (40, 25)


def test_before_ticks_were_measured_they_follow_from_the_feed_of_so_slow_a_policy():
    assert [replace(Schedule(), cycles=(cycles,)).delay_ticks for cycles in (8, 20, 40, 80)] == [8, 20, 21, 22]


def test_the_expected_delay_is_a_decaying_high_quantile():
    def expected(*delays: int) -> int:
        schedule = replace(Schedule(), cycles=delays, ticks=tuple(delay // 2 for delay in delays))
        assert schedule.delay_ticks == schedule.delay_cycles // 2
        return schedule.delay_cycles

    usual = (10,) * 20
    assert expected(*usual, 30) == 30  # 1 of a weight of 8.9 in all: over a tenth
    assert expected(*usual, 30, 10) == 10  # 0.9 of 9.02: under a tenth, and forgotten
    assert expected(*usual, 30, 30, 10) == 30 and expected(*usual, 5) == 10
    # From slow to fast: the slow ones have 10.1 % of the weight after 19 fast ones, 9.0 % after 20.
    assert expected(*[12] * 12, *[8] * 19) == 12 and expected(*[12] * 12, *[8] * 20) == 8


def test_only_the_newest_delays_are_remembered():
    schedule = Schedule()
    for number in range(40):
        schedule = asked(schedule, 1000 * number, 1000 * number)[0].answered(number, 1001 * number, 1000 * number + 1)
    assert schedule.cycles == tuple(range(40 - HISTORY, 40))


@settings(max_examples=30)
@given(st.lists(st.integers(0, 200), min_size=1, max_size=HISTORY))
def test_the_expected_delay_is_one_that_was_measured_with_a_tenth_of_the_weight_above(delays):
    schedule = Schedule()
    for number, delay in enumerate(delays):
        schedule, _ = asked(schedule, 1000 * number, 1000 * number)
        schedule = schedule.answered(number, 1000 * number + delay, 1000 * number + 1)
    assert schedule.cycles == tuple(delays) and schedule.delay_cycles in delays
    weights = DECAY ** np.arange(len(schedule.cycles))[::-1]
    below = np.array(schedule.cycles) <= schedule.delay_cycles
    assert weights[below].sum() >= 0.9 * weights.sum() - 1e-9


# --- Messages -----------------------------------------------------------------------------------------------------


def plan_message(cycle: int, tick: int, planned: int, answered: int = -1) -> Plan:
    rows, owner = np.zeros((planned, 10), np.float32), np.full(planned, answered)
    return Plan(cycle, 0, 0, cycle, tick, "playing", NONE, rows, owner, -1, 0, answered, 0, 0, -1, -1)


def test_async_listens_to_plans_and_sync_to_chunk_done():
    done = ChunkDone(0, 0, 0, -1, 12)
    eager, patient = Scheduling(Settings(), sync=False), Scheduling(Settings(), sync=True)
    assert told(eager, done) is None and told(eager, plan_message(3, 0, 0)) == ask(0, 0, 8, 0, False, plan=3)
    assert told(patient, plan_message(3, 5, 0)) is None and told(patient, done) == ask(0, 5, 8, 0, True, plan=3)


def test_settings_reach_the_schedule():
    scheduling = Scheduling(Settings(execution_horizon=10, settle=2, request_timeout_ms=500), sync=False)
    assert told(scheduling, plan_message(0, 0, 0)) and told(scheduling, plan_message(29, 0, 0)) is None
    assert told(scheduling, plan_message(30, 0, 0)) == ask(
        1, 0, 8, 0, False, plan=30, plan_before=29
    )  # 500 ms are 30 cycles
    assert told(scheduling, plan_message(31, 9, ENOUGH, answered=1)) and scheduling.delay_cycles == 0
    assert told(scheduling, plan_message(32, 18, ENOUGH, answered=2)) is None
    assert told(scheduling, plan_message(33, 19, ENOUGH, answered=2)) is not None
    patient = Scheduling(Settings(settle=2), sync=True)
    told(patient, plan_message(0, 0, 0))
    assert told(patient, ChunkDone(0, 0, 0, -1, 1)) is None and told(patient, ChunkDone(0, 0, 0, -1, 2))


def test_an_episode_makes_a_fresh_start():
    scheduling = Scheduling(Settings(), sync=False)
    told(scheduling, plan_message(3, 0, 0))
    told(scheduling, plan_message(54, 0, 60, answered=0))
    assert scheduling.delay_cycles == 50
    told(scheduling, Episode(0, 1, 0, "start", 1, "a task", "random", "", "", False))
    assert scheduling.delay_cycles == 8 and told(scheduling, plan_message(1, 0, 0)) == ask(0, 0, 8, 0, False, plan=1)


def test_it_asks_once_however_messages_overtake_each_other():
    scheduling = Scheduling(Settings(), sync=False)
    told(scheduling, plan_message(0, 0, 0))
    assert told(scheduling, plan_message(9, 0, 0)) is None  # the chunk is at the executor, its plan is not here
    assert told(scheduling, plan_message(10, 1, 47, answered=0)) == ask(1, 1, 9, 1, False, plan=10, plan_before=9)
    assert told(scheduling, plan_message(11, 2, 46, answered=0)) is None
    patient = Scheduling(Settings(), sync=True)
    told(patient, plan_message(0, 0, 0))
    assert told(patient, ChunkDone(0, 0, 0, -1, 12)) and told(patient, plan_message(9, 0, 48, answered=0)) is None
    assert told(patient, ChunkDone(8, 0, 0, -1, 20)) is None  # from before that chunk came


def test_a_chunk_the_executor_refuses_is_asked_for_again_at_once():
    scheduling = Scheduling(Settings(), sync=False)
    assert told(scheduling, plan_message(0, 0, 0)) and told(scheduling, plan_message(8, 0, 0)) is None
    again = told(scheduling, plan_message(9, 0, 0, answered=0))  # it came in, but there is nothing to play
    assert again is not None and again.chunk_id == 1


def test_a_scheduler_that_stands_for_another_goes_on_with_its_numbers():
    scheduling = Scheduling(Settings(), sync=False)
    plan = plan_message(90, 40, 20, answered=6)._replace(asked=7)
    request = told(scheduling, plan)
    assert request is not None and request.chunk_id == 8
    again = told(Scheduling(Settings(), sync=False), plan_message(90, 40, 3, answered=9)._replace(asked=7))
    assert again is not None and again.chunk_id == 10  # whose requests the executor did not hear


def test_an_executor_that_counts_anew_has_lost_what_was_asked_for():
    scheduling = Scheduling(Settings(), sync=False)
    assert told(scheduling, plan_message(500, 40, 3)) is not None
    assert told(scheduling, plan_message(501, 40, 3)) is None
    assert told(scheduling, plan_message(0, 0, 0)) is not None


# --- Scheduler and plan together ----------------------------------------------------------------------------------

START = action_from_pose(np.array([0.4, 0.0, 0.2, 0, 3.0, 0]))


def run(delay: Callable[[int], int], cycles: int, slowest: float = 0.4) -> tuple[list[str], list[int], list[int]]:
    """States, ticks and the cycles of requests; chunks are 48 rows of one line and come `delay(chunk_id)` later."""
    scheduling, plan, coming = Scheduling(Settings(), sync=False), hold(START), {}
    states, ticks, requests = [], [], []
    for cycle in range(cycles):
        if cycle in coming:
            chunk_id, t0 = coming.pop(cycle)
            action = np.repeat(START[None], 48, 0)
            action[:, 1] = 1e-3 * np.arange(t0, t0 + 48)
            plan = plan.receive(rows(t0, action), chunk_id, newest)
        plan, due = plan.step(slowest)
        states.append(due.state)
        ticks.append(due.tick)
        # The path is the line, at whatever speed: y = 1 mm a tick.
        assert due.tick < 0 or due.planned[1] == pytest.approx(1e-3 * plan.position, abs=1e-6)
        wish = told(scheduling, plan_message(cycle, plan.next_tick, len(plan.planned), plan.answered))
        if wish:
            plan = plan.request(wish.chunk_id, wish.delay_cycles, wish.waits)
            requests.append(cycle)
            coming[cycle + 1 + delay(wish.chunk_id)] = wish.chunk_id, plan.next_tick
    return states, ticks, requests


def after_start(states: list[str]) -> set[str]:
    return set(states[states.index("playing") :])


@pytest.mark.parametrize("delay", [0, 6, 8, 16, 24, 30, 36])
def test_chunks_that_take_up_to_600_ms_never_starve_the_robot(delay):
    states, ticks, requests = run(lambda _: delay, cycles=1200)
    assert after_start(states) == {"playing"}
    assert len(requests) >= 1200 // max(40, 2 * (delay + 1)) and np.diff(ticks).max() == 1
    if delay <= 16:  # fast enough for full speed: asked for once an execution horizon, or as soon as answered
        assert ticks[-1] - ticks[-601] == 600
        between = max(Settings().execution_horizon, delay + 1)
        assert all(later - earlier == between for earlier, later in pairwise(requests[3:]))


@pytest.mark.parametrize("delay", [90, 120])
def test_chunks_that_take_too_long_starve_it_and_it_goes_on(delay):
    states, ticks, requests = run(lambda _: delay, cycles=2000)
    assert after_start(states) == {"playing", "braking", "holding"}
    assert len(requests) >= 2000 // (delay + 60)
    for begin, last in pairwise(range(0, 2001, 250)):
        assert ticks[last - 1] > ticks[begin] + 20  # never stuck
    braking = [i for i, state in enumerate(states) if state == "braking"]
    assert not any(states[i + 1] == "holding" and states[i - 1] == "playing" for i in braking)  # never abruptly


def test_without_slowing_down_36_cycles_are_too_long():
    states, _, _ = run(lambda _: 36, cycles=1200, slowest=1.0)
    assert "braking" in after_start(states)


def test_a_lost_chunk_is_asked_for_again_and_the_robot_goes_on():
    states, ticks, requests = run(lambda chunk_id: 10_000 if chunk_id == 4 else 8, cycles=1000)
    lost = requests[4]
    assert requests[5] - lost == 300 and set(states[lost + 60 : lost + 300]) == {"holding"}
    assert set(states[lost + 340 :]) == {"playing"} and ticks[-1] > 500


def test_a_spike_slows_the_robot_only_for_a_while():
    states, ticks, _ = run(lambda chunk_id: 60 if chunk_id == 6 else 6, cycles=2000)
    assert "holding" in after_start(states)
    assert ticks[-1] - ticks[-301] == 300
