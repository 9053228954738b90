"""Rotations against scipy over a few thousand of them, and the conventions of relative chunks by hand."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from operators.motion.rotation import (
    IDENTITY_6D,
    action_from_pose,
    angle_between,
    is_orthonormal,
    matrix_from_6d,
    matrix_from_vector,
    mean_matrix,
    orthonormal_6d,
    pose_from_action,
    quaternion_from_matrix,
    sixd_from_matrix,
    to_absolute,
    to_relative,
    vector_from_matrix,
)

DRAW = np.random.default_rng(7)
AXES = np.concatenate([np.eye(3), -np.eye(3), DRAW.standard_normal((494, 3))])
AXES /= np.linalg.norm(AXES, axis=-1, keepdims=True)
ANGLES = np.array([0, 1e-13, 1e-9, 1e-6, 0.1, 1.0, np.pi / 2, 2.0, np.pi - 1e-3, np.pi - 1e-6])
VECTORS = (AXES[:, None] * ANGLES[:, None]).reshape(-1, 3)  # (5000, 3): every axis with every angle
POSES = np.concatenate([DRAW.uniform(-1, 1, VECTORS.shape), VECTORS], -1)


def test_matrices_are_those_of_scipy_and_lead_back():
    matrices = matrix_from_vector(VECTORS)
    assert np.allclose(matrices, Rotation.from_rotvec(VECTORS).as_matrix(), atol=1e-12)
    assert np.allclose(vector_from_matrix(matrices), VECTORS, atol=1e-8)


def test_half_a_turn_keeps_its_axis_whatever_the_sign():
    vectors = vector_from_matrix(matrix_from_vector(np.pi * AXES))
    assert np.allclose(np.linalg.norm(vectors, axis=-1), np.pi, atol=1e-7)
    assert np.allclose(np.abs(np.sum(vectors * AXES, -1)), np.pi, atol=1e-7)


def test_quaternions_are_those_of_scipy_with_positive_w():
    ours = quaternion_from_matrix(matrix_from_vector(VECTORS))
    xyzw = Rotation.from_rotvec(VECTORS).as_quat(canonical=True)
    assert (ours[:, 0] >= 0).all() and np.allclose(ours, xyzw[:, [3, 0, 1, 2]], atol=1e-8)


def test_any_two_independent_columns_become_a_rotation():
    six = DRAW.uniform(-2, 2, (2000, 6))
    matrices = matrix_from_6d(six)
    assert np.allclose(np.swapaxes(matrices, -1, -2) @ matrices, np.eye(3), atol=1e-9)
    assert np.allclose(np.linalg.det(matrices), 1)
    # The first column keeps its direction, the second its half plane.
    assert np.allclose(matrices[..., 0], six[:, :3] / np.linalg.norm(six[:, :3], axis=-1, keepdims=True))
    assert (np.sum(matrices[..., 1] * six[:, 3:], -1) > 0).all()


def test_the_6d_form_is_the_first_two_columns_one_after_the_other():
    matrices = matrix_from_vector(VECTORS)
    six = sixd_from_matrix(matrices)
    assert np.array_equal(six[123], [*matrices[123][:, 0], *matrices[123][:, 1]])
    assert np.allclose(matrix_from_6d(six), matrices) and np.allclose(orthonormal_6d(3 * six), six)


def test_orthonormal_columns_are_told_from_others():
    six = sixd_from_matrix(matrix_from_vector(VECTORS))
    assert is_orthonormal(six) and is_orthonormal(np.zeros((0, 6)))
    for bad in (np.zeros(6), 1.1 * IDENTITY_6D, [1, 0, 0, 0.1, 1, 0], [1, 0, 0, 1, 0, 0], [np.nan, 0, 0, 0, 1, 0]):
        assert not is_orthonormal(np.insert(six, 9, bad, axis=0))


def test_a_pose_survives_as_an_action():
    gripper = np.linspace(0, 1, len(POSES))
    actions = action_from_pose(POSES, gripper)
    assert actions.shape == (len(POSES), 10) and actions.dtype == np.float32
    assert np.array_equal(actions[:, 9], gripper.astype(np.float32))
    back = pose_from_action(actions)
    assert np.allclose(back[:, :3], POSES[:, :3], atol=1e-7)
    assert np.allclose(matrix_from_vector(back[:, 3:]), matrix_from_vector(POSES[:, 3:]), atol=1e-6)


def test_relative_and_absolute_are_inverse():
    actions = action_from_pose(POSES, 0.3)
    for reference in POSES[::500]:
        assert np.allclose(to_absolute(to_relative(actions, reference), reference), actions, atol=1e-6)
        assert np.allclose(to_relative(action_from_pose(reference), reference), [0, 0, 0, *IDENTITY_6D, 0], atol=1e-6)


def test_relative_means_the_axes_of_the_reference_pose():
    reference = np.array([1.0, 2.0, 3.0, 0, 0, np.pi / 2])  # its x points along base y, its y against base x
    pose = np.concatenate([[1.1, 2.02, 3.003], Rotation.from_euler("ZX", [90, 30], degrees=True).as_rotvec()])
    relative = to_relative(action_from_pose(pose), reference)
    assert np.allclose(relative[:3], [0.02, -0.1, 0.003], atol=1e-6)  # R_ref^T (p - p_ref)
    expected = Rotation.from_euler("X", 30, degrees=True).as_matrix()  # R_ref^T R
    assert np.allclose(matrix_from_6d(relative[3:9]), expected, atol=1e-6)


def test_relative_does_not_depend_on_where_the_base_stands():
    """The same motion seen from a base that was moved and turned."""
    turn, place = matrix_from_vector(np.array([0.3, -0.8, 1.1])), np.array([0.5, -0.2, 0.7])

    def moved(pose: np.ndarray) -> np.ndarray:
        turned = vector_from_matrix(turn @ matrix_from_vector(pose[..., 3:]))
        return np.concatenate([pose[..., :3] @ turn.T + place, turned], -1)

    here = to_relative(action_from_pose(POSES), POSES[77])
    there = to_relative(action_from_pose(moved(POSES)), moved(POSES[77]))
    assert np.allclose(here, there, atol=1e-6)


def test_absolute_rotations_are_exact_whatever_was_predicted():
    predicted = np.concatenate([np.zeros((500, 3)), DRAW.uniform(-2, 2, (500, 6)), DRAW.uniform(-1, 2, (500, 1))], -1)
    absolute = to_absolute(predicted, POSES[77])
    assert absolute.dtype == np.float32 and np.allclose(absolute[:, 9], predicted[:, 9].clip(0, 1))
    assert np.allclose(orthonormal_6d(absolute[:, 3:9]), absolute[:, 3:9], atol=1e-6)


def test_angle_between_is_the_angle_of_the_turn():
    turned = vector_from_matrix(matrix_from_vector(POSES[:, 3:]) @ matrix_from_vector(VECTORS[::-1]))
    found = angle_between(action_from_pose(POSES), action_from_pose(np.concatenate([POSES[:, :3], turned], -1)))
    assert found == pytest.approx(np.linalg.norm(VECTORS[::-1], axis=-1), abs=2e-3)  # float32, near half a turn


def test_the_mean_of_rotations_is_that_of_quaternions_and_no_reflection():
    turns = matrix_from_vector(VECTORS[:300].reshape(3, 100, 3))
    weight = DRAW.uniform(0.1, 1, (3, 100))
    found = mean_matrix(turns, weight)
    assert np.allclose(np.linalg.det(found), 1)
    for i in range(0, 100, 7):
        expected = Rotation.from_matrix(turns[:, i]).mean(weight[:, i]).as_matrix()
        assert np.allclose(found[i], expected, atol=1e-6)
