"""Kinematics of the UR5e from the Denavit-Hartenberg parameters that Universal Robots publishes.

Frames: `base` is the robot's base frame, the flange is the sixth DH frame (z out of the tool plate). Every function
takes `tcp`, the pose of the tool centre point in the flange frame as a (4, 4) matrix; the default is the flange itself.
Angles are in radians, lengths in metres.
"""

import numpy as np

from operators.motion.rotation import vector_from_matrix

D = np.array([0.1625, 0.0, 0.0, 0.1333, 0.0997, 0.0996])  # m, along z
A = np.array([0.0, -0.425, -0.3922, 0.0, 0.0, 0.0])  # m, along x
ALPHA = np.array([np.pi / 2, 0.0, 0.0, np.pi / 2, -np.pi / 2, 0.0])  # rad, about x
FLANGE = np.eye(4)

_COS_ALPHA, _SIN_ALPHA = np.round(np.cos(ALPHA)), np.round(np.sin(ALPHA))  # all twists are quarter turns or none
_STEPS = np.zeros((6, 4, 4))  # from frame to frame, as far as it does not depend on the angles
_STEPS[:, 2, 1], _STEPS[:, 2, 2], _STEPS[:, 2, 3], _STEPS[:, 3, 3] = _SIN_ALPHA, _COS_ALPHA, D, 1.0
_DAMPING = 1e-6  # squared; small against J J^T, so that regular poses converge as Newton's method does


class Unreachable(ValueError):
    """No joint angles near the guess give the pose."""


def forward(q: np.ndarray, tcp: np.ndarray = FLANGE) -> np.ndarray:
    """Joint angles (6,) -> pose of the TCP in the base frame, (4, 4)."""
    return _frames(q)[-1] @ tcp


def jacobian(q: np.ndarray, tcp: np.ndarray = FLANGE) -> np.ndarray:
    """Joint angles (6,) -> (6, 6): columns are the TCP's velocity [m/s; rad/s, base frame] per joint velocity."""
    return pose_and_jacobian(q, tcp)[1]


def pose_and_jacobian(q: np.ndarray, tcp: np.ndarray = FLANGE) -> tuple[np.ndarray, np.ndarray]:
    """`forward` and `jacobian` at once."""
    frames = _frames(q)
    pose = frames[-1] @ tcp
    return pose, _jacobian(frames, pose[:3, 3])


def inverse(pose: np.ndarray, q_guess: np.ndarray, tcp: np.ndarray = FLANGE, iterations: int = 30) -> np.ndarray:
    """Joint angles (6,) that bring the TCP to `pose` (4, 4), by damped least squares from `q_guess` (6,).

    Follows the branch of the guess: two or three iterations when it is a tick away.

    Raises:
        Unreachable: not within 10 micrometres and 10 microradians after `iterations`.
    """
    q = np.array(q_guess, np.float64)
    for _ in range(iterations):
        frames = _frames(q)
        reached = frames[-1] @ tcp
        error = _error(reached, pose)
        if np.abs(error).max() < 1e-8:
            return q
        columns = _jacobian(frames, reached[:3, 3])
        q += columns.T @ np.linalg.solve(columns @ columns.T + _DAMPING * np.eye(6), error)
    if np.abs(_error(forward(q, tcp), pose)).max() > 1e-5:
        raise Unreachable(f"expected a pose within reach of the guess, got {np.round(pose[:3, 3], 4)} m")
    return q


def _frames(q: np.ndarray) -> np.ndarray:
    """Poses of the base and the six DH frames in the base frame, (7, 4, 4)."""
    c, s = np.cos(q), np.sin(q)
    steps = _STEPS.copy()
    steps[:, 0, 0], steps[:, 0, 1], steps[:, 0, 2], steps[:, 0, 3] = c, -s * _COS_ALPHA, s * _SIN_ALPHA, A * c
    steps[:, 1, 0], steps[:, 1, 1], steps[:, 1, 2], steps[:, 1, 3] = s, c * _COS_ALPHA, -c * _SIN_ALPHA, A * s
    frames = np.empty((7, 4, 4))
    frames[0] = np.eye(4)
    for i in range(6):
        np.matmul(frames[i], steps[i], out=frames[i + 1])
    return frames


def _jacobian(frames: np.ndarray, point: np.ndarray) -> np.ndarray:
    axes, arms = frames[:6, :3, 2], point - frames[:6, :3, 3]
    columns = np.empty((6, 6))
    columns[0] = axes[:, 1] * arms[:, 2] - axes[:, 2] * arms[:, 1]
    columns[1] = axes[:, 2] * arms[:, 0] - axes[:, 0] * arms[:, 2]
    columns[2] = axes[:, 0] * arms[:, 1] - axes[:, 1] * arms[:, 0]
    columns[3:] = axes.T
    return columns


def _error(pose: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Twist (6,) from `pose` to `wanted`, base frame."""
    return np.concatenate([wanted[:3, 3] - pose[:3, 3], _rotation_vector(wanted[:3, :3] @ pose[:3, :3].T)])


def _rotation_vector(matrix: np.ndarray) -> np.ndarray:
    """(3, 3) -> (3,) rad. The antisymmetric part is five times cheaper, and exact below a quarter turn."""
    cosine = (matrix[0, 0] + matrix[1, 1] + matrix[2, 2] - 1) / 2
    if cosine < 0:
        return vector_from_matrix(matrix)
    axis = np.array([matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]]) / 2
    sine = np.sqrt(axis @ axis)
    return axis * (np.arctan2(sine, cosine) / sine if sine > 1e-12 else 1.0)
