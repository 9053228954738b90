"""The plan: which action is due. New chunks join it by tick; where rows run out the robot brakes along it.

Two counters (docs/design.md): cycles always pass, ticks pass only along the plan. So a late chunk, a pause and a
starved plan need no rule of their own: whatever stands still keeps its tick.
"""

from dataclasses import dataclass, replace
from math import ceil, floor

import numpy as np

from operators.messages import HORIZON
from operators.motion.feed import advance, pace, sustainable
from operators.motion.join import Join
from operators.motion.rotation import is_orthonormal, orthonormal_6d
from operators.motion.rows import Rows, concat, rows

HISTORY = 64  # executed rows kept: more than a horizon, so that a splice never lacks one


class RefusedChunk(ValueError):
    """A chunk the plan does not take; `kind` names why."""

    def __init__(self, kind: str, detail: str):
        self.kind = kind
        super().__init__(detail)


@dataclass(frozen=True)
class Due:
    """What one cycle commands."""

    tick: int  # newest row reached
    state: str  # playing, waiting, braking, holding, paused
    planned: np.ndarray  # (10,) float32
    chunk_id: int


@dataclass(frozen=True)
class PlanState:
    """Executed and planned rows with the plan time reached; immutable."""

    rows: Rows  # consecutive ticks; the row at tick -1 is the pose held before the first chunk
    owner: np.ndarray  # (n,) int64, chunk of each row
    position: float = -1.0
    rate: float = 0.0
    newest_chunk: int = -1
    asked: int = -1  # chunk of the newest request
    asked_tick: int = -1  # that was next when it was asked
    asked_age: int = 0  # cycles since it was taken in
    answered: int = -1  # newest chunk that came in, joined or refused
    answered_age: int = 0
    waits: bool = False  # the newest request is a sync one
    delay_cycles: int = 0  # that chunks take
    due_in: float | None = None  # cycles until the asked-for chunk is expected
    stood: int = 0  # cycles at rest
    horizon: int = HORIZON  # rows of the newest chunk, from where it was asked for on
    shift_ticks: float = 0.0  # by which the newest chunk was shifted in time
    reserve: int = 0  # rows that a shift in time may cost a chunk: the feed counts on the others, so it does not surge
    live: tuple[Rows, ...] = ()  # chunks as handed over that reach past what was executed, oldest first

    @property
    def next_tick(self) -> int:
        """First tick that may still change: the row being approached is already under way."""
        return ceil(self.position) + 1

    @property
    def executed(self) -> Rows:
        return self.rows.between(max(0, self.next_tick - HISTORY), self.next_tick)

    @property
    def planned(self) -> Rows:
        return self.rows.since(self.next_tick)

    def owners(self) -> np.ndarray:
        """Chunk of each executed and planned row, in this order."""
        return self.owner[self.executed.tick - self.rows.tick :]

    @property
    def fastest(self) -> float:
        """The rate that chunks at the expected delay can keep up."""
        return 1.0 if self.waits or self.asked < 0 else sustainable(self.horizon - self.reserve, self.delay_cycles)

    def request(self, chunk_id: int, delay_cycles: int, waits: bool, tick: int = -1) -> "PlanState":
        """A chunk was asked for when `tick` was next; expected in `delay_cycles`.

        Requests and chunks reach the executor on two ways: in which order those of one cycle come makes no difference.
        """
        due_in = None if waits or chunk_id <= self.answered else float(delay_cycles)
        about = {"waits": waits, "delay_cycles": delay_cycles, "due_in": due_in}
        return replace(self, asked=chunk_id, asked_tick=tick, asked_age=-1, **about)

    def answer(self, chunk_id: int) -> "PlanState":
        """A chunk came in, whether it is joined or not."""
        due_in = None if chunk_id >= self.asked else self.due_in
        if chunk_id <= self.answered:
            return replace(self, due_in=due_in)
        return replace(self, answered=chunk_id, answered_age=-1, due_in=due_in)

    def receive(
        self, chunk: Rows, chunk_id: int, join: Join, t0: int | None = None, shift_ticks: float = 0.0
    ) -> "PlanState":
        """Take over a chunk from the first tick that may still change, or from its own first where that is later.

        A robot that stands may get a chunk that begins later than its plan ends (the first one, or one after a stall):
        it holds its pose up to there. While it moves, a missing row is refused.

        Args:
            chunk: rows to play, of which some are still to come.
            t0: tick of the observation, where it is not the chunk's first.
            shift_ticks: by which it was shifted in time: rows lost by that count as there, or the feed would follow
                the shift.

        Raises:
            RefusedChunk: late, out of order, a gap, or rotations that are none.
        """
        if chunk_id <= self.newest_chunk:
            kind = "duplicate" if chunk_id == self.newest_chunk else "out_of_order"
            raise RefusedChunk(kind, f"expected a chunk after {self.newest_chunk}, got {chunk_id}")
        if chunk.end <= self.next_tick:
            raise RefusedChunk(
                "late", f"expected rows from tick {self.next_tick} on, chunk {chunk_id} ends at {chunk.end - 1}"
            )
        start = max(self.next_tick, chunk.tick)
        held = self if start <= self.rows.end or not self._stands else self._held_until(start)
        if start > held.rows.end:
            raise RefusedChunk(
                "gap", f"expected rows from tick {self.rows.end} on, chunk {chunk_id} begins at {chunk.tick}"
            )
        if not is_orthonormal(chunk.action[:, 3:9]):
            raise RefusedChunk("rotation", f"expected orthonormal rotation columns, chunk {chunk_id} has others")
        live = tuple(other for other in self.live if other.tick <= start < other.end)
        new = join(held.rows, start, chunk, live)
        kept = held.rows.between(self.next_tick - HISTORY, start)
        dropped = kept.tick - held.rows.tick
        owner = np.concatenate([held.owner[dropped : dropped + len(kept)], np.full(len(new), chunk_id, np.int64)])
        # The delay counts from the request, so rows of the time before it, which a state on its way costs, do not.
        since = max(chunk.tick if t0 is None else t0, self.asked_tick if chunk_id == self.asked else -1)
        horizon = chunk.end - since + lost_rows(shift_ticks)
        joined = replace(self, rows=concat(kept, new), owner=owner, live=(*live, chunk))
        return replace(joined, newest_chunk=chunk_id, horizon=horizon, shift_ticks=shift_ticks).answer(chunk_id)

    def step(self, slowest: float = 1.0, most: float = 1.0) -> tuple["PlanState", Due]:
        """One cycle: advance along the plan and say what is due.

        Args:
            slowest: how far a late chunk may slow the feed before the robot rather brakes and waits; 1 = never slow.
            most: the rate may not be higher; 0 is a pause.
        """
        last = self.rows.end - 1
        wished = max(slowest, self.fastest)
        if self.due_in is not None:
            wished = min(wished, pace(last - self.position, self.due_in, slowest))
        wished = min(wished, most)
        position, rate = advance(self.position, self.rate, last, wished)
        due_in = None if self.due_in is None else self.due_in - 1
        stood = self.stood + 1 if position == self.position else 0
        ages = {"asked_age": self.asked_age + 1, "answered_age": self.answered_age + 1}
        plan = replace(self, position=position, rate=rate, due_in=due_in, stood=stood, **ages)
        return plan, Due(floor(position), self._state(position, rate, wished, most == 0), *plan._at(position))

    def ahead(self) -> np.ndarray:
        """Where the plan will be one cycle on at this rate, (10,)."""
        return self._at(min(self.position + self.rate, float(self.rows.end - 1)))[0]

    def sent(self, action: np.ndarray) -> "PlanState":
        """Put what was really sent (after the limits) in the place of the row just reached."""
        at = round(self.position) - self.rows.tick
        if self.position != round(self.position) or np.array_equal(self.rows.action[at], action):
            return self
        changed = self.rows.action.copy()
        changed[at] = action
        return replace(self, rows=Rows(self.rows.tick, changed))

    @property
    def _stands(self) -> bool:
        return self.position == self.rows.end - 1

    def _held_until(self, tick: int) -> "PlanState":
        """With the last row repeated up to a tick, where that is near: rows of a robot that stands, of no chunk."""
        missing = min(tick - self.rows.end, HISTORY)
        action = np.concatenate([self.rows.action, np.repeat(self.rows.action[-1:], missing, 0)])
        owner = np.concatenate([self.owner, np.full(missing, -1, np.int64)])
        return replace(self, rows=Rows(self.rows.tick, action), owner=owner)

    def _state(self, position: float, rate: float, wished: float, paused: bool) -> str:
        starved = rate == 0 or rate < min(self.rate, wished)
        if not starved:
            return "playing"
        if paused:
            return "paused"
        if self.waits:
            return "waiting"
        return "holding" if position == self.position else "braking"

    def _at(self, position: float) -> tuple[np.ndarray, int]:
        tick = floor(position)
        index = tick - self.rows.tick
        if position == tick:
            return self.rows.action[index], int(self.owner[index])
        return between(self.rows.action[index], self.rows.action[index + 1], position - tick), int(
            self.owner[index + 1]
        )


def lost_rows(shift_ticks: float) -> int:
    """Rows without content at the end of a chunk that was shifted forward."""
    return max(0, ceil(shift_ticks))


def hold(action: np.ndarray, reserve: int = 0, tick: int = -1) -> PlanState:
    """A plan that stands at a pose until the first chunk comes; at the tick that a robot was at, if it moved before."""
    return PlanState(rows(tick, action[None]), np.array([-1], np.int64), position=float(tick), reserve=reserve)


def between(left: np.ndarray, right: np.ndarray, fraction: float) -> np.ndarray:
    """Linear between two actions (10,), rotation orthonormal, float32."""
    mixed = left.astype(np.float64) * (1 - fraction) + right.astype(np.float64) * fraction
    mixed[3:9] = orthonormal_6d(mixed[3:9])
    return mixed.astype(np.float32)
