"""Every message of the dataflow: one class a topic, its Arrow type beside each field (operators.schema).

Headers `seq, episode, t_ns` come first in each, and `run_ns` last: when the process that sent it began, by its own
clock. Its numbers count from there, so that what it sent before a crash is not taken for newer than what it sends then.

Units: metres, radians, newtons, nanoseconds of the monotonic clock. Poses are `xyz + rotation vector` in the
base frame; actions are `xyz, 6-D rotation (first two columns of R), gripper 0..1` in the base frame.
"""

from typing import Any, NamedTuple

from operators.schema import (
    Action,
    Actions,
    Integer,
    Integers,
    Points2,
    Real,
    Reals,
    Text,
    Texts,
    Truth,
    Vector6,
)

HZ = 60
HORIZON = 48
READY = "ready"
MODES = ("starting", "running", "paused", "braking", "stopped")  # of a run
STATES = ("starting", "homing", READY, "protective_stop")  # of a robot; only a ready one follows commands


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
    state: Text = READY  # one of STATES
    run_ns: Integer = -1


class Scene(NamedTuple):
    """What a simulated camera needs to draw: never wired to a policy."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    tick: Integer
    qpos: Reals  # MuJoCo's generalised positions
    piece_pose: Vector6  # of the work piece
    goal: Points2  # what is to be done, on its surface
    marks: Points2  # what the tool has left there so far, in order
    begins: Integers  # indices into `marks` at which the tool touched down anew
    run_ns: Integer = -1


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
    run_ns: Integer = -1


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
    cameras: Texts  # whose frames it answers to
    frames: Integers  # the number of each of these frames
    exposed_ns: Integer = -1  # when what it answers to was measured; -1 where a recording does not tell
    begun_ns: Integer = -1  # start of inference, frames in hand; likewise
    plan: Integer = -1  # number of the plan it was shown; -1 for none
    aligned: Truth = False  # the policy settled its timing: nobody shifts it on their own account
    shift_ticks: Real = 0.0  # content row i + shift is to be played at tick + i (operators.motion.align)
    run_ns: Integer = -1


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
    run_ns: Integer = -1


class Features(NamedTuple):
    """What the policy's encoder sees in the newest pictures."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    tick: Integer  # of the state in the pictures
    reference_pose: Vector6  # of the TCP in that state
    values: Reals
    observed: Integer  # number of the measurement of that state
    after: Integer  # chunk that was predicted before; -1 for none
    cameras: Texts  # whose frames were looked at
    frames: Integers  # the number of each of these frames
    run_ns: Integer = -1


class Command(NamedTuple):
    """What the robot shall do this cycle."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    cycle: Integer
    tick: Integer  # newest plan row reached; -1 before the first
    state: Text  # playing, waiting, braking, holding, paused
    planned: Action  # what the join produced
    action: Action  # after the limits
    clamped: Integer  # bit set of operators.motion.limits
    chunk_id: Integer  # chunk that owns the row, -1 for the held pose
    run_ns: Integer = -1


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
    observed: Integer  # number of the newest measurement taken in; -1 before the first
    seen: Integer  # number of the newest features taken in; likewise
    shift_ticks: Real = 0.0  # by which the newest chunk was shifted in time to lie on the plan
    most: Real = 1.0  # upper bound of the feed rate, as the supervisor told it
    run_ns: Integer = -1


class ChunkDone(NamedTuple):
    """Sent in every cycle in which the chunk is used up and the robot stands: a level, so that none can be missed."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    chunk_id: Integer  # -1 before the first chunk
    stood: Integer  # cycles since the robot came to rest
    run_ns: Integer = -1


class Episode(NamedTuple):
    """Start or end of an episode. `ending`: come to rest. `end` with `last` ends the run: every node returns."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    phase: Text  # start, ending, end
    seed: Integer
    task: Text
    variant: Text  # of the task, from its own list
    text: Text  # the prompt: what a policy that reads is told to do
    reason: Text
    last: Truth
    run_ns: Integer = -1


class Mode(NamedTuple):
    """How the run stands; repeated once a second, so that a process that has just begun knows it."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    mode: Text  # one of MODES
    most: Real  # upper bound of the feed rate; 0 in all modes but starting and running
    reason: Text
    run_ns: Integer = -1


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
    run_ns: Integer = -1


class Fault(NamedTuple):
    """Something was dropped, refused or lost. `times` is how often this kind has happened at this node."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    node: Text
    kind: Text
    detail: Text
    times: Integer
    run_ns: Integer = -1


class Stats(NamedTuple):
    """Once a second, for people and reports."""

    seq: Integer
    episode: Integer
    t_ns: Integer
    node: Text
    name: Texts
    value: Reals
    run_ns: Integer = -1


class Topic(NamedTuple):
    message: Any
    rate_hz: float  # how often it is sent; 0: when something happens
    recorded: bool


TOPICS = {
    "proprio": Topic(Proprio, HZ, True),
    "scene": Topic(Scene, HZ, False),
    "request": Topic(Request, 0, True),
    "chunk": Topic(Chunk, 0, True),
    "features": Topic(Features, 30, True),
    "action_chunk": Topic(ActionChunk, 0, True),
    "command": Topic(Command, HZ, True),
    "plan": Topic(Plan, HZ, True),
    "chunk_done": Topic(ChunkDone, 0, True),
    "episode": Topic(Episode, 1, True),
    "mode": Topic(Mode, 1, True),
    "score": Topic(Score, 10, True),
    "fault": Topic(Fault, 0, True),
    "stats": Topic(Stats, 1, True),
}
