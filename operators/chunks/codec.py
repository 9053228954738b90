"""Codecs: a 60 Hz chunk (H, 10) relative to its reference pose <-> a latent (H / 4, 10)."""

from functools import lru_cache
from hashlib import sha256
from typing import Protocol

import numpy as np

from operators.messages import HORIZON
from operators.motion.rotation import to_absolute, to_relative
from operators.motion.rows import Rows

TIME_FACTOR = 4  # chunk rows a latent row; the paper chose it among 1, 2, 4, 8, 16


class Codec(Protocol):
    """Anything that packs a chunk into a quarter of its rows; deterministic."""

    @property
    def name(self) -> str:
        """`kind:hash`, so that a latent of another codec is recognised."""
        ...

    def encode(self, relative: np.ndarray) -> np.ndarray:
        """(H, 10) -> (H / 4, 10)."""
        ...

    def decode(self, latent: np.ndarray) -> np.ndarray:
        """(H / 4, 10) -> (H, 10); rotations need not be orthonormal."""
        ...


class DctCodec:
    """Orthogonal projection of each channel on slow functions of time.

    A plain DCT-II mirrors the chunk at its ends, so a chunk that starts and ends in motion gets a kink there and
    errors of a millimetre. A line and a parabola beside the cosines take up the slopes at both ends; QR makes the
    whole orthonormal, so that encode-decode is a projection: idempotent, and the best fit in least squares.
    """

    def __init__(self, horizon: int = HORIZON):
        if horizon % TIME_FACTOR:
            raise ValueError(f"expected a horizon that is a multiple of {TIME_FACTOR}, got {horizon}")
        self.basis = _slow_basis(horizon, horizon // TIME_FACTOR)  # (H, H / 4)
        self.name = f"dct:{sha256(self.basis.round(6).tobytes()).hexdigest()[:8]}"

    def encode(self, relative: np.ndarray) -> np.ndarray:
        return self.basis.T @ relative

    def decode(self, latent: np.ndarray) -> np.ndarray:
        return self.basis @ latent


def reconstruct(chunk: Rows, reference_pose: np.ndarray, codec: Codec) -> Rows:
    """Absolute rows through the codec and back, exact rotations."""
    relative = to_relative(chunk.action, reference_pose)
    return Rows(chunk.tick, to_absolute(codec.decode(codec.encode(relative)), reference_pose))


@lru_cache
def _slow_basis(horizon: int, width: int) -> np.ndarray:
    time = (np.arange(horizon) + 0.5) / horizon
    cosines = [np.cos(np.pi * k * time) for k in range(1, width - 2)]
    basis, _ = np.linalg.qr(np.stack([np.ones(horizon), time, time**2, *cosines], -1))
    return basis * np.sign(basis.sum(0) + 1e-12)  # QR leaves the signs to the library
