"""The plan: laws of joining chunks by tick, refusals, braking, and what is kept."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import ceil, floor
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.chunks import codec
from operators.chunks.codec import DctCodec
from operators.chunks.refine import refine
from operators.motion.join import JOINS, Join, fade, newest
from operators.motion.plan import (
    HISTORY,
    Due,
    PlanState,
    RefusedChunk,
    between,
    hold,
)
from operators.motion.rotation import orthonormal_6d
from operators.motion.rows import Rows, concat, nothing, rows
from tests.chunks import START, curve, line


def run(plan: PlanState, cycles: int) -> tuple[PlanState, list[Due]]:
    commanded = []
    for _ in range(cycles):
        plan, due = plan.step()
        commanded.append(due)
    return plan, commanded


def equal(left: Rows, right: Rows) -> bool:
    return left.tick == right.tick and np.array_equal(left.action, right.action)


# --- Laws over whole episodes -------------------------------------------------------------------------------------


class Arrival(NamedTuple):
    """A chunk on its way: where it is observed, handed over and joined, all in ticks."""

    t0: int
    tick: int  # next_tick when it joins
    chunk: Rows
    held: int  # cycles the robot stands where it can, before and after: they must change nothing
    slowest: float  # and how far it is slowed on the way
    due_in: int


@st.composite
def episodes(draw: st.DrawFn) -> list[Arrival]:
    """Chunks that join anywhere from the middle of the old one to its very end, where the robot brakes or stands."""
    arrivals: list[Arrival] = []
    first, end = 0, 0
    for number in range(draw(st.integers(2, 6))):
        tick = end - draw(st.one_of(st.integers(0, 6), st.integers(0, max(0, end - first - 1)))) if number else 0
        tick = max(first, tick)
        age = min(draw(st.integers(0, 20)), tick)
        chunk = curve(tick - age, draw(st.integers(age + 2, 48)), draw(st.integers(0, 1000)))
        speed = draw(st.sampled_from([0.2, 0.4, 0.75, 1.0])), draw(st.integers(0, 80))
        arrivals.append(Arrival(chunk.tick, tick, chunk, draw(st.integers(0, 40)), *speed))
        first, end = tick + 1, chunk.end
    return arrivals


class Path(NamedTuple):
    """What an episode came to, by tick."""

    rows: Rows
    owner: list[int]
    joins: list[tuple[Rows, int, Rows, Rows]]  # old, takeover tick, chunk, result
    splices: list[Rows]
    cycles: int


DCT = DctCodec()


def play(arrivals: list[Arrival], join: Join, held: bool, start: int = 0, refining: bool = False) -> Path:
    """Run an episode and check every cycle; with `held`, cycles are put in wherever that is possible."""
    joins, splices, passed = [], [], {}
    cycles = 0

    def watched(old: Rows, at: int, chunk: Rows, live: Sequence[Rows] = ()) -> Rows:
        assert all(other.tick <= at < other.end for other in live)
        new = join(old, at, chunk, live)
        joins.append((old, at, chunk, new))
        return new

    def through_codec(splice: Rows) -> Rows:
        splices.append(splice)
        return codec.reconstruct(splice, np.array([0.4, 0.1, 0.2, 0, 3.0, 0]), DCT)

    def step(plan: PlanState, slowest: float) -> PlanState:
        nonlocal cycles
        cycles += 1
        plan, due = plan.step(slowest)
        if plan.position == due.tick:
            assert np.array_equal(due.planned, plan.rows.at(due.tick))
        if len(plan.executed) and (tick := plan.next_tick - 1) >= start:
            row, owner = plan.executed.at(tick), int(plan.owners()[len(plan.executed) - 1])
            before = passed.setdefault(tick, (row, owner))
            assert np.array_equal(before[0], row) and before[1] == owner  # no executed row ever changes
        return plan

    plan = replace(hold(START), rows=rows(start - 1, START[None]), position=start - 1.0)
    for number, arrival in enumerate(arrivals):
        if held:
            plan = plan.request(number, arrival.due_in, waits=False)
        while plan.next_tick < arrival.tick:
            plan = step(plan, arrival.slowest if held else 1.0)
        for _ in range(arrival.held if held else 0):
            if plan.step(arrival.slowest)[0].next_tick == arrival.tick:
                plan = step(plan, arrival.slowest)
        chunk = arrival.chunk
        if refining and len(chunk) == 48:
            chunk = refine("rtr", chunk, plan.executed, plan.planned, through_codec)
        executed, position = plan.rows.between(plan.next_tick - HISTORY, plan.next_tick), plan.position
        under_way = plan.rows.between(floor(position), ceil(position) + 1)  # the rows the robot is between
        plan = plan.receive(chunk, number, watched)
        assert equal(plan.rows.between(floor(position), ceil(position) + 1), under_way)
        assert equal(plan.rows.between(executed.tick, plan.next_tick), executed) and plan.position == position
    while plan.planned or plan.stood < 3:
        plan = step(plan, 1.0)
    ticks = sorted(passed)
    assert ticks == list(range(ticks[0], ticks[-1] + 1))  # one row a tick, none left out
    whole = rows(ticks[0], np.array([passed[tick][0] for tick in ticks]))
    return Path(whole, [passed[tick][1] for tick in ticks], joins, splices, cycles)


def same(left: Path, right: Path, shift: int = 0) -> bool:
    def moved(part: Rows) -> Rows:
        return Rows(part.tick + shift, part.action)

    joins = [
        (equal(moved(a[0]), b[0]), a[1] + shift == b[1], equal(moved(a[2]), b[2]), equal(moved(a[3]), b[3]))
        for a, b in zip(left.joins, right.joins, strict=True)
    ]
    splices = [equal(moved(a), b) for a, b in zip(left.splices, right.splices, strict=True)]
    owners = left.owner == right.owner
    return equal(moved(left.rows), right.rows) and owners and all(map(all, joins)) and all(splices)


@settings(max_examples=25)
@given(episodes(), st.sampled_from(sorted(JOINS)), st.booleans())
def test_held_cycles_change_no_join_no_splice_and_no_executed_row(arrivals, join, refining):
    straight = play(arrivals, JOINS[join], held=False, refining=refining)
    held = play(arrivals, JOINS[join], held=True, refining=refining)
    assert same(straight, held)


@settings(max_examples=12)
@given(episodes(), st.sampled_from(sorted(JOINS)), st.integers(1, 10_000))
def test_a_shift_of_all_ticks_shifts_the_result(arrivals, join, shift):
    later = [
        arrival._replace(
            t0=arrival.t0 + shift,
            tick=arrival.tick + shift,
            chunk=Rows(arrival.chunk.tick + shift, arrival.chunk.action),
        )
        for arrival in arrivals
    ]
    assert same(play(arrivals, JOINS[join], True), play(later, JOINS[join], True, start=shift), shift)


def test_the_episodes_above_do_hold_brake_and_refine():
    """Or the two laws would say nothing."""
    late = Arrival(40, 48, curve(40, 48, 1), 30, 0.2, 40)
    arrivals = [Arrival(0, 0, curve(0, 48), 7, 1.0, 0), late, Arrival(80, 85, curve(80, 48, 2), 0, 0.4, 60)]
    straight, held = play(arrivals, newest, False, refining=True), play(arrivals, newest, True, refining=True)
    assert held.cycles > straight.cycles + 40 and len(straight.splices) == 2
    assert straight.owner == [0] * 48 + [1] * 37 + [2] * 43
    assert same(straight, held) and not same(straight, held._replace(owner=held.owner[::-1]))


# --- The first chunk ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("join", JOINS.values(), ids=JOINS)
def test_the_first_chunk_is_entered_from_the_held_pose(join: Join):
    plan, held = run(hold(START), 5)
    assert all(np.array_equal(due.planned, START) and due.state == "holding" and due.chunk_id == -1 for due in held)
    assert [due.tick for due in held] == [-1] * 5 and plan.stood == 5 and plan.next_tick == 0
    assert len(plan.executed) == len(plan.planned) == 0
    plan = plan.receive(line(0, 48, x=START[0] + 0.004), 0, join)
    plan, due = plan.step()
    # Not yet row 0: a short way towards it, so that nothing jumps even if the chunk does not begin where the robot is.
    assert due.tick == -1 and due.state == "playing" and due.chunk_id == 0
    assert START[0] <= due.planned[0] < START[0] + 0.001
    plan, _ = run(plan, 20)
    assert np.array_equal(plan.rows.at(-1), START)  # the held pose stays what it was
    assert plan.executed.tick == 0  # and is no executed row


def test_a_first_chunk_that_begins_at_the_held_pose_begins_exactly_there():
    _, commanded = run(hold(START).receive(rows(0, np.repeat(START[None], 48, 0)), 0, newest), 60)
    assert all(np.allclose(due.planned, START, atol=1e-7) for due in commanded)
    faded = hold(START).receive(curve(0, 48, 5), 0, fade)
    assert np.allclose(faded.rows.at(0), START, atol=1e-6)


# --- Refusals -----------------------------------------------------------------------------------------------------


def playing() -> PlanState:
    """Chunk 3 has played to tick 20."""
    plan = hold(START).receive(curve(0, 48), 3, newest)
    while plan.next_tick < 21:
        plan, _ = plan.step()
    return plan


def with_columns(*six: float) -> Callable[[], Rows]:
    def make() -> Rows:
        action = curve(10, 48, 1).action.copy()
        action[30, 3:9] = six
        return Rows(10, action)

    return make


NAN = float("nan")
REFUSALS = {
    "duplicate": (3, lambda: curve(10, 48, 1), "after 3, got 3"),
    "out_of_order": (2, lambda: curve(10, 48, 1), "after 3, got 2"),
    "late": (4, lambda: curve(0, 21, 1), "from tick 21 on, chunk 4 ends at 20"),
    "late, long ago": (4, lambda: curve(-90, 48, 1), "from tick 21 on, chunk 4 ends at -43"),
    "late, empty": (4, lambda: nothing(21), "from tick 21 on"),
    "gap": (4, lambda: curve(49, 48, 1), "from tick 48 on, chunk 4 begins at 49"),
    "rotation, none": (4, with_columns(0, 0, 0, 0, 0, 0), "orthonormal"),
    "rotation, too long": (4, with_columns(1.1, 0, 0, 0, 1, 0), "orthonormal"),
    "rotation, oblique": (4, with_columns(1, 0, 0, 0.1, 1, 0), "orthonormal"),
    "rotation, no number": (4, with_columns(NAN, 0, 0, 0, 1, 0), "orthonormal"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refused_chunk_names_its_kind_and_leaves_the_plan_as_it_was(case):
    chunk_id, make, detail = REFUSALS[case]
    plan = playing()
    before, after = run(plan, 40)[1], plan
    copy = plan.rows.action.copy()
    with pytest.raises(RefusedChunk, match=detail) as refused:
        after = plan.receive(make(), chunk_id, newest)
    assert refused.value.kind == case.split(",")[0]
    assert after is plan and np.array_equal(plan.rows.action, copy) and plan.newest_chunk == 3
    for one, other in zip(before, run(plan, 40)[1], strict=True):
        assert np.array_equal(one.planned, other.planned) and one.tick == other.tick and one.state == other.state


def test_chunks_on_the_edge_of_refusal_are_taken():
    plan = playing()
    assert plan.receive(curve(0, 22, 1), 4, newest).rows.end == 22  # one row is still to come
    assert plan.receive(curve(48, 48, 1), 4, newest).rows.end == 96  # no row is missing
    assert plan.receive(with_columns(1.001, 0, 0, 0, 0.999, 0)(), 9, newest).newest_chunk == 9  # rounding; ids may skip


@pytest.mark.parametrize("join", JOINS.values(), ids=JOINS)
def test_a_chunk_that_begins_later_takes_over_later(join):
    plan, chunk = playing(), curve(30, 48, 1)
    joined = plan.receive(chunk, 4, join)
    assert equal(joined.rows.between(0, 30), plan.rows.between(0, 30)) and joined.rows.end == 78
    assert equal(joined.rows.since(30), join(plan.rows, 30, chunk, plan.live))
    owners = joined.owners()
    assert set(owners[:30]) == {3} and set(owners[30:]) == {4} and len(owners) == 78
    sooner = joined.receive(curve(20, 48, 2), 5, join)  # and is no prediction of a tick before its first
    assert sooner.live[-2].tick == 0 and equal(
        sooner.rows.since(21), join(joined.rows, 21, curve(20, 48, 2), plan.live)
    )


# --- Braking and states -------------------------------------------------------------------------------------------


def test_a_plan_that_runs_out_brakes_along_itself_and_holds_its_last_row():
    path = line(0, 48, x=START[0])
    plan, commanded = run(hold(START).receive(path, 0, newest), 80)
    states = [due.state for due in commanded]
    order = list(dict.fromkeys(states))
    assert order == ["playing", "braking", "holding"] and states == sorted(states, key=order.index)
    x = np.array([due.planned[0] for due in commanded])
    assert (np.diff(x) >= 0).all() and x[-1] == path.at(47)[0]  # on the line, to its end
    assert plan.position == 47 and plan.stood == states.count("holding") and plan.rate == 0
    assert 4 <= states.count("braking") <= 9


def test_a_chunk_that_comes_while_braking_is_played_without_standing():
    plan, _ = run(hold(START).receive(line(0, 48), 0, newest), 51)
    assert 43 < plan.position < 47 and plan.rate < 1
    plan, commanded = run(plan.receive(line(40, 48, x=0.04), 1, newest), 20)
    assert {due.state for due in commanded} == {"playing"} and plan.rate == 1 and plan.position == round(plan.position)
    x = np.array([due.planned[0] for due in commanded])
    assert (np.diff(x) > 0).all()


def test_in_sync_standing_is_waiting_until_the_chunk_comes():
    plan = hold(START).request(0, 8, waits=True)
    plan, commanded = run(plan, 5)
    assert {due.state for due in commanded} == {"waiting"}
    plan, commanded = run(plan.receive(line(0, 48), 0, newest), 20)
    assert {due.state for due in commanded} == {"playing"}
    _, commanded = run(plan.request(0, 8, waits=False), 90)
    assert commanded[-1].state == "holding"


def test_stood_counts_the_cycles_at_rest_and_begins_again():
    plan, _ = run(hold(START).receive(line(0, 10), 0, newest), 30)
    stood = plan.stood
    assert stood > 5 and run(plan, 4)[0].stood == stood + 4
    assert run(plan.receive(line(10, 10), 1, newest), 1)[0].stood == 0


def at_full_rate() -> PlanState:
    plan, _ = run(hold(START).receive(line(0, 48, x=START[0]), 0, newest), 15)
    assert plan.rate == 1
    return plan


def slowed(plan: PlanState, cycles: int) -> tuple[PlanState, list[float]]:
    rates = []
    for _ in range(cycles):
        plan, due = plan.step(slowest=0.4)
        rates.append(plan.rate)
        assert due.state == "playing"  # slow is not starved
    return plan, rates


def test_a_chunk_that_is_expected_late_slows_the_robot_within_bounds():
    plan, rates = slowed(at_full_rate().request(1, 60, waits=False), 40)
    assert min(rates) >= 0.4 and max(rates[5:]) < 1
    # As slow chunks must be expected again, the robot stays slow, and is fast again once they are not.
    plan, rates = slowed(plan.receive(line(plan.next_tick - 5, 48), 1, newest), 12)
    assert max(rates) < 1 and plan.due_in is None
    plan, _ = slowed(plan.request(2, 8, waits=False), 15)
    assert plan.rate == 1


def test_slowing_down_is_for_async_and_can_be_forbidden():
    assert slowed(at_full_rate().request(1, 60, waits=True), 3)[1] == [1, 1, 1]
    fast, _ = run(at_full_rate().request(1, 60, waits=False), 10)  # slowest = 1
    assert fast.rate == 1


@pytest.mark.parametrize("number", [1, 2])
def test_requests_and_chunks_of_one_cycle_may_come_in_any_order(number):
    """The answer to this request or to the one before; it is expected only as long as it has not come."""
    before = at_full_rate().request(1, 60, waits=False)
    chunk = line(before.next_tick - 5, 48)
    left = before.request(number, 40, waits=False).receive(chunk, 1, newest).step(0.4)[0]
    right = before.receive(chunk, 1, newest).request(number, 40, waits=False).step(0.4)[0]
    assert (left.rate, left.position, left.due_in) == (right.rate, right.position, right.due_in)
    assert (left.due_in is None) == (number == 1)
    assert (left.asked, left.asked_age, left.answered, left.answered_age) == (number, 0, 1, 0)


def test_a_refused_chunk_is_an_answer_too():
    plan = at_full_rate().request(1, 60, waits=False)
    answered = plan.answer(1).step()[0]
    assert answered.due_in is None and answered.answered == 1 and answered.newest_chunk == 0
    assert answered.step()[0].answered_age == 1 and answered.answer(0).answered == 1


def test_the_horizon_counts_from_the_observation():
    """A refined chunk begins later, but what the policy gives is still a whole horizon."""
    plan = playing()
    assert plan.receive(curve(12, 48, 1), 4, newest).horizon == 48
    assert plan.receive(curve(12, 48, 1).since(20), 4, newest, t0=12).horizon == 48
    assert plan.receive(curve(20, 28, 1), 4, newest).horizon == 28


def test_between_two_rows_the_one_approached_may_no_longer_change():
    plan = hold(START).receive(line(0, 48, x=START[0]), 0, newest)
    assert plan.next_tick == 0  # standing on row -1
    plan, _ = run(plan, 1)
    assert -1 < plan.position < 0 and plan.next_tick == 1
    while plan.position != round(plan.position):
        plan, _ = plan.step()
    assert plan.next_tick == plan.position + 1
    braking, _ = run(plan, 45)
    assert 43 < braking.position < 47 and braking.position != round(braking.position)
    joined = braking.receive(line(40, 48, x=5.0), 1, newest)
    approached = ceil(braking.position)
    assert np.array_equal(joined.rows.at(approached), braking.rows.at(approached))
    assert joined.rows.at(approached + 1)[0] > 5 and joined.next_tick == approached + 1


# --- What was really sent, and what is kept -----------------------------------------------------------------------


def test_sent_replaces_the_row_just_reached_and_no_other():
    plan = playing()
    other = plan.rows.at(20) + np.float32(0.001)
    changed = plan.sent(other)
    assert np.array_equal(changed.executed.at(20), other) and np.array_equal(changed.rows.at(20), other)
    keep = plan.rows.tick + np.arange(len(plan.rows)) != 20
    assert np.array_equal(changed.rows.action[keep], plan.rows.action[keep]) and changed.rows.tick == plan.rows.tick
    assert np.array_equal(plan.rows.at(20), curve(0, 48).at(20))  # the old plan is as it was
    assert plan.sent(plan.rows.at(20)) is plan


def test_sent_between_rows_changes_nothing():
    plan, _ = run(hold(START).receive(line(0, 48), 0, newest), 2)
    assert plan.position != round(plan.position)
    assert plan.sent(START + np.float32(0.01)) is plan


def test_executed_rows_are_kept_for_a_while_and_owned():
    plan = hold(START)
    for number in range(12):
        plan = plan.receive(curve(plan.next_tick - min(number, 1) * 8, 48, number), number, newest)
        for _ in range(32):
            plan, _ = plan.step()
        assert len(plan.owners()) == len(plan.executed) + len(plan.planned)
        assert plan.executed.end == plan.next_tick == plan.planned.tick
        assert len(plan.executed) == min(HISTORY, plan.next_tick) and len(plan.rows) <= HISTORY + 48
    assert HISTORY == 64
    owners = plan.owners()
    assert owners[-1] == 11 and (np.diff(owners) >= 0).all() and set(owners) == {10, 11}
    for tick in range(plan.executed.tick, plan.next_tick):
        number = int(owners[tick - plan.executed.tick])
        assert any(np.array_equal(plan.rows.at(tick), row) for row in curve(0, 48, number).action)


@settings(max_examples=30)
@given(st.floats(0, 1))
def test_between_two_rows_the_path_is_straight_and_the_rotation_exact(fraction):
    left, right = curve(0, 2, 3).action[0], curve(0, 40, 4).action[39]
    middle = between(left, right, fraction)
    assert np.allclose(middle[:3], left[:3] + fraction * (right[:3] - left[:3]), atol=1e-7)
    assert np.allclose(orthonormal_6d(middle[3:9]), middle[3:9], atol=1e-6) and middle.dtype == np.float32


def test_a_splice_never_lacks_an_executed_row():
    """The longest delay that can still be refined, after a long run: HISTORY reaches back to the observation."""
    plan = hold(START)
    for number in range(4):
        plan = plan.receive(curve(plan.next_tick, 48, number), number, newest)
        while plan.planned:
            plan, _ = plan.step()
    reference = np.array([0.4, 0.1, 0.2, 0, 3.0, 0])
    through = partial(codec.reconstruct, reference_pose=reference, codec=DCT)
    upcoming = refine("rtr", curve(plan.next_tick - 47, 48, 9), plan.executed, plan.planned, through)
    assert upcoming.tick == plan.next_tick and len(upcoming) == 1
    assert len(concat(plan.executed, upcoming)) == HISTORY + 1


# --- Chunks that begin later than the plan ends ---------------------------------------------------------------------


@pytest.mark.parametrize("late", [1, 5, 40])
def test_a_standing_robot_holds_its_pose_up_to_a_chunk_that_begins_later(late):
    """The first chunk of a recording that moved on while the policy waited for a picture, or one after a stall."""
    for plan in (hold(START), run(hold(START).receive(line(0, 30, step=0.0), 0, newest), 60)[0]):
        end = plan.rows.end
        chunk = line(end + late, 48, x=float(START[0]))
        joined = plan.receive(chunk, 1, newest)
        assert np.array_equal(joined.rows.between(end, end + late).action, np.repeat(plan.rows.action[-1:], late, 0))
        assert equal(joined.rows.since(end + late), chunk)
        assert set(joined.owner[-48:]) == {1} and set(joined.owner[-48 - late : -48]) == {-1}
        _, commanded = run(joined, late + 60)
        assert commanded[-1].tick == chunk.end - 1 and np.array_equal(commanded[-1].planned, chunk.action[-1])


def test_a_chunk_too_far_ahead_or_ahead_of_a_moving_robot_is_refused():
    moving = run(hold(START).receive(line(0, 48), 0, newest), 20)[0]
    for plan, begin in ((hold(START), HISTORY + 1), (moving, 49)):
        with pytest.raises(RefusedChunk, match=f"begins at {begin}") as refused:
            plan.receive(line(begin, 48), 1, newest)
        assert refused.value.kind == "gap"
