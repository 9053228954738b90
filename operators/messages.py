"""Every message of the dataflow: one class a topic, its Arrow schema beside each field.

A message is an Arrow struct array with exactly one record. Rows of actions are list columns, so an empty
plan is still a message that says its episode and cycle. Headers `seq, episode, t_ns` come first in each.

Units: metres, radians, newtons, nanoseconds of the monotonic clock. Poses are `xyz + rotation vector` in the
base frame; actions are `xyz, 6-D rotation (first two columns of R), gripper 0..1` in the base frame.
"""

from typing import Annotated, Any, NamedTuple, TypeVar, get_type_hints

import numpy as np
import pyarrow as pa

HZ = 60
ACTION_WIDTH = 10
HORIZON = 48

_integer = pa.int64()
_real = pa.float64()
_text = pa.string()
_rows = pa.list_(pa.list_(pa.float32(), ACTION_WIDTH))

Integer = Annotated[int, _integer]
Real = Annotated[float, _real]
Text = Annotated[str, _text]
Truth = Annotated[bool, pa.bool_()]
Vector6 = Annotated[np.ndarray, pa.list_(_real, 6)]
Action = Annotated[np.ndarray, pa.list_(pa.float32(), ACTION_WIDTH)]
Actions = Annotated[np.ndarray, _rows]  # (n, 10) float32
Integers = Annotated[np.ndarray, pa.list_(_integer)]
Reals = Annotated[np.ndarray, pa.list_(_real)]
Texts = Annotated[list, pa.list_(_text)]
Points2 = Annotated[np.ndarray, pa.list_(pa.list_(pa.float32(), 2))]  # (n, 2) m, in the board plane


class Proprio(NamedTuple):
    """Measured robot state, 60 Hz: the state *before* the action of `tick` is applied."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    tick: Integer  # tick of the newest applied command + 1
    cycle: Integer  # the robot's own count of periods
    q: Vector6  # rad
    tcp_pose: Vector6  # m, rotation vector
    tcp_velocity: Vector6  # m/s, rad/s
    wrench: Vector6  # N, Nm, in the tool frame, bias removed; +z presses the tool back
    gripper: Real


class Scene(NamedTuple):
    """What a simulated camera needs to draw: never wired to a policy."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    tick: Integer
    qpos: Reals  # MuJoCo's generalised positions
    board_pose: Vector6
    target: Points2  # the faint stroke to write
    ink: Points2  # everything written so far, in order
    pen_down: Integers  # indices into `ink` at which a new stroke begins


class Request(NamedTuple):
    """The scheduler wants a chunk."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    chunk_id: Integer
    tick: Integer  # next due when it was asked
    delay_cycles: Integer  # expected from the request to the answer: how long the rows must last
    delay_ticks: Integer  # expected from `tick` to the takeover: plan ticks, which pass more slowly below full feed
    waits: Truth  # sync: the robot stands until the answer is in
    plan: Integer  # number of the newest plan the scheduler had; -1 where a recording does not tell
    plan_before: Integer  # of the one by which it did not ask yet: between them it heard none; -1 likewise, or none


class Chunk(NamedTuple):
    """What a policy predicts: in the frame of `reference_pose`, row i due at `tick + i / 60 * rate_hz`."""

    seq: Integer
    episode: Integer
    t_ns: Integer  # end of inference
    chunk_id: Integer
    tick: Integer  # t0, of the observation
    space: Text  # latent or action
    rate_hz: Real
    codec: Text  # name:hash of the codec a latent belongs to, empty for actions
    reference_pose: Vector6
    seed: Integer
    inference_ms: Real
    values: Actions
    observed: Integer  # number of the measurement it answers to; -1 where a recording does not tell
    frame_front: Integer  # number of the picture it answers to, -1 for none
    frame_wrist: Integer
    exposed_ns: Integer = -1  # when what it answers to was measured; -1 where a recording does not tell
    begun_ns: Integer = -1  # start of inference, frames in hand; likewise
    aligned: Truth = False  # the policy settled its timing: nobody shifts it on their own account
    shift_ticks: Real = 0.0  # content row i + shift is to be played at tick + i (operators.motion.align)


class ActionChunk(NamedTuple):
    """Absolute 60 Hz rows for the executor; row i is due at `tick + i`."""

    seq: Integer
    episode: Integer
    t_ns: Integer  # end of decoding
    chunk_id: Integer
    t0: Integer  # tick of the observation
    tick: Integer  # tick of the first row
    refine_ms: Real
    action: Actions
    plan: Integer  # number of the plan it was refined against, -1 for none
    aligned: Truth = False  # its timing is settled: nobody shifts it again
    shift_ticks: Real = 0.0  # by how much it was shifted


class Features(NamedTuple):
    """What the policy's encoder sees in the newest pictures."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    tick: Integer  # of the state in the pictures
    reference_pose: Vector6  # of the TCP in that state
    values: Reals


class Command(NamedTuple):
    """What the robot shall do this cycle."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    cycle: Integer
    tick: Integer  # newest plan row reached; -1 before the first
    state: Text  # playing, waiting, braking, holding
    planned: Action  # what the join produced
    action: Action  # after the limits
    clamped: Integer  # bit set of operators.motion.limits
    chunk_id: Integer  # chunk that owns the row, -1 for the held pose


class Plan(NamedTuple):
    """The executor's view, every cycle: what was executed and what is still planned."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    cycle: Integer
    tick: Integer  # first planned tick; rows of `executed` end one before it
    state: Text
    executed: Actions  # the last 64 rows, after the limits
    planned: Actions
    chunk_id: Integers  # of executed and planned rows, in this order
    asked: Integer  # chunk_id of the newest request taken in; -1 before the first
    asked_age: Integer  # cycles since: 0 if it was taken in before this one
    answered: Integer  # newest chunk that came in, joined or refused; -1 before the first
    answered_age: Integer  # cycles since
    stood: Integer  # cycles at rest
    shift_ticks: Real = 0.0  # by which the newest chunk was shifted in time to lie on the plan


class ChunkDone(NamedTuple):
    """Sent in every cycle in which the chunk is used up and the robot stands: a level, so that none can be missed."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    chunk_id: Integer  # -1 before the first chunk
    stood: Integer  # cycles since the robot came to rest


class Episode(NamedTuple):
    """Start or end of an episode. `end` with `last` ends the run: every node returns."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    phase: Text  # start, end
    seed: Integer
    task: Text
    targets: Text  # where targets come from: random, lasa
    reason: Text
    last: Truth


class Score(NamedTuple):
    """The task's own judgement so far (simulation only)."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    tick: Integer
    done: Truth  # nothing is left to do: the evaluator may end the episode
    success: Truth
    name: Texts
    value: Reals


class Fault(NamedTuple):
    """Something was dropped, refused or lost. `times` is how often this kind has happened at this node."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    node: Text
    kind: Text
    detail: Text
    times: Integer


class Stats(NamedTuple):
    """Once a second, for people and reports."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    node: Text
    name: Texts
    value: Reals


class Topic(NamedTuple):
    message: Any
    rate: str  # for people: how often it is sent
    recorded: bool


TOPICS = {
    "proprio": Topic(Proprio, "60 Hz", True),
    "scene": Topic(Scene, "60 Hz", False),
    "request": Topic(Request, "per chunk", True),
    "chunk": Topic(Chunk, "per chunk", True),
    "features": Topic(Features, "30 Hz", False),
    "action_chunk": Topic(ActionChunk, "per chunk", True),
    "command": Topic(Command, "60 Hz", True),
    "plan": Topic(Plan, "60 Hz", True),
    "chunk_done": Topic(ChunkDone, "60 Hz at rest", True),
    "episode": Topic(Episode, "per episode", True),
    "score": Topic(Score, "10 Hz", True),
    "fault": Topic(Fault, "when it happens", True),
    "stats": Topic(Stats, "1 Hz", True),
}

M = TypeVar("M", bound=tuple)


def schema(message: type) -> pa.StructType:
    """The Arrow type of a message class, from its annotations."""
    if message not in _schemas:
        hints = get_type_hints(message, include_extras=True)
        _schemas[message] = pa.struct(
            [pa.field(name, hint.__metadata__[0], nullable=False) for name, hint in hints.items()]
        )
    return _schemas[message]


def pack(message: tuple) -> pa.StructArray:
    """One message as an Arrow struct array of length 1."""
    fields = list(schema(type(message)))
    columns = [_column(value, field.type) for value, field in zip(message, fields, strict=True)]
    return pa.StructArray.from_arrays(columns, fields=fields)


def unpack(message: type[M], array: pa.Array, episode: int | None = None) -> M:
    """Check and read one message; list columns become read-only views of the received buffer.

    Args:
        message: the class expected.
        array: what was received.
        episode: if given, messages of another episode are refused.

    Raises:
        BadMessage: another type, not one record, a null, a number that is not finite, or another episode.
    """
    expected = schema(message)
    if array.type != expected:
        raise BadMessage(message, "schema", f"expected {expected}, got {array.type}")
    if len(array) != 1 or array.null_count:
        raise BadMessage(message, "length", f"expected one record without null, got {len(array)}")
    received = message(*(_value(message, array.field(i), field) for i, field in enumerate(expected)))
    if episode is not None and received.episode != episode:  # pyright: ignore[reportAttributeAccessIssue]
        raise BadMessage(message, "episode", f"expected episode {episode}, got {received.episode}")  # pyright: ignore[reportAttributeAccessIssue]
    return received


class BadMessage(ValueError):
    """A message that must not be used; `kind` names what is wrong with it."""

    def __init__(self, message: type, kind: str, detail: str):
        self.kind = kind
        super().__init__(f"{message.__name__}: {detail}")


_schemas: dict[type, pa.StructType] = {}
_NUMPY = {pa.float32(): np.float32, pa.float64(): np.float64}


def _column(value: Any, kind: pa.DataType) -> pa.Array:
    if pa.types.is_fixed_size_list(kind):
        return _fixed(np.asarray(value)[None], kind)
    if pa.types.is_list(kind) and pa.types.is_fixed_size_list(kind.value_type):
        rows = _fixed(np.asarray(value), kind.value_type)
        return pa.ListArray.from_arrays(pa.array([0, len(rows)], pa.int32()), rows, type=kind)
    if pa.types.is_list(kind):
        flat = pa.array(value, kind.value_type)
        return pa.ListArray.from_arrays(pa.array([0, len(flat)], pa.int32()), flat, type=kind)
    return pa.array([value], kind)


def _fixed(rows: np.ndarray, kind: pa.DataType) -> pa.Array:
    if rows.ndim != 2 or (len(rows) and rows.shape[1] != kind.list_size):
        raise ValueError(f"expected rows of {kind.list_size} numbers, got an array of shape {rows.shape}")
    flat = np.ascontiguousarray(rows, _NUMPY[kind.value_type]).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), type=kind)


def _value(message: type, column: pa.Array, field: pa.Field) -> Any:
    kind = field.type
    if not pa.types.is_list(kind) and not pa.types.is_fixed_size_list(kind):
        if column.null_count:
            raise BadMessage(message, "null", f"expected a value in {field.name}, got null")
        return _finite(message, column[0].as_py(), field.name)
    inner = column.flatten()
    nulls, width = column.null_count + inner.null_count, 0  # counted before `flatten`, which passes over null rows
    if pa.types.is_fixed_size_list(kind.value_type):
        width, inner = kind.value_type.list_size, inner.flatten()
        nulls += inner.null_count
    if nulls:
        raise BadMessage(message, "null", f"expected values in {field.name}, got null")
    if pa.types.is_string(kind.value_type):
        return inner.to_pylist()
    flat = _finite(message, inner.to_numpy(), field.name)
    return flat.reshape(-1, width) if width else flat


def _finite(message: type, value: Any, name: str) -> Any:
    number = isinstance(value, float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f")
    if number and not np.isfinite(value).all():
        raise BadMessage(message, "not finite", f"expected finite numbers in {name}, got NaN or infinity")
    return value
