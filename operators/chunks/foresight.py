"""The state at which a chunk will take over: measured now, moved on by the actions on their way (VLASH,
"Real-Time VLAs via Future-state-aware Asynchronous Inference", arXiv 2512.01031; our own code)."""

import numpy as np

from operators.messages import HZ, Proprio
from operators.motion.rotation import matrix_from_6d, matrix_from_vector, vector_from_matrix
from operators.motion.rows import Rows

LARGEST_LAG = 8  # ticks a robot may be behind its commands


def rolled_forward(proprio: Proprio, plan: Rows, takeover: int) -> Proprio:
    """The state before the action of tick `takeover`, or of the first tick after the plan.

    A robot follows its commands with a lag: the row it was nearest to, up to 8 before the newest, says which. The lag
    and what is left between that row and the robot stay as they are. Velocities are those of the row it will be at;
    joints and force are as measured: nothing says how they change.

    Args:
        proprio: measured; `tick` is the next to be applied.
        plan: executed and planned rows. Without the one before `proprio.tick` the state stays as it is.
    """
    takeover = min(takeover, plan.end)
    newest = proprio.tick - 1
    if not plan.tick <= newest < takeover - 1:
        return proprio
    behind = plan.between(newest - LARGEST_LAG, newest + 1).action[::-1, :3]  # newest first: where it stands, no lag
    lag = int(np.argmin(np.linalg.norm(behind - proprio.tcp_pose[:3], axis=-1).round(6)))
    now, then = newest - lag, takeover - 1 - lag
    action = {tick: plan.at(tick).astype(np.float64) for tick in (now, then - 1, then)}
    matrix = {tick: matrix_from_6d(row[3:9]) for tick, row in action.items()}
    turned = matrix[then] @ matrix[now].T @ matrix_from_vector(proprio.tcp_pose[3:])
    pose = np.concatenate([proprio.tcp_pose[:3] + (action[then] - action[now])[:3], vector_from_matrix(turned)])
    velocity = [(action[then] - action[then - 1])[:3], vector_from_matrix(matrix[then] @ matrix[then - 1].T)]
    return proprio._replace(tick=takeover, tcp_pose=pose, tcp_velocity=HZ * np.concatenate(velocity))
