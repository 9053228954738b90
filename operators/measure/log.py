"""What one episode leaves behind: the same record from the live evaluator and from studies in simulated time.

Everything but the commands is optional: an empty array, an empty list or None says that it was not recorded.
Times are nanoseconds of the monotonic clock, positions metres in the base frame, ticks plan time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from operators.messages import Command, Proprio
from operators.motion.rows import Rows
from operators.schema import ACTION_WIDTH

STAMPS = "seq", "t_ns", "tick", "cycle"
VECTORS = "q", "tcp_pose", "tcp_velocity", "wrench"
STATES = ("playing", "waiting", "braking", "holding", "paused")


@dataclass(frozen=True, eq=False)
class Cycles:
    """What the executor commanded, one entry a cycle. `tick` is the newest plan row reached, -1 before the first."""

    cycle: np.ndarray  # (n,) int64
    tick: np.ndarray  # (n,) int64
    t_ns: np.ndarray  # (n,) int64; all the same where no clock was read
    state: np.ndarray  # (n,) text, one of STATES
    planned: np.ndarray  # (n, 10) float32, what the join produced
    action: np.ndarray  # (n, 10) float32, after the limits
    chunk_id: np.ndarray  # (n,) int64, -1 for the held pose
    clamped: np.ndarray  # (n,) int64, bit set of the limits

    def __post_init__(self) -> None:
        for name in ("cycle", "tick", "t_ns", "chunk_id", "clamped"):
            _settle(self, name, np.int64)
        _settle(self, "state", "<U8")
        _settle(self, "planned", np.float32, ACTION_WIDTH)
        _settle(self, "action", np.float32, ACTION_WIDTH)
        _check_equal_length(self)
        unknown = sorted(set(self.state.tolist()) - set(STATES))
        if unknown:
            raise ValueError(f"expected states out of {', '.join(STATES)}, got {', '.join(unknown)}")

    def __len__(self) -> int:
        return len(self.cycle)


@dataclass(frozen=True, eq=False)
class Measurements:
    """The robot's measured state, one entry a `proprio` message."""

    seq: np.ndarray  # (n,) int64, as are the other three
    t_ns: np.ndarray
    tick: np.ndarray  # newest applied + 1
    cycle: np.ndarray
    q: np.ndarray  # (n, 6) float64, rad
    tcp_pose: np.ndarray  # (n, 6) float64, m and rotation vector
    tcp_velocity: np.ndarray  # (n, 6) float64, m/s and rad/s
    wrench: np.ndarray  # (n, 6) float64, N and Nm in the tool frame; +z presses the tool back
    gripper: np.ndarray  # (n,) float64

    def __post_init__(self) -> None:
        for name in STAMPS:
            _settle(self, name, np.int64)
        for name in VECTORS:
            _settle(self, name, np.float64, 6)
        _settle(self, "gripper", np.float64)
        _check_equal_length(self)

    def __len__(self) -> int:
        return len(self.tick)

    def message(self, at: int, episode: int) -> Proprio:
        """One entry as it was sent."""
        stamps = {name: int(getattr(self, name)[at]) for name in STAMPS}
        vectors = {name: getattr(self, name)[at] for name in VECTORS}
        return Proprio(**stamps, **vectors, episode=episode, gripper=float(self.gripper[at]))


@dataclass(frozen=True, eq=False)
class ChunkRecord:
    """One chunk's way from the request to its first played row; None for a station it was not seen at."""

    chunk_id: int
    t0: int  # tick of the observation
    arrival_tick: int | None = None  # next due tick when it reached the executor: the first it could own
    raw: Rows | None = None  # absolute rows before any refinement
    handed: Rows | None = None  # as handed to the executor
    request_ns: int | None = None
    inference_start_ns: int | None = None
    inference_end_ns: int | None = None  # with the emulated latency
    inference_ms: float | None = None  # of computation alone
    refine_ms: float | None = None
    handed_ns: int | None = None
    takeover_ns: int | None = None  # first command that played a row of it
    expected_tick: int | None = None  # at which it would take over, as the scheduler estimated
    exposed_ns: int | None = None  # when what it answers to was measured
    shift_ticks: float | None = None  # by which it was shifted in time before it was joined


class PlanTime(NamedTuple):
    """The rows of the plan as they were passed, one a tick without a gap, before the limits."""

    tick: int  # of the first
    action: np.ndarray  # (n, 10) float32; NaN where the row is not known
    chunk_id: np.ndarray  # (n,) int64, owner of the row; -1 where it is not known


def no_cycles() -> Cycles:
    """A log without a command."""
    return cycles_from_commands([])


def not_measured() -> Measurements:
    """A log without proprioception."""
    return measured_from_proprio([])


@dataclass(frozen=True, eq=False)
class EpisodeLog:
    """One episode. `meta` holds JSON values; of these the metrics read `done_cycle`, if it is there."""

    meta: dict  # name, episode, task, seed, policy, refine, join ...; done_cycle: cycle at which the task was done
    cycles: Cycles = field(default_factory=no_cycles)
    chunks: list[ChunkRecord] = field(default_factory=list)  # in the order of their requests
    proprio: Measurements = field(default_factory=not_measured)
    score: dict[str, float] = field(default_factory=dict)  # the task's own judgement; `success` is 0 or 1
    goal: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))  # (n, 2) m, in the plane of the task
    marks: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))  # (n, 2) m, in the order left
    begins: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # indices into marks: set down anew
    reference_rotation: np.ndarray | None = None  # (3,) rotation vector the tool should keep
    reference: np.ndarray = field(default_factory=lambda: np.zeros((0, 3)))  # (n, 3) m, base frame, as the expert moves
    faults: list[tuple[int, str, str, str]] = field(default_factory=list)  # t_ns, node, kind, detail
    plan: PlanTime | None = None  # without it, metrics in plan time use the commands: exact only at full feed

    def __post_init__(self) -> None:
        _settle(self, "goal", np.float64, 2)
        _settle(self, "marks", np.float64, 2)
        _settle(self, "begins", np.int64)
        _settle(self, "reference", np.float64, 3)
        if self.reference_rotation is not None:
            _settle(self, "reference_rotation", np.float64)


def active(log: EpisodeLog) -> Cycles:
    """The cycles from the first played row until the task was done (`meta["done_cycle"]`) or the log ends."""
    cycles = log.cycles
    played = np.flatnonzero(cycles.state == "playing")
    start = int(played[0]) if len(played) else len(cycles)
    done = log.meta.get("done_cycle")
    end = len(cycles) if done is None else int(np.searchsorted(cycles.cycle, done, side="right"))
    return Cycles(**{name: array[start:end] for name, array in vars(cycles).items()})


def cycles_from_commands(commands: Sequence[Command]) -> Cycles:
    """Cycles out of received `command` messages, oldest first."""
    names = ("cycle", "tick", "t_ns", "state", "planned", "action", "chunk_id", "clamped")
    return Cycles(**{name: np.array([getattr(command, name) for command in commands]) for name in names})


def measured_from_proprio(messages: Sequence[Proprio]) -> Measurements:
    """Measurements out of received `proprio` messages, oldest first."""
    names = *STAMPS, *VECTORS, "gripper"
    return Measurements(**{name: np.array([getattr(message, name) for message in messages]) for name in names})


def _settle(record: object, name: str, dtype: type | str, width: int | None = None) -> None:
    """Give one field its dtype and check its shape: (n,), or (n, width)."""
    array = np.asarray(getattr(record, name), dtype)
    if width is not None and array.size == 0:
        array = array.reshape(0, width)
    if array.shape[1:] != (() if width is None else (width,)) or array.ndim == 0:
        raise ValueError(f"expected {name} of shape {'(n,)' if width is None else f'(n, {width})'}, got {array.shape}")
    object.__setattr__(record, name, array)


def _check_equal_length(record: object) -> None:
    lengths = {name: len(array) for name, array in vars(record).items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"expected arrays of one length, got {lengths}")
