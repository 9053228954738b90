"""Rotations as matrices, rotation vectors and the 6-D form of actions; chunks relative to a reference pose.

The 6-D form is the first two columns of R, one after the other (Zhou et al. 2019, arXiv 1812.07035).
All functions take any leading shape.
"""

import numpy as np

IDENTITY_6D = np.array([1, 0, 0, 0, 1, 0], np.float64)


def matrix_from_6d(six: np.ndarray) -> np.ndarray:
    """(..., 6) -> (..., 3, 3) by Gram-Schmidt; exact rotations for any two independent columns."""
    six = np.asarray(six, np.float64)
    x = _unit(six[..., :3])
    y = six[..., 3:]
    y = _unit(y - np.sum(x * y, -1, keepdims=True) * x)
    return np.stack([x, y, _cross(x, y)], -1)


def sixd_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> (..., 6)."""
    return np.concatenate([matrix[..., 0], matrix[..., 1]], -1)


def orthonormal_6d(six: np.ndarray) -> np.ndarray:
    """Gram-Schmidt on the 6-D form, as every decoder, blend and mean must end."""
    return sixd_from_matrix(matrix_from_6d(six))


def is_orthonormal(six: np.ndarray) -> bool:
    """Whether all of (..., 6) are two unit columns at right angles, to a hundredth; not if there is a NaN."""
    columns = np.asarray(six, np.float64).reshape(-1, 2, 3)
    return bool((np.abs(columns @ columns.swapaxes(1, 2) - np.eye(2)) <= 1e-2).all())


def matrix_from_vector(vector: np.ndarray) -> np.ndarray:
    """Rotation vector [rad] (..., 3) -> (..., 3, 3), Rodrigues' formula."""
    vector = np.asarray(vector, np.float64)
    angle = np.linalg.norm(vector, axis=-1)[..., None, None]
    cross = _cross_matrix(vector)
    sine = np.sinc(angle / np.pi)  # sin(a) / a
    cosine = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2  # (1 - cos(a)) / a^2
    return np.eye(3) + sine * cross + cosine * (cross @ cross)


def vector_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> rotation vector [rad] (..., 3), angle in 0..pi."""
    quaternion = quaternion_from_matrix(matrix)
    xyz = quaternion[..., 1:]
    length = np.linalg.norm(xyz, axis=-1, keepdims=True)
    angle = 2 * np.arctan2(length, quaternion[..., :1])
    return xyz * np.where(length > 1e-12, angle / np.maximum(length, 1e-12), 2.0)


def quaternion_from_matrix(matrix: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> unit quaternion w x y z with w >= 0, (..., 4).

    Of a rotation, Bar-Itzhack's matrix is 4 q q^T - 1: its longest column, with the 1 added, is q but for its length.
    """
    m = np.asarray(matrix, np.float64)
    k = np.empty((*m.shape[:-2], 4, 4))
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    k[..., 0, 0] = trace
    for i in range(3):
        j, n = (i + 1) % 3, (i + 2) % 3
        k[..., 0, i + 1] = k[..., i + 1, 0] = m[..., n, j] - m[..., j, n]
        k[..., i + 1, i + 1] = 2 * m[..., i, i] - trace
        k[..., i + 1, j + 1] = k[..., j + 1, i + 1] = m[..., i, j] + m[..., j, i]
    longest = np.argmax(np.diagonal(k, axis1=-2, axis2=-1), -1)
    vector = np.take_along_axis(k + np.eye(4), longest[..., None, None], -1)[..., 0]
    return _unit(vector) * np.where(vector[..., :1] < 0, -1.0, 1.0)


def pose_matrix(pose: np.ndarray) -> np.ndarray:
    """xyz [m] and rotation vector [rad] (6,) -> (4, 4)."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = matrix_from_vector(pose[3:]), pose[:3]
    return matrix


def mean_matrix(matrix: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Weighted mean of rotations along the first axis: (k, ..., 3, 3), (k, ...) -> (..., 3, 3).

    The rotation with the least weighted sum of squared Frobenius distances, by SVD; the same as the mean of quaternions
    by Markley et al. 2007.
    """
    total = np.einsum("k...,k...ij->...ij", weight, matrix)
    left, _, right = np.linalg.svd(total)
    left[..., 2] *= np.linalg.det(left @ right)[..., None]
    return left @ right


def action_from_pose(pose: np.ndarray, gripper: float | np.ndarray = 0.0) -> np.ndarray:
    """TCP pose (..., 6) and gripper -> action (..., 10) float32."""
    pose = np.asarray(pose, np.float64)
    six = sixd_from_matrix(matrix_from_vector(pose[..., 3:]))
    hand = np.broadcast_to(np.asarray(gripper, np.float64)[..., None], (*pose.shape[:-1], 1))
    return np.concatenate([pose[..., :3], six, hand], -1).astype(np.float32)


def pose_from_action(action: np.ndarray) -> np.ndarray:
    """Action (..., 10) -> TCP pose (..., 6)."""
    action = np.asarray(action, np.float64)
    return np.concatenate([action[..., :3], vector_from_matrix(matrix_from_6d(action[..., 3:9]))], -1)


def to_relative(action: np.ndarray, reference_pose: np.ndarray) -> np.ndarray:
    """Absolute actions (..., 10) -> in the frame of a pose: R_ref^T (p - p_ref), R_ref^T R.

    In the tool's own axes the same motion over a board looks the same however the board is tilted, and as the wrist
    camera sees it.
    """
    action, reference = np.asarray(action, np.float64), np.asarray(reference_pose, np.float64)
    frame = matrix_from_vector(reference[3:])
    turned = frame.T @ matrix_from_6d(action[..., 3:9])
    return np.concatenate([(action[..., :3] - reference[:3]) @ frame, sixd_from_matrix(turned), action[..., 9:]], -1)


def to_absolute(relative: np.ndarray, reference_pose: np.ndarray) -> np.ndarray:
    """The inverse of `to_relative`, float32, with exact rotations and the gripper in 0..1, whatever was predicted."""
    relative, reference = np.asarray(relative, np.float64), np.asarray(reference_pose, np.float64)
    frame = matrix_from_vector(reference[3:])
    turned = frame @ matrix_from_6d(relative[..., 3:9])
    whole = [relative[..., :3] @ frame.T + reference[:3], sixd_from_matrix(turned), np.clip(relative[..., 9:], 0, 1)]
    return np.concatenate(whole, -1).astype(np.float32)


def angle_between(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Angle [rad] between the rotations of two actions (..., 10)."""
    turn = np.swapaxes(matrix_from_6d(left[..., 3:9]), -1, -2) @ matrix_from_6d(right[..., 3:9])
    return np.linalg.norm(vector_from_matrix(turn), axis=-1)


def _unit(vector: np.ndarray) -> np.ndarray:
    length = np.sqrt(np.add.reduce(vector * vector, -1, keepdims=True))  # as np.linalg.norm, without its detours
    return vector / np.maximum(length, 1e-12)


def _cross(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(..., 3) x (..., 3); five times as fast as np.cross, bit by bit the same."""
    a, b, c, x, y, z = (side[..., axis] for side in (left, right) for axis in range(3))
    out = np.empty(left.shape)
    out[..., 0], out[..., 1], out[..., 2] = b * z - c * y, c * x - a * z, a * y - b * x
    return out


def _cross_matrix(vector: np.ndarray) -> np.ndarray:
    x, y, z = vector[..., 0], vector[..., 1], vector[..., 2]
    zero = np.zeros_like(x)
    return np.stack([np.stack([zero, -z, y], -1), np.stack([z, zero, -x], -1), np.stack([-y, x, zero], -1)], -2)
