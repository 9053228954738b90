"""The PCA codec: the 120 directions in which chunks differ most, as a latent of 12 rows of 10; a linear baseline."""

from pathlib import Path

import numpy as np
import torch

from models.checkpoint import BadCheckpoint, read
from operators.chunks.codec import TIME_FACTOR
from operators.messages import HORIZON
from operators.schema import ACTION_WIDTH

SHAPE = (HORIZON // TIME_FACTOR, ACTION_WIDTH)


class PcaCodec:
    """Projection on the basis of a checkpoint that was made by `fit`."""

    def __init__(self, path: Path):
        checkpoint = read(path)
        if set(checkpoint.tensors) != {"mean", "scale", "basis"}:
            raise BadCheckpoint(f"{checkpoint.path}: expected mean, scale and basis of a pca")
        self.name = checkpoint.name
        self._mean, self._scale, self._basis = (checkpoint.tensors[k].numpy() for k in ("mean", "scale", "basis"))

    def encode(self, relative: np.ndarray) -> np.ndarray:
        """(..., 48, 10) -> (..., 12, 10)."""
        if relative.shape[-2:] != (HORIZON, ACTION_WIDTH):
            raise ValueError(f"expected rows of shape ({HORIZON}, {ACTION_WIDTH}), got {relative.shape}")
        flat = ((relative - self._mean) / self._scale).reshape(*relative.shape[:-2], -1)
        return (flat @ self._basis).reshape(*relative.shape[:-2], *SHAPE)

    def decode(self, latent: np.ndarray) -> np.ndarray:
        """(..., 12, 10) -> (..., 48, 10)."""
        if latent.shape[-2:] != SHAPE:
            raise ValueError(f"expected rows of shape {SHAPE}, got {latent.shape}")
        flat = latent.reshape(*latent.shape[:-2], -1) @ self._basis.T
        return flat.reshape(*latent.shape[:-2], HORIZON, ACTION_WIDTH) * self._scale + self._mean


def fit(chunks: np.ndarray, shift: np.ndarray, scale: np.ndarray) -> dict[str, torch.Tensor]:
    """The codec's tensors.

    Args:
        chunks: (n, 48, 10) relative, more than 120.
        shift, scale: (10,) put channels of different units on one footing.
    """
    flat = ((chunks - shift) / scale).reshape(len(chunks), -1).astype(np.float64)
    centre = flat.mean(0)
    _, basis = np.linalg.eigh((flat - centre).T @ (flat - centre))  # ascending
    mean = centre.reshape(HORIZON, ACTION_WIDTH) * scale + shift
    tensors = {"mean": mean, "scale": scale, "basis": basis[:, ::-1][:, : SHAPE[0] * SHAPE[1]]}
    return {name: torch.tensor(value.copy(), dtype=torch.float32) for name, value in tensors.items()}
