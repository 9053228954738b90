"""Train the chunk VAE (`rtr train-vae`): mean L1 in normalised space + KL, AdamW, as published.

The weight of KL is ten times the published one: a code that is robust against noise is easier to predict.

Chunks come from the data set; a tenth of its episodes is held out. A part of each batch is turned slowly and given a
moving gripper, whether the task has that or not, so that the codec keeps working where a chunk does.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from models.codecs import pca
from models.codecs.vae import Vae
from models.training.options import Options, one_of
from models.training.samples import Told, read_chunks
from operators.messages import HORIZON
from operators.motion.rotation import matrix_from_6d, matrix_from_vector, sixd_from_matrix

ROTATION_SCALE, GRIPPER_SCALE = 0.1, 0.5
DESCRIPTION = """Packs 48 rows of a 60 Hz chunk, relative to its reference pose, into a latent of 12 rows and back.
Trained on the expert's chunks, recovery included: {task}
Metrics are distances on held-out episodes. It knows motions of this task: slow turns of some degrees and a moving
gripper pass, large ones do not."""
LINEAR = "A linear codec: chunks on their 120 main directions. A baseline for the VAE."
TURNED = 0.15  # part of a batch


@dataclass(frozen=True)
class TrainVae(Options):
    """Train the chunk VAE, or fit the PCA codec to the same chunks."""

    kind: str = "vae"
    """vae or pca."""
    steps: int = 8000
    kl: float = 1e-5
    architecture: dict[str, int] = field(default_factory=lambda: {"width": 48, "hidden": 192})

    def train(self) -> bool:
        one_of("kind", self.kind, ("vae", "pca"))
        train, held_out = (torch.from_numpy(chunks) for chunks in read_chunks(*self.data))
        vae = Vae(**self.architecture)
        vae.shift.copy_(torch.cat([train[..., :3].mean((0, 1)), torch.tensor([1.0, 0, 0, 0, 1, 0, 0])]))
        xyz = train[..., :3].std((0, 1))
        vae.scale.copy_(torch.cat([xyz, torch.full((6,), ROTATION_SCALE), torch.tensor([GRIPPER_SCALE])]))
        if self.kind == "vae":
            return self._train(vae, train, held_out)
        both = torch.cat([train, turned(train, torch.Generator().manual_seed(self.seed))]).numpy()
        tensors = pca.fit(both, vae.shift.numpy(), vae.scale.numpy())
        about = {"kind": "pca", "description": LINEAR, "chunks": len(train)}
        self.write(self.out / "pca", tensors, Told.by(*self.data), about, half=False)
        return True

    def _train(self, vae: Vae, train: Tensor, held_out: Tensor) -> bool:
        optimiser = torch.optim.AdamW(vae.parameters(), self.rate, fused=True)

        def step(number: int, generator: torch.Generator) -> Tensor:
            clean = train[torch.randint(len(train), (self.batch,), generator=generator)]
            part = round(TURNED * self.batch)
            clean = torch.cat([turned(clean[:part], generator), clean[part:]])
            mean, log_variance = vae.posterior(clean)
            noise = torch.randn(mean.shape, generator=generator)
            rebuilt = vae.decode(mean + (log_variance / 2).exp() * noise)
            kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum((1, 2)).mean()
            return ((rebuilt - clean) / vae.scale).abs().mean() + self.kl * kl

        loop = self.loop("vae", {"vae": vae}, optimiser, step)
        if not loop.run():
            return False
        metrics = {**reconstruction(vae, held_out), "held_out": len(held_out), "minutes": loop.minutes_taken}
        about = {"kind": "vae", "description": DESCRIPTION, "architecture": self.architecture, "metrics": metrics}
        self.write(self.out / "vae", vae.state_dict(), Told.by(*self.data), about, half=False)
        return True


def reconstruction(vae: Vae, chunks: Tensor) -> dict[str, float]:
    """Errors of encode-decode on chunks (n, 48, 10): distances of positions [mm] and angles [deg]."""
    with torch.inference_mode():
        rebuilt = vae.decode(vae.posterior(chunks)[0]).numpy()
    distance = 1e3 * np.linalg.norm(rebuilt[..., :3] - chunks[..., :3].numpy(), axis=-1)
    turn = np.swapaxes(matrix_from_6d(chunks[..., 3:9].numpy()), -1, -2) @ matrix_from_6d(rebuilt[..., 3:9])
    angle = np.degrees(np.arccos(np.clip((np.trace(turn, axis1=-2, axis2=-1) - 1) / 2, -1, 1)))
    return {
        "mean_mm": round(float(distance.mean()), 4),
        "p99_mm": round(float(np.quantile(distance, 0.99)), 4),
        "p99_deg": round(float(np.quantile(angle, 0.99)), 4),
    }


def turned(chunks: Tensor, generator: torch.Generator) -> Tensor:
    """Chunks (n, 48, 10) with a slow turn of some degrees and a gripper that moves or is partly closed."""
    n = len(chunks)
    time = torch.linspace(0, 1, HORIZON)[:, None]
    start, end = (0.08 * torch.randn(n, 1, 3, generator=generator) for _ in range(2))
    vector = (
        start + (end - start) * time + 0.04 * torch.randn(n, 1, 3, generator=generator) * torch.sin(torch.pi * time)
    )
    six = sixd_from_matrix(matrix_from_vector(vector.numpy()) @ matrix_from_6d(chunks[..., 3:9].numpy()))
    shut = torch.rand(n, 2, 1, generator=generator)
    ramp = (4 * time + 2 - 4 * torch.rand(n, 1, 1, generator=generator)).clamp(0, 1)
    gripper = shut[:, :1] + (shut[:, 1:] - shut[:, :1]) * ramp
    return torch.cat([chunks[..., :3], torch.from_numpy(six).float(), gripper], -1)
