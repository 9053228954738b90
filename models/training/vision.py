"""Train the encoder all policies share (`rtr train-vision`): pictures and state -> the expert's next points.

Labels: twelve points of the expert's chunk, every fourth row from row 3 on, in the tool's axes, and where the path
begins and ends (smooth L1, scaled); whether the task is done and the expert on its way off (logistic loss).
Augmentation: mirroring, light, pixel noise, noise on the state, another force of the tool, as far as the data set's
facts allow. A tenth of the episodes is held out.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.checkpoint import BadCheckpoint, read
from models.encoders.vision import Vision
from models.samplers.diffusion import Average
from models.training.muon import muon
from models.training.options import Options
from models.training.samples import Batch, Samples, varied

PLAIN = "encoder.near.1", "encoder.wrist.1", "encoder.front.1", "encoder.state.0", "head.out.3"  # first and last layers
WEIGHTS = torch.tensor([1.2] * 7 + [0.72] * 5)  # of the points: those after row 27 are hardly ever played
ENDS_WEIGHT, FINISHED_WEIGHT = 0.2, 0.1
DESCRIPTION = """Encodes front and wrist picture and the measured state for all learned policies; frozen while they
are trained. Metrics are distances of the regressed path over the next 0.8 s to the expert's, on held-out and on
trained episodes: {task}
It knows these cameras at these places and no others."""


@dataclass(frozen=True)
class TrainVision(Options):
    """Train the picture encoder that every learned policy uses."""

    steps: int = 5600
    batch: int = 256
    rate: float = 0.02
    """Of Muon."""
    adam_rate: float = 1.2e-3
    """Of AdamW, for biases, norms, first and last layers."""
    width: int = 256
    begin: str = ""
    """A trained encoder to begin from, such as vision:1a2b3c4d: the one in `out`."""
    bfloat16: bool = True
    """Compute in it: twice as fast on a processor that can, much slower on others."""
    threads: int = 2
    """Of the network; another one prepares the pictures."""

    def train(self) -> bool:
        samples = Samples(*self.data)
        facts, scale = samples.facts, samples.facts.point_m
        vision = Vision(facts, self.width)
        if self.begin:
            first = read(self.out / "vision")
            if first.name != self.begin:
                raise BadCheckpoint(f"{first.path}: expected {self.begin} to begin from, got {first.name}")
            first.fill(vision)
        average = Average(vision, Vision(facts, self.width))
        optimiser = muon(vision, self.rate, self.adam_rate, PLAIN)

        batches = Ahead(lambda number: drawn(samples, self.batch, self.seed, number))

        def step(number: int, generator: torch.Generator) -> Tensor:
            batch = batches(number)
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
                features = vision.encoder(*batch[:3])
            labels = vision.head(features.float())
            path = functional.smooth_l1_loss(labels.points, points(batch.chunk, scale), beta=0.05, reduction="none")
            path = (path.mean((0, 2)) * WEIGHTS).mean()
            asked = batch.ends.isfinite()
            miss = functional.smooth_l1_loss(labels.ends[asked], batch.ends[asked] / scale, beta=0.05)
            lift = functional.binary_cross_entropy_with_logits(labels.finished, batch.finished)
            return path + ENDS_WEIGHT * miss.nan_to_num() + FINISHED_WEIGHT * lift

        modules = {"vision": vision, "average": average.module}
        loop = self.loop("vision", modules, optimiser, step, after=average.update)
        finished = loop.run()
        metrics = {**errors(samples, average.module), "minutes": loop.minutes_taken}
        print(metrics)
        if finished:
            about = {"kind": "vision", "description": DESCRIPTION, "architecture": {"width": self.width}}
            about |= {"facts": asdict(facts), "samples": len(samples), "metrics": metrics}
            self.write(self.out / "vision", average.weights, samples.told, about, half=True)
        return finished


class Ahead:
    """Batches by their number; the next is made while one is used."""

    def __init__(self, make: Callable[[int], Batch]):
        self._make, self._pool = make, ThreadPoolExecutor(1)
        self._number, self._next = -1, None

    def __call__(self, number: int) -> Batch:
        made = self._next if self._next and number == self._number else self._pool.submit(self._make, number)
        batch = made.result()
        self._number, self._next = number + 1, self._pool.submit(self._make, number + 1)
        return batch


def drawn(samples: Samples, size: int, seed: int, number: int) -> Batch:
    """The batch of a step, which follows from seed and number alone."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + number)
    rows = samples.trained[torch.randint(len(samples.trained), (size,), generator=generator).numpy()]
    flip = (torch.rand(size, generator=generator) < 0.5) & samples.facts.mirror
    return varied(samples.facts, samples.batch(rows, flip), generator)


def points(chunk: Tensor, scale: float) -> Tensor:
    """Chunks (B, 48, 10) -> every fourth position (B, 12, 3), in units of `scale` [m]."""
    return chunk[:, 3::4, :3] / scale


def errors(samples: Samples, vision: Vision) -> dict[str, float]:
    """Distances [mm] between regressed and true points of held-out rows and of as many trained ones.

    `_one_view` is without the mean over pictures and mirror images that policies get.
    """
    some = np.linspace(0, len(samples.trained) - 1, len(samples.held_out), dtype=int)
    found, scale = {}, samples.facts.point_m
    for name, rows in (("held_out", samples.held_out), ("trained", samples.trained[some])):
        both, one = [], []
        for part in np.array_split(rows, max(1, len(rows) // 256)):
            batch = samples.batch(part, torch.zeros(len(part), dtype=torch.bool))
            true = points(batch.chunk, scale)
            with torch.inference_mode():
                mean = vision(*batch[:3])[:, : true[0].numel()].view_as(true)
                single = vision.head(vision.encoder(*batch[:3])).points
            both.append(1e3 * scale * (mean - true).norm(dim=-1))
            one.append(1e3 * scale * (single - true).norm(dim=-1))
        distance = torch.cat(both)
        found[f"{name}_mm"] = round(float(distance.mean()), 3)
        found[f"{name}_last_mm"] = round(float(distance[:, -1].mean()), 3)
        found[f"{name}_one_view_mm"] = round(float(torch.cat(one).mean()), 3)
    return found
