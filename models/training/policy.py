"""Train a policy (`rtr train-policy`) on the frozen encoder's features: `action60` or `latent60`, `dp` or `flow`.

Everything but the space, and what the network learns, is the same: encoder, features, network family, optimiser steps,
batch, samples. Features are computed once, of each row as it is, and mirrored and varied (light, noise, force), and
cached beside the training state.
A checkpoint is written at 25, 50 and 100 % of the steps, with open-loop metrics on the held-out episodes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors import safe_open
from safetensors.torch import save_file
from scipy.signal import savgol_filter
from torch import Tensor

from models.checkpoint import Checkpoint, read
from models.encoders.vision import Vision
from models.policies.learned import SPACES, Network
from models.registry import make_codec
from models.samplers.diffusion import Average
from models.samplers.guidance import KINDS
from models.training.options import Options, one_of
from models.training.samples import Samples, varied
from operators.chunks.codec import Codec

DESCRIPTION = """, from two pictures and the measured state: {task}
Open-loop metrics are on held-out episodes. It knows what its data show: trained in simulation, it is not for a real
robot."""
LONG = {"dp": "diffusion", "flow": "flow-matching", "rtcflow": "flow-matching (training-time RTC)"}
SAVGOL = 15, 3  # rows and order of the filter a jerky chunk would be given
DRAWN = "deviation_mm", "chunk_jerk_mm_per_tick3"  # are also told for chunks of temperature 1
PARTS = (0.25, 0.5, 1.0)  # of the steps, at which checkpoints are written


@dataclass(frozen=True)
class TrainPolicy(Options):
    """Train a diffusion or flow-matching policy on cached features."""

    space: str = "latent60"
    """latent60 or action60."""
    kind: str = "dp"
    """dp: v-prediction and DDIM; flow: flow matching; rtcflow: the same with clean first rows, of action60."""
    codec: str = "vae"
    """Of latent60: a name that CODEC knows."""
    steps: int = 10000
    samples: int = 20
    """Sampling steps."""
    temperature: float = 0.0
    """Size of the noise from which a chunk is sampled; 1 draws chunks as spread as the data, 0 the likeliest."""
    feature_noise: float = 0.02
    """In standard deviations of each feature: the encoder knows its training pictures better than new ones."""

    def train(self) -> bool:
        one_of("space", self.space, SPACES)
        one_of("kind", self.kind, KINDS)
        if self.kind == "rtcflow" and self.space != "action60":
            raise ValueError("expected --space action60 with --kind rtcflow, got latent60, whose rows are no actions")
        return _Training(self).run()


class _Training:
    def __init__(self, config: TrainPolicy):
        self.config = config
        vision = read(config.out / "vision")
        self.encoder = vision.name
        samples = Samples(*config.data)
        self.told = samples.told
        self.trained, self.held_out = torch.from_numpy(samples.trained), samples.held_out
        self.episode = samples.episode
        found = cached_features(config.state / "features.safetensors", samples, vision)
        self.features, self.chunks = found["features"], found["chunks"]
        self.codec = make_codec(config.codec) if config.space == "latent60" else None
        values = torch.stack([encoded(self.codec, chunks) for chunks in self.chunks])  # (2, N, L, 10)
        self.network = self._network(values[:, self.trained])
        self.average = Average(self.network, self._network(values[:, self.trained]))
        self.values = self.network.scaled(values)

    def _network(self, values: Tensor) -> Network:
        """A new network for values (..., L, 10)."""
        features = self.features[0, self.trained].float()
        network = Network(values.shape[-2], features.shape[1], self.config.kind)
        network.mean.copy_(features.mean(0))
        network.spread.copy_(features.std(0) + 1e-3)
        network.low.copy_(values.flatten(0, -2).amin(0))
        network.high.copy_(values.flatten(0, -2).amax(0))
        return network

    def run(self) -> bool:
        config = self.config
        optimiser = torch.optim.AdamW(self.network.parameters(), config.rate, weight_decay=0.01, fused=True)
        name = f"{config.kind}_{config.space}" + ("" if config.codec == "vae" or not self.codec else f"_{config.codec}")
        modules = {"network": self.network, "average": self.average.module}
        parts = {round(part * config.steps): lambda part=part: self.save(name, part) for part in PARTS}
        hooks = {"after": self.average.update, "milestones": parts}
        self.loop = config.loop(name, modules, optimiser, self.step, self.made_for, **hooks)
        return self.loop.run()

    @property
    def made_for(self) -> dict[str, str]:
        return {"encoder": self.encoder, "codec": self.codec.name if self.codec else ""}

    def step(self, number: int, generator: torch.Generator) -> Tensor:
        rows = self.trained[torch.randint(len(self.trained), (self.config.batch,), generator=generator)]
        draw = torch.randint(len(self.features), (self.config.batch,), generator=generator)
        features = self.features[draw, rows].float()
        noise = self.config.feature_noise * torch.randn(features.shape, generator=generator)
        condition = self.network.condition(features) + noise
        loss = KINDS[self.config.kind].loss
        return loss(lambda x, t: self.network.unet(x, t, condition), self.values[draw, rows], generator)

    def save(self, name: str, part: float) -> None:
        """Write the averaged weights; those of a part of the steps stay beside the training state."""
        config = self.config
        drawn = {f"drawn_{name}": found for name, found in self.open_loop(1.0).items() if name in DRAWN}
        metrics = {**self.open_loop(config.temperature), **drawn, "minutes": self.loop.minutes_taken}
        about = {"kind": config.kind, "space": config.space, **self.made_for, "samples": config.samples}
        about |= {"temperature": config.temperature, "part": part, "metrics": metrics}
        about |= {"description": f"A {LONG[config.kind]} policy{DESCRIPTION}"}
        if part == 1:
            about["curve"] = {
                f"{earlier:.0%}": read(self.part(name, earlier)).about["metrics"] for earlier in PARTS[:-1]
            }
        config.write(self.part(name, part), self.average.weights, self.told, about, half=True)
        print(f"{name} at {part:.0%}: {metrics}")

    def part(self, name: str, part: float) -> Path:
        """Where the checkpoint at a part of the steps is written."""
        return self.config.out / name if part == 1 else self.config.state / f"{name}_{round(100 * part)}"

    def open_loop(self, temperature: float, most: int = 2000) -> dict[str, dict | float]:
        """Of sampled chunks on held-out rows; with what a Savitzky-Golay filter makes of them."""
        rows = self.held_out[np.unique(np.linspace(0, len(self.held_out) - 1, most).astype(int))]
        generator = torch.Generator().manual_seed(1)
        found = []
        for part in np.array_split(rows, max(1, len(rows) // 250)):
            noise = temperature * torch.randn((len(part), *self.values.shape[2:]), generator=generator)
            with torch.inference_mode():
                values = self.average.module(self.features[0, part].float(), noise, self.config.samples).numpy()
            found.append(self.codec.decode(values) if self.codec else values)
        xyz, true = 1e3 * np.concatenate(found)[..., :3], 1e3 * self.chunks[0, rows, :, :3].numpy()
        filtered = np.asarray(savgol_filter(xyz, *SAVGOL, axis=1))
        distance = np.linalg.norm(xyz - true, axis=-1)
        measured = {
            "deviation_mm": np.abs(xyz - true),
            "distance_mm": distance,
            "chunk_jerk_mm_per_tick3": jerk(xyz),
            "savgol_deviation_mm": np.abs(filtered - true),
            "savgol_chunk_jerk_mm_per_tick3": jerk(filtered),
            "expert_jerk_mm_per_tick3": jerk(true),
        }
        means = {name: interval(values, self.episode[rows]) for name, values in measured.items()}
        return means | {"distance_p95_mm": round(float(np.quantile(distance, 0.95)), 4)}


def jerk(xyz: np.ndarray) -> np.ndarray:
    """Third differences of positions (n, 48, 3), as norms (n, 45)."""
    return np.linalg.norm(np.diff(xyz, 3, axis=1), axis=-1)


def interval(values: np.ndarray, episode: np.ndarray) -> dict[str, float | list[float]]:
    """Mean of values (n, ...) over all rows, and its 95 % interval, episodes (n,) being what is independent."""
    each = values.reshape(len(values), -1).mean(1)
    means = np.array([each[episode == number].mean() for number in np.unique(episode)])
    half = 1.96 * float(means.std(ddof=1)) / len(means) ** 0.5 if len(means) > 1 else 0.0
    mean = float(each.mean())
    return {"mean": round(mean, 5), "ci95": [round(mean - half, 5), round(mean + half, 5)]}


def encoded(codec: Codec | None, chunks: Tensor) -> Tensor:
    """(n, 48, 10) -> (n, L, 10) in the policy's space."""
    if codec is None:
        return chunks
    return torch.cat([torch.from_numpy(codec.encode(part.numpy())).float() for part in chunks.split(1024)])


def cached_features(path: Path, samples: Samples, vision: Checkpoint) -> dict[str, Tensor]:
    """Every row plain, and mirrored (if it can be) and varied: features (2, N, F) float16, chunks (2, N, 48, 10)."""
    key = f"{vision.name} {samples.key}"
    if path.exists():
        with safe_open(path, "pt") as file:
            if (file.metadata() or {}).get("key") == key:
                return {name: file.get_tensor(name) for name in ("features", "chunks")}
    see = Vision.of(vision)
    generator = torch.Generator().manual_seed(0)
    features, chunks = [], []
    for rows in track(np.array_split(np.arange(len(samples)), 1 + len(samples) // 256), "features"):
        plain, other = (samples.batch(rows, torch.full((len(rows),), f)) for f in (False, samples.facts.mirror))
        variants = [plain, varied(samples.facts, other, generator)]
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            seen = [see(*batch[:3]) for batch in variants]
        features.append(torch.stack(seen).half())
        chunks.append(torch.stack([batch.chunk for batch in variants]))
    found = {"features": torch.cat(features, 1), "chunks": torch.cat(chunks, 1)}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(found, path, {"key": key})
    return found
