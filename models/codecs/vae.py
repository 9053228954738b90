"""The chunk VAE: 48 rows of 60 Hz <-> a latent of 12 rows, both 10 wide ("Learning High-Frequency Continuous Action
Chunks in Latent Space", arXiv 2605.24931; our own code).

Encoder as published: two convolutions of stride 2, then 1x1 to mean and log-variance. Decoder as published, a 1x1
convolution, flatten and an MLP, with two changes. A linear path beside the MLP makes it more precise. And it gives
weights of slow functions of time (those of the DCT codec) instead of rows: rows of an MLP jitter by themselves, and
more so when the latent is a policy's.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from models.checkpoint import read
from operators.chunks.codec import TIME_FACTOR, DctCodec
from operators.messages import HORIZON
from operators.schema import ACTION_WIDTH

LATENT = HORIZON // TIME_FACTOR  # rows


class Vae(nn.Module):
    """Works on batches (B, 48, 10) of chunks relative to their reference pose; normalises them itself."""

    shift: Tensor  # (10,)
    scale: Tensor
    basis: Tensor  # (48, 12)

    def __init__(self, width: int = 48, hidden: int = 192):
        super().__init__()
        self.register_buffer("shift", torch.zeros(ACTION_WIDTH))
        self.register_buffer("scale", torch.ones(ACTION_WIDTH))
        self.encoder = nn.Sequential(
            nn.Conv1d(ACTION_WIDTH, width, 5, 2, 2),
            nn.ReLU(),
            nn.Conv1d(width, width, 5, 2, 2),
            nn.ReLU(),
            nn.Conv1d(width, 2 * ACTION_WIDTH, 1),
        )
        self.register_buffer("basis", torch.tensor(DctCodec().basis, dtype=torch.float32), persistent=False)
        flat, out = LATENT * ACTION_WIDTH, self.basis.shape[1] * ACTION_WIDTH
        self.mix = nn.Conv1d(ACTION_WIDTH, ACTION_WIDTH, 1)
        self.curve = nn.Sequential(
            nn.Linear(flat, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, out)
        )
        self.line = nn.Linear(flat, out)

    def scaled(self, chunk: Tensor) -> Tensor:
        """(..., 10) -> the same with channels of order one."""
        return (chunk - self.shift) / self.scale

    def posterior(self, chunk: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 48, 10) -> mean and log-variance, (B, 12, 10) each."""
        code = self.encoder(self.scaled(chunk).mT).mT
        mean, log_variance = code.chunk(2, -1)
        return mean, log_variance.clamp(-20, 4)

    def decode(self, latent: Tensor) -> Tensor:
        """(B, 12, 10) -> (B, 48, 10)."""
        flat = self.mix(latent.mT).mT.flatten(1)
        weights = (self.line(flat) + self.curve(flat)).unflatten(1, (-1, ACTION_WIDTH))
        return self.basis @ weights * self.scale + self.shift


class VaeCodec:
    """A trained VAE as a codec; encodes with the posterior mean, so it is deterministic."""

    def __init__(self, path: Path):
        checkpoint = read(path)
        self.name = checkpoint.name
        self.vae = Vae(**checkpoint.about["architecture"]).eval().requires_grad_(False)
        checkpoint.fill(self.vae)

    def encode(self, relative: np.ndarray) -> np.ndarray:
        """(48, 10) or (B, 48, 10) -> (..., 12, 10) float32."""
        return self._apply(lambda chunk: self.vae.posterior(chunk)[0], relative, HORIZON)

    def decode(self, latent: np.ndarray) -> np.ndarray:
        """(12, 10) or (B, 12, 10) -> (..., 48, 10) float32."""
        return self._apply(self.vae.decode, latent, LATENT)

    def _apply(self, function, values: np.ndarray, rows: int) -> np.ndarray:
        values = np.asarray(values, np.float32)
        if values.shape[-2:] != (rows, ACTION_WIDTH):
            raise ValueError(f"expected rows of shape ({rows}, {ACTION_WIDTH}), got {values.shape}")
        batch = torch.tensor(values.reshape(-1, rows, ACTION_WIDTH))  # a copy: what is received is read-only
        with torch.inference_mode():
            out = function(batch).numpy()
        return out.reshape(*values.shape[:-2], *out.shape[1:])
