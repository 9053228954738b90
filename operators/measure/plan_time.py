"""Plan time of an episode: one row a tick, whatever was held in between; seams and jerk within chunks live there."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from operators.measure.log import Cycles, EpisodeLog, PlanTime
from operators.motion.rows import Rows
from operators.schema import ACTION_WIDTH


class Ownership(NamedTuple):
    """One switch: index of the first row of the new chunk, and of the next switch or the end."""

    start: int
    end: int


class PlanTimeBuilder:
    """Collects PlanTime from the executor's plans, cycle by cycle.

    Commands alone tell the rows only at full feed: where it is slower they lie between rows.
    """

    def __init__(self) -> None:
        self._end = 0  # tick after the newest row collected
        self._action: list[np.ndarray] = []
        self._owner: list[int] = []
        self.arrival_tick: dict[int, int] = {}  # chunk_id -> first tick the chunk owned when it joined

    def add(self, tick: int, planned: np.ndarray, executed: Rows, owner: np.ndarray) -> None:
        """One cycle. Cycles may be missing as long as `executed` reaches back over them.

        Args:
            tick: newest row reached by the command.
            planned: (10,) what the join produced for it.
            executed: the plan's rows that can no longer change.
            owner: chunk of each executed and planned row, in this order.
        """
        if len(owner) and int(owner[-1]) not in self.arrival_tick:  # the newest chunk owns the last row
            for chunk_id, first in zip(*np.unique(owner, return_index=True), strict=True):
                self.arrival_tick.setdefault(int(chunk_id), executed.tick + int(first))
        for missing in range(self._end, executed.tick):
            self._append(missing, np.full(ACTION_WIDTH, np.nan, np.float32), -1)
        for row_tick in range(max(self._end, executed.tick), executed.end):
            whole = row_tick == tick == executed.end - 1  # on the row itself: what was sent may stand in its place
            row = planned if whole else executed.at(row_tick)
            self._append(row_tick, row, int(owner[row_tick - executed.tick]))

    def build(self) -> PlanTime:
        """What was collected so far."""
        action = np.array(self._action, np.float32).reshape(-1, ACTION_WIDTH)
        return PlanTime(self._end - len(action), action, np.array(self._owner, np.int64))

    def _append(self, tick: int, row: np.ndarray, owner: int) -> None:
        self._action.append(np.array(row, np.float32))
        self._owner.append(owner)
        self._end = tick + 1


def plan_time(log: EpisodeLog) -> PlanTime:
    """One row a tick: the plan as it was passed, whatever was held in between.

    Without `log.plan` a row is what was commanded in the cycle that reached it while playing; NaN for other states
    and for commands that were not received.
    """
    if log.plan is not None:
        return log.plan._replace(chunk_id=_carry_forward(log.plan.chunk_id))
    cycles = log.cycles
    first = _reaching(cycles)
    start = int(cycles.tick[first[0]]) if len(first) else 0
    at = cycles.tick[first] - start
    action = np.full((at[-1] + 1 if len(at) else 0, ACTION_WIDTH), np.nan, np.float32)
    owner = np.full(len(action), -1, np.int64)
    owner[at] = cycles.chunk_id[first]
    played = cycles.state[first] == "playing"
    action[at[played]] = cycles.planned[first[played]]
    return PlanTime(start, action, _carry_forward(owner))


def sent_in_plan_time(log: EpisodeLog) -> PlanTime:
    """The same after the limits: each row plus what they changed of xyz in the cycle that reached it."""
    plan, cycles = plan_time(log), log.cycles
    first = _reaching(cycles)
    first = first[(cycles.tick[first] >= plan.tick) & (cycles.tick[first] < plan.tick + len(plan.action))]
    action = plan.action.copy()
    action[cycles.tick[first] - plan.tick, :3] += cycles.action[first, :3] - cycles.planned[first, :3]
    return plan._replace(action=action)


def switches(plan: PlanTime) -> list[Ownership]:
    """Where one chunk's rows follow another's; the first chunk of an episode follows none."""
    owner = plan.chunk_id
    at = 1 + np.flatnonzero((owner[1:] != owner[:-1]) & (owner[:-1] >= 0))
    return [Ownership(int(i), int(end)) for i, end in pairwise([*at, len(owner)])]


def owned_rows(plan: PlanTime) -> list[np.ndarray]:
    """The played rows of each chunk."""
    return np.split(plan.action, [switch.start for switch in switches(plan)])


def _reaching(cycles: Cycles) -> np.ndarray:
    """Indices of the cycles in which the tick increased."""
    reached = np.maximum.accumulate(cycles.tick) if len(cycles) else cycles.tick
    return np.flatnonzero(np.diff(reached, prepend=-1) > 0)


def _carry_forward(owner: np.ndarray) -> np.ndarray:
    """Fill -1 with the last owner before it."""
    known = np.maximum.accumulate(np.where(owner >= 0, np.arange(len(owner)), 0))
    return owner[known]
