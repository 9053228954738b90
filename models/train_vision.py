"""Train the encoder all policies share (`rtr train-vision`): pictures and state -> the expert's next points.

Labels: twelve points of the expert's chunk, every fourth row from row 3 on, in the tool's axes (smooth L1, scaled by
POINT_SCALE), and whether the expert has begun to lift the pen for good (logistic loss). Augmentation: mirroring,
light, pixel noise, noise on the state, another
force of the pen. A tenth of the episodes is held out.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.checkpoint import FOLDER, read, write
from models.diffusion import Average
from models.loop import Loop, decisive
from models.samples import Samples, varied
from models.vision import Encoder, Head

POINT_SCALE = 0.02  # m
FINISHED_WEIGHT = 0.1
DESCRIPTION = """Encodes front and wrist picture and the measured state for all learned policies; frozen while they
are trained. Metrics are distances of the regressed path over the next 0.8 s to the expert's, on held-out and on
trained episodes. It knows the simulated cameras at these places and no others."""


@dataclass(frozen=True)
class TrainVision:
    """Train the picture encoder that every learned policy uses."""

    data: tuple[Path, ...] = (Path("datasets/write_board"),)
    steps: int = 6000
    batch: int = 96
    rate: float = 1.2e-3
    width: int = 256
    begin: Path | None = None
    """A trained encoder to begin from."""
    seed: int = 0
    minutes: float = 10.0
    """Of this piece; the next run goes on."""
    threads: int = 2
    out: Path = FOLDER
    state: Path = Path("out/training")

    def run(self) -> bool:
        """One piece -> whether the checkpoint is written."""
        torch.set_num_threads(self.threads)
        torch.manual_seed(self.seed)
        samples = Samples(*self.data)
        encoder, head = Encoder(self.width), Head(self.width)
        if self.begin:
            read(self.begin).fill(encoder)
        average = Average(encoder, Encoder(self.width))
        average_head = Average(head, Head(self.width))
        weights = [*encoder.parameters(), *head.parameters()]
        optimiser = torch.optim.AdamW(weights, self.rate, weight_decay=0.02, fused=True)

        def step(number: int, generator: torch.Generator) -> Tensor:
            rows = samples.trained[torch.randint(len(samples.trained), (self.batch,), generator=generator).numpy()]
            flip = torch.rand(self.batch, generator=generator) < 0.5
            batch = varied(samples.batch(rows, flip), generator)
            guessed, logit = head(encoder(*batch[:3]))
            near = functional.smooth_l1_loss(guessed, points(batch.chunk), beta=0.05)
            return near + FINISHED_WEIGHT * functional.binary_cross_entropy_with_logits(logit, batch.finished)

        def after() -> None:
            average.update()
            average_head.update()

        modules = {"encoder": encoder, "head": head, "average": average.module, "average_head": average_head.module}
        state = self.state / "vision.safetensors"
        loop = Loop(
            "train vision",
            self.steps,
            state,
            modules,
            optimiser,
            step,
            decisive(self),
            self.seed,
            self.minutes,
            after,
        )
        finished = loop.run()
        metrics = {**errors(samples, average.module, average_head.module), "minutes": round(loop.seconds / 60, 1)}
        print(metrics)
        if finished:
            tensors = {k: v for k, v in average.module.state_dict().items() if k != "updates"}
            about = {"kind": "vision", "task": "write_board", "architecture": {"width": self.width}}
            about |= {
                "description": DESCRIPTION,
                "samples": len(samples),
                "metrics": metrics,
                "configuration": decisive(self),
            }
            write(self.out / "vision", tensors, about)
        return finished


def points(chunk: Tensor) -> Tensor:
    """Chunks (B, 48, 10) -> every fourth position (B, 12, 3), scaled."""
    return chunk[:, 3::4, :3] / POINT_SCALE


def errors(samples: Samples, encoder: nn.Module, head: nn.Module) -> dict[str, float]:
    """Distances [mm] between regressed and true points of held-out rows and of as many trained ones."""
    some = np.linspace(0, len(samples.trained) - 1, len(samples.held_out), dtype=int)
    found = {}
    for name, rows in (("held_out", samples.held_out), ("trained", samples.trained[some])):
        distances = []
        for part in np.array_split(rows, max(1, len(rows) // 256)):
            batch = samples.batch(part, torch.zeros(len(part), dtype=torch.bool))
            with torch.inference_mode():
                guessed, _ = head(encoder(*batch[:3]))
            distances.append(1e3 * POINT_SCALE * (guessed - points(batch.chunk)).norm(dim=-1))
        distance = torch.cat(distances)
        found[f"{name}_mm"] = round(float(distance.mean()), 3)
        found[f"{name}_last_mm"] = round(float(distance[:, -1].mean()), 3)
    return found
