"""UR5e kinematics against the published zero pose, finite differences and themselves."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.motion.kinematics import Unreachable, forward, inverse, jacobian
from operators.motion.rotation import matrix_from_vector, vector_from_matrix

TCP = np.eye(4)
TCP[:3, :3], TCP[:3, 3] = matrix_from_vector(np.array([0.2, -0.1, 0.4])), [0.01, 0.02, 0.18]
WORKING = np.array([2.80, -1.71, 2.22, -2.37, -1.47, 1.25])  # rad, elbow up over the table
angles = st.lists(st.floats(-3.1, 3.1), min_size=6, max_size=6).map(np.array)
nearby = st.lists(st.floats(-0.15, 0.15), min_size=6, max_size=6).map(np.array)


def test_zero_angles_give_the_published_pose():
    pose = forward(np.zeros(6))
    assert np.allclose(pose[:3, 3], [-0.425 - 0.3922, -0.1333 - 0.0996, 0.1625 - 0.0997])
    assert np.allclose(pose[:3, :3], [[1, 0, 0], [0, 0, -1], [0, 1, 0]])


def test_upright_arm_stands_above_its_base():
    pose = forward(np.array([0, -np.pi / 2, 0, -np.pi / 2, 0, 0]))
    assert np.allclose(pose[:3, 3], [0, -0.1333 - 0.0996, 0.1625 + 0.425 + 0.3922 + 0.0997])


@given(angles)
def test_jacobian_is_the_derivative_of_forward(q):
    step = 1e-6
    columns = jacobian(q, TCP)
    for joint in range(6):
        moved = forward(q + step * np.eye(6)[joint], TCP)
        still = forward(q, TCP)
        turn = vector_from_matrix(moved[:3, :3] @ still[:3, :3].T)
        numeric = np.concatenate([moved[:3, 3] - still[:3, 3], turn]) / step
        assert np.allclose(columns[:, joint], numeric, atol=1e-5)


@given(nearby)
def test_inverse_finds_the_angles_nearest_to_the_guess(offset):
    q = inverse(forward(WORKING + offset, TCP), WORKING, TCP)
    assert np.allclose(q, WORKING + offset, atol=1e-6)


def test_a_pose_out_of_reach_is_refused_and_named():
    far = forward(WORKING)
    far[:3, 3] = [3.0, 0.0, 0.0]
    with pytest.raises(Unreachable, match="expected a pose within reach"):
        inverse(far, WORKING)
