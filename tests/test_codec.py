"""The DCT codec: a projection that keeps everything slow."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.chunks.codec import DctCodec, reconstruct
from operators.messages import HZ
from operators.motion.rotation import IDENTITY_6D, action_from_pose, angle_between, orthonormal_6d
from operators.motion.rows import Rows, rows

CODEC = DctCodec()
TIME = np.arange(48) / HZ  # s
REFERENCE = np.array([0.4, -0.2, 0.1, 2.0, 1.5, -0.3])
chunks = arrays(np.float64, (48, 10), elements=st.floats(-1, 1, width=32))


def moving(place: np.ndarray, turn: np.ndarray | None = None) -> Rows:
    """Rows from tick 7 on along xyz (48, 3) and rotation vectors (48, 3)."""
    turn = np.zeros((48, 3)) if turn is None else turn
    return rows(7, action_from_pose(np.concatenate([REFERENCE[:3] + place, REFERENCE[3:] + turn], -1), 0.5))


@settings(max_examples=30)
@given(chunks, chunks)
def test_encode_decode_is_an_orthogonal_projection(chunk, other):
    once = CODEC.decode(CODEC.encode(chunk))
    assert np.allclose(CODEC.decode(CODEC.encode(once)), once, atol=1e-12)
    residual = chunk - once
    assert np.allclose(CODEC.encode(residual), 0, atol=1e-12)  # so no other latent comes nearer
    assert np.allclose(CODEC.decode(CODEC.encode(chunk + other)), once + CODEC.decode(CODEC.encode(other)), atol=1e-12)


def test_a_latent_has_a_quarter_of_the_rows_and_the_same_width():
    assert CODEC.encode(np.zeros((48, 10))).shape == (12, 10)
    assert CODEC.decode(np.zeros((12, 10))).shape == (48, 10)
    assert DctCodec(32).encode(np.zeros((32, 10))).shape == (8, 10)


@pytest.mark.parametrize("power", [0, 1, 2])
def test_rest_constant_velocity_and_constant_acceleration_are_exact(power):
    chunk = np.outer(TIME**power, np.linspace(-0.5, 0.5, 10))
    assert np.abs(CODEC.decode(CODEC.encode(chunk)) - chunk).max() < 1e-6


def test_a_smooth_stroke_loses_less_than_a_tenth_of_a_millimetre():
    """Curves of handwriting at up to 150 mm/s, wherever in the stroke the chunk begins and ends."""
    for phase in np.linspace(0, 6, 13):
        x = 0.020 * np.sin(2 * np.pi * 1.0 * TIME + phase)
        y = 0.010 * np.sin(2 * np.pi * 1.7 * TIME + 2 * phase)
        stroke = moving(np.stack([x, y, 0.05 * TIME], -1), np.outer(np.sin(3 * TIME + phase), [0.2, 0.1, 0]))
        found = reconstruct(stroke, REFERENCE, CODEC)
        assert np.linalg.norm(found.action[:, :3] - stroke.action[:, :3], axis=-1).max() < 1e-4
        assert angle_between(found.action, stroke.action).max() < 2e-3


def test_a_jump_is_smoothed():
    place = np.zeros((48, 3))
    place[20:, 0] = 0.01
    found = reconstruct(moving(place), REFERENCE, CODEC)
    assert np.abs(np.diff(found.action[:, 0])).max() < 0.5 * 0.01


@settings(max_examples=30)
@given(chunks)
def test_reconstructed_rotations_are_orthonormal_and_ticks_stay(noise):
    wild = moving(noise[:, :3], 0.5 * noise[:, 3:6])
    found = reconstruct(wild, REFERENCE, CODEC)
    assert found.tick == 7 and len(found) == 48 and found.action.dtype == np.float32
    assert np.allclose(orthonormal_6d(found.action[:, 3:9]), found.action[:, 3:9], atol=1e-6)


def test_reconstruct_is_relative_to_the_reference_pose():
    """A latent of a chunk that rests at its reference pose says: no motion, no turn."""
    seen = []

    class Watching(DctCodec):
        def encode(self, relative: np.ndarray) -> np.ndarray:
            seen.append(relative)
            return super().encode(relative)

    reconstruct(moving(np.zeros((48, 3))), REFERENCE, Watching())
    assert np.allclose(seen[0], [0, 0, 0, *IDENTITY_6D, 0.5], atol=1e-6)


def test_another_horizon_is_refused():
    with pytest.raises(ValueError, match="multiple of 4, got 50"):
        DctCodec(50)
    for wrong in (47, 44, 12):
        with pytest.raises(ValueError):
            reconstruct(moving(np.zeros((48, 3))).between(7, 7 + wrong), REFERENCE, CODEC)
    for wrong in (11, 13, 48):
        with pytest.raises(ValueError):
            CODEC.decode(np.zeros((wrong, 10)))


def test_the_name_tells_codecs_apart():
    assert CODEC.name == DctCodec(48).name != DctCodec(32).name
    assert CODEC.name.startswith("dct:") and len(CODEC.name) == len("dct:") + 8
