"""Train the encoder all policies share (`rtr train-vision`): pictures and state -> the expert's next points.

Labels: twelve points of the expert's chunk, every fourth row from row 3 on, in the tool's axes (smooth L1, scaled by
POINT_SCALE), and whether the expert has begun to lift the pen for good (logistic loss). Augmentation: mirroring,
brightness and contrast, pixel noise, and withheld velocity. A tenth of the episodes is held out.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.checkpoint import FOLDER, write
from models.diffusion import Average
from models.loop import Loop, decisive
from models.samples import held_out_from, open_cache, relative_chunks, states
from models.vision import CHUNK_MIRROR, STATE_MIRROR, Encoder, Head

POINT_SCALE = 0.02  # m
FINISHED = 40  # ticks before the end of the expert's lift: the pen is leaving the board
FINISHED_WEIGHT = 0.1


@dataclass(frozen=True)
class TrainVision:
    """Train the picture encoder that every learned policy uses."""

    data: Path = Path("datasets/write_board")
    steps: int = 6000
    batch: int = 96
    rate: float = 1.2e-3
    withheld: float = 0.15
    """Share of samples whose velocity is hidden, so that the encoder learns to tell the direction from the picture."""
    width: int = 256
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
        samples = Samples(self.data, self.withheld)
        encoder, head = Encoder(self.width), Head(self.width)
        average = Average(encoder, Encoder(self.width))
        average_head = Average(head, Head(self.width))
        weights = [*encoder.parameters(), *head.parameters()]
        optimiser = torch.optim.AdamW(weights, self.rate, weight_decay=0.02, fused=True)

        def step(number: int, generator: torch.Generator) -> Tensor:
            rows = torch.randint(samples.split, (self.batch,), generator=generator).numpy()
            *given, points, finished = samples.draw(rows, generator)
            guessed, logit = head(encoder(*given))
            near = functional.smooth_l1_loss(guessed, points, beta=0.05)
            return near + FINISHED_WEIGHT * functional.binary_cross_entropy_with_logits(logit, finished)

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
        metrics = {**samples.errors(average.module, average_head.module), "minutes": round(loop.seconds / 60, 1)}
        print(metrics)
        if finished:
            tensors = {k: v for k, v in average.module.state_dict().items() if k != "updates"}
            about = {"kind": "vision", "task": "write_board", "architecture": {"width": self.width}}
            about |= {"episodes": len(samples.cache.starts) - 1, "metrics": metrics, "configuration": decisive(self)}
            write(self.out / "vision", tensors, about)
        return finished


class Samples:
    """Pictures, states and labels of a data set, drawn with augmentation."""

    def __init__(self, data: Path, withheld: float):
        self.cache, self.withheld = open_cache(data), withheld
        self.split = held_out_from(self.cache)
        self.states, chunks = states(self.cache), relative_chunks(self.cache)
        self.points = chunks[:, 3::4, :3] / np.float32(POINT_SCALE)
        self.finished = (np.asarray(self.cache["label.ticks_left"]) < FINISHED).astype(np.float32)

    def draw(self, rows: np.ndarray, generator: torch.Generator) -> tuple[Tensor, ...]:
        """Wrist, front, state, points, finished of rows, half of them mirrored."""
        n = len(rows)
        flip = torch.rand(n, generator=generator) < 0.5
        turn = flip.numpy()[:, None]
        state = np.where(turn, self.states[rows] * STATE_MIRROR, self.states[rows])
        points = np.where(turn[..., None], self.points[rows] * CHUNK_MIRROR[:3], self.points[rows])
        pictures = [augmented(self.pictures(name, rows, flip), generator) for name in ("wrist", "front")]
        hidden = torch.rand(n, generator=generator) < self.withheld
        state = withhold(torch.from_numpy(state), hidden)
        return *pictures, state, torch.from_numpy(points), torch.from_numpy(self.finished[rows])

    def pictures(self, camera: str, rows: np.ndarray, flip: Tensor) -> Tensor:
        """(B, 96, 96, 3) uint8, some of them mirrored."""
        seen = torch.from_numpy(self.cache.frames[camera][rows])
        return torch.where(flip[:, None, None, None], seen.flip(2), seen)

    def encoded(
        self, encoder: Encoder, rows: np.ndarray, mirrored: bool, noisy: bool, generator: torch.Generator
    ) -> Tensor:
        """Features of rows, (n, F) float16."""
        flip = torch.full((len(rows),), mirrored)
        seen = [self.pictures(camera, rows, flip) for camera in ("wrist", "front")]
        if noisy:
            seen = [augmented(pictures, generator) for pictures in seen]
        state = torch.from_numpy(self.states[rows] * STATE_MIRROR if mirrored else self.states[rows])
        with torch.inference_mode():
            return encoder(*seen, state).half()

    def errors(self, encoder: torch.nn.Module, head: torch.nn.Module) -> dict[str, float]:
        """Distances [mm] between regressed and true points of held-out rows and of as many trained ones."""
        held_out = np.arange(self.split, len(self.cache))
        found = {}
        for name, rows in (
            ("held_out", held_out),
            ("trained", np.linspace(0, self.split - 1, len(held_out), dtype=int)),
        ):
            distances = []
            for part in np.array_split(rows, max(1, len(rows) // 256)):
                still = torch.zeros(len(part), dtype=torch.bool)
                seen = [self.pictures(camera, part, still) for camera in ("wrist", "front")]
                with torch.inference_mode():
                    points, _ = head(encoder(*seen, torch.from_numpy(self.states[part])))
                distances.append(1e3 * POINT_SCALE * np.linalg.norm(points.numpy() - self.points[part], axis=-1))
            distance = np.concatenate(distances)
            found[f"{name}_mm"] = round(float(distance.mean()), 3)
            found[f"{name}_last_mm"] = round(float(distance[:, -1].mean()), 3)
        return found


def withhold(state: Tensor, hidden: Tensor) -> Tensor:
    """States (B, STATE) without velocity and speed where `hidden` (B,), and with the mark that says so."""
    shown = state.clone()
    shown[hidden, 9:13] = 0
    shown[hidden, -1] = 1
    return shown


def augmented(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Other light and noise: (B, h, w, 3) uint8 -> float 0..255."""
    n = len(pictures)
    gain = 1 + 0.1 * torch.randn(n, 1, 1, 1, generator=generator) + 0.03 * torch.randn(n, 1, 1, 3, generator=generator)
    offset = 8 * torch.randn(n, 1, 1, 1, generator=generator)
    noise = 4 * torch.randn((16, *pictures.shape[1:]), generator=generator)  # sixteen patterns: drawing more is slow
    return (pictures * gain + offset + noise[torch.randint(16, (n,), generator=generator)]).clamp(0, 255)
