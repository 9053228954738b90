"""A tour of the whole in one second: two chunks of a policy, refined, joined, measured. Read this first.

A policy looks at the robot and predicts a *chunk*: 48 rows, one for each tick of 1/60 s, row i due at tick t0 + i,
where t0 is the tick of what the policy saw. Thinking takes time, the robot moves on meanwhile: when the chunk is
there, its first rows are past. The naive way is to play it from the row that is due. As no two chunks agree to the
millimetre, the robot then jumps. Reuse-then-refine (RTR) puts what the robot did meanwhile in the place of the past
rows, and passes the whole through a codec that knows only smooth chunks: what comes out goes on where the robot is.
"""

import numpy as np

from operators.chunks.codec import DctCodec, reconstruct
from operators.chunks.refine import refine
from operators.measure.jerk import second_difference_mm
from operators.measure.log import PlanTime
from operators.measure.seams import seam_jumps_mm
from operators.messages import HORIZON
from operators.motion.join import newest
from operators.motion.plan import PlanState, hold
from operators.motion.rotation import action_from_pose
from operators.motion.rows import Rows, rows

POSE = np.array([0.4, 0.1, 0.2, 0.0, 3.1, 0.0])  # where the tool is at first: metres, rotation vector, base frame
SPEED_M_TICK = 1e-3  # 60 mm/s
DELAY = 8  # ticks from what the policy sees to its chunk: 133 ms
ERROR_M = 3e-3  # by so much the second chunk lies beside the first


def predict(t0: int, error_m: float) -> Rows:
    """What a policy that has seen tick t0 predicts: a line along y, a little beside the true one."""
    poses = np.repeat(POSE[None], HORIZON, 0)
    poses[:, 0] += error_m
    poses[:, 1] += SPEED_M_TICK * np.arange(t0, t0 + HORIZON)
    return rows(t0, action_from_pose(poses))  # an action: xyz, 6-D rotation, gripper


def play(plan: PlanState, until: int) -> PlanState:
    """One step a cycle, until this tick is the next one that may still change."""
    while plan.next_tick < until:
        plan, due = plan.step()
        assert due.planned.shape == (10,)  # what would be commanded in this cycle, before the limits
    return plan


def episode(method: str | None) -> PlanTime:
    """Two chunks, the second one seen at tick 24 and handed over 8 ticks later; every row by tick, with its owner."""
    plan = hold(action_from_pose(POSE))  # the robot stands at tick -1
    plan = plan.receive(predict(0, error_m=0.0), chunk_id=0, join=newest)

    plan = play(plan, 24)
    chunk = predict(24, ERROR_M)  # the policy begins to think ...
    plan = play(plan, 24 + DELAY)  # ... and the robot does not wait

    if method:  # what a chunk looks like to the codec depends on the pose it was seen from
        seen_from, codec = POSE + [0, 24 * SPEED_M_TICK, 0, 0, 0, 0], DctCodec()
        chunk = refine(method, chunk, plan.executed, plan.planned, lambda splice: reconstruct(splice, seen_from, codec))
        assert chunk.tick == 24 + DELAY and len(chunk) == HORIZON - DELAY  # only what is still to come

    executed = plan.executed
    plan = plan.receive(chunk, chunk_id=1, join=newest)
    assert np.array_equal(plan.executed.action, executed.action)  # no join changes the past
    path = plan.rows.since(0)
    return PlanTime(path.tick, path.action, plan.owner[-len(path) :])


def test_naive_joins_jump():
    naive = episode(None)
    # The switch is where the owner changes. There the path bends by the whole error within one tick.
    switch = int(np.argmax(naive.chunk_id))
    assert switch == 24 + DELAY
    assert abs(second_difference_mm(naive.action)[switch] - 1e3 * ERROR_M) < 0.01
    # `velocity_jump` looks at the switch and 16 rows after it, so that a jump put off is still found.
    assert abs(seam_jumps_mm(naive)[0] - 1e3 * ERROR_M) < 0.01


def test_reuse_then_refine_hardly_does():
    jump_mm = {method: float(seam_jumps_mm(episode(method))[0]) for method in (None, "rtr_paper", "rtr")}
    # As published, only the executed rows are put in front: the codec cannot bend at once, about 60 % is left.
    assert jump_mm["rtr_paper"] < 0.7 * jump_mm[None]
    # With a few rows of the old plan behind them, the first rows handed over lie inside what the codec keeps.
    assert jump_mm["rtr"] < 0.15 * jump_mm[None]


def test_and_gets_where_the_new_chunk_wants_to_go():
    refined, wanted = episode("rtr"), predict(24, ERROR_M)
    off_mm = 1e3 * np.linalg.norm(refined.action[-1, :3] - wanted.action[-1, :3])
    assert off_mm < 0.3
