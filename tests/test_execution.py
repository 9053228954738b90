"""The executor's decisions: hold, join, limit; what was sent is what the next chunk is joined to."""

from dataclasses import replace

import numpy as np
import pytest

from operators.actors.executing import Cycle, Execution
from operators.messages import READY, STATES, ActionChunk, Proprio, Request
from operators.motion.join import newest
from operators.motion.limits import SPEED, Envelope
from operators.motion.plan import RefusedChunk
from operators.motion.rotation import action_from_pose
from tests.envelope import ENVELOPE

POSE = np.array([0.45, 0.0, 0.3, 0.0, 3.0, 0.0])
ZEROS = np.zeros(6)


def proprio(pose: np.ndarray = POSE, gripper: float = 0.5) -> Proprio:
    return Proprio(0, 0, 0, 0, 0, ZEROS, pose, ZEROS, ZEROS, gripper)


def chunk(chunk_id: int, tick: int, n: int = 48, step: float = 0.5e-3, jump: float = 0.0) -> ActionChunk:
    """A line along y by tick, 30 mm/s unless said otherwise, `jump` beside it; sets out from POSE."""
    poses = np.repeat(POSE[None], n, 0)
    poses[:, 1] = step * (1 + np.arange(tick, tick + n)) + jump
    return ActionChunk(chunk_id, 0, 0, chunk_id, tick, tick, 0.0, action_from_pose(poses, 0.5), -1)


def holding(envelope: Envelope = ENVELOPE) -> Execution:
    execution = Execution(newest, slowest=0.4, envelope=envelope)
    execution.measured(proprio())
    return execution


def run(execution: Execution, cycles: int) -> list[Cycle]:
    done = [execution.cycle() for _ in range(cycles)]
    assert all(cycle is not None for cycle in done)
    return [cycle for cycle in done if cycle is not None]


def test_until_a_pose_was_measured_there_is_nothing_to_command():
    execution = Execution(newest, 1.0, ENVELOPE)
    assert execution.cycle() is None
    execution.requested(Request(0, 0, 0, 0, 0, 8, 8, True, plan=-1, plan_before=-1))
    with pytest.raises(RefusedChunk, match="expected proprio before a chunk, got chunk 3") as refused:
        execution.chunk(chunk(3, 0))
    assert refused.value.kind == "early" and execution.cycle() is None


def test_the_first_measured_pose_is_held_and_later_ones_change_nothing():
    execution = holding()
    first = run(execution, 3)
    execution.measured(proprio(POSE + 0.1))
    for cycle in first + run(execution, 3):
        assert np.array_equal(cycle.action, action_from_pose(POSE, 0.5))
        assert cycle.due.state == "holding" and cycle.due.tick == -1 and cycle.clamped == 0


def test_a_robot_that_is_not_ready_is_not_commanded_and_its_first_ready_pose_is_held():
    execution = Execution(newest, 1.0, ENVELOPE)
    for state in STATES:
        if state != READY:
            execution.measured(proprio(POSE + 0.2)._replace(state=state))
            assert execution.cycle() is None
    execution.measured(proprio())
    assert np.array_equal(run(execution, 1)[0].action, action_from_pose(POSE, 0.5))


def test_inside_the_limits_what_is_sent_is_the_plan_bit_by_bit():
    execution = holding()
    execution.chunk(chunk(0, 0))
    for cycle in run(execution, 70):
        assert np.array_equal(cycle.action, cycle.due.planned) and cycle.clamped == 0
    assert execution.plan is not None and execution.plan.position == 47
    assert np.array_equal(execution.plan.executed.action, chunk(0, 0).action)


def test_what_the_limits_changed_stands_in_the_executed_rows():
    """So that a chunk is refined against what the robot did, not against what it was to do."""
    execution = holding(replace(ENVELOPE, speed_m_s=0.05))  # 0.83 mm a tick
    execution.chunk(chunk(0, 0))
    run(execution, 20)
    assert execution.plan is not None
    takeover = execution.plan.next_tick
    execution.chunk(chunk(1, takeover - 8, jump=0.01))
    cycles = run(execution, 10)
    assert all(cycle.clamped & SPEED for cycle in cycles)
    executed = execution.plan.executed
    for i, cycle in enumerate(cycles):
        assert np.array_equal(executed.at(takeover + i), cycle.action)
        assert np.array_equal(cycle.due.planned, chunk(1, takeover - 8, jump=0.01).action[8 + i])
        assert not np.array_equal(cycle.action, cycle.due.planned)
    steps = np.linalg.norm(np.diff([cycle.action[:3] for cycle in cycles], axis=0), axis=-1)
    assert steps.max() <= 0.05 / 60 + 1e-7
    assert np.array_equal(execution.plan.planned.action, chunk(1, takeover - 8, jump=0.01).action[18:])  # untouched


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("duplicate", chunk(0, 5)),
        ("late", chunk(1, 0, n=8)),
        ("gap", chunk(1, 60)),
        ("rotation", chunk(1, 5)._replace(action=np.ones((48, 10), np.float32))),
        (None, chunk(1, 5)._replace(action=np.full((48, 10), np.nan, np.float32))),
        (None, chunk(1, 5)._replace(action=np.zeros((48, 9), np.float32))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refused_chunk_does_not_move_the_robot(kind, bad):
    executions = holding(), holding()
    for execution in executions:
        execution.chunk(chunk(0, 0))
        run(execution, 20)
    with pytest.raises(ValueError) as refused:
        executions[0].chunk(bad)
    assert getattr(refused.value, "kind", None) == kind
    for one, other in zip(*(run(execution, 40) for execution in executions), strict=True):
        assert np.array_equal(one.action, other.action) and one.due.state == other.due.state


def test_requests_reach_the_plan():
    execution = holding()
    execution.requested(Request(0, 0, 0, 0, 0, 8, 8, waits=True, plan=-1, plan_before=-1))
    assert run(execution, 1)[0].due.state == "waiting"
    execution.chunk(chunk(0, 0))
    run(execution, 15)
    execution.requested(Request(1, 0, 0, 1, 15, 60, 60, waits=False, plan=-1, plan_before=-1))
    run(execution, 8)
    assert execution.plan is not None and 0.4 <= execution.plan.rate < 1


def test_a_refined_chunk_counts_from_its_observation():
    execution = holding()
    execution.chunk(chunk(0, 0))
    run(execution, 30)  # on its way from rest the robot has reached tick 25
    whole = chunk(1, 16)
    execution.chunk(whole._replace(tick=24, action=whole.action[8:]))
    assert execution.plan is not None and execution.plan.horizon == 48


def test_a_restart_forgets_the_episode():
    execution = holding()
    execution.chunk(chunk(5, 0))
    run(execution, 30)
    execution.restart()
    assert execution.plan is None and execution.cycle() is None
    elsewhere = POSE + [0.1, 0.2, 0, 0, 0, 0]
    execution.measured(proprio(elsewhere))  # at once: no limit remembers where the robot was
    assert np.array_equal(run(execution, 1)[0].action, action_from_pose(elsewhere, 0.5))
    execution.chunk(chunk(0, 0))  # and chunks are counted from 0 again


def test_in_sync_only_the_execution_horizon_of_a_chunk_is_played():
    execution = Execution(newest, 0.4, ENVELOPE, sync_horizon=20)
    execution.measured(proprio())
    execution.requested(Request(0, 0, 0, 0, 0, 8, 8, waits=True, plan=-1, plan_before=-1))
    execution.chunk(chunk(0, 0))
    assert run(execution, 80)[-1].due.tick == 19
    execution.requested(Request(1, 0, 0, 1, 20, 8, 8, waits=False, plan=-1, plan_before=-1))
    execution.chunk(chunk(1, 20))
    assert run(execution, 120)[-1].due.tick == 67


def test_an_executor_that_begins_while_the_robot_moves_goes_on_at_its_tick():
    execution = Execution(newest, 1.0, ENVELOPE)
    execution.measured(Proprio(0, 0, 0, 41, 60, np.zeros(6), POSE, np.zeros(6), np.zeros(6), 0.5))
    assert execution.plan is not None and execution.plan.next_tick == 41 and not len(execution.plan.planned)
    execution.chunk(ActionChunk(0, 0, 0, 3, 41, 41, 0.0, np.repeat(execution.plan.rows.action[:1], 48, 0), -1))
    assert len(execution.plan.planned) == 48  # a chunk of now is played at once
