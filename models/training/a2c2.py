"""Train the correction head of a policy (`rtr train-a2c2`): what to add to its actions, seen from when they are due.

A sample is a chunk the frozen policy draws at row t0 of an episode, a later row t of the same episode within the
chunk's reach, and the picture of a row shortly before t. Rows are not ticks: a data set has one every few ticks. The
head is told the picture's features, the state at t and the chunk's action for t (operators/chunks/correct.py); its
label is the expert's action at t less the policy's.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.checkpoint import read, require
from models.policies.learned import Network
from models.registry import make_codec
from models.training.options import Options
from models.training.policy import cached_features
from models.training.samples import Samples, open_cache
from operators.chunks.correct import LARGEST_M, MEASURED, Sight
from operators.messages import HORIZON
from operators.motion.rotation import matrix_from_6d

LAGS = 9  # ticks a picture is old when its features are used: fewer than that
TIMES = 8  # rows t for each chunk, which is dear to draw
EPISODE = 1 << 20  # more ticks than an episode has
SCALE_M = 0.001  # of the loss
DESCRIPTION = """Corrects the positions of a policy's actions when they are due (A2C2), from the newest picture's
features and the newest state. Metrics are distances to the expert's action on held-out episodes."""


@dataclass(frozen=True)
class TrainA2c2(Options):
    """Train the correction head of a policy on cached features."""

    policy: str = "dp_latent60"
    """A checkpoint in `out`."""
    width: int = 128
    steps: int = 1500
    batch: int = 64
    """Chunks a step; each is corrected at eight of its rows."""

    def train(self) -> bool:
        return _Training(self).run()


class HeadNetwork(nn.Sequential):
    """`operators.chunks.correct.Head` while it is trained; `models.stored.read_head` knows the names of its tensors."""

    def __init__(self, inputs: int, width: int):
        first, middle, last = nn.Linear(inputs, width), nn.Linear(width, width), nn.Linear(width, 3)
        super().__init__(first, nn.ReLU(), middle, nn.ReLU(), last)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("spread", torch.ones(inputs))
        nn.init.zeros_(last.weight)  # it begins by correcting nothing
        nn.init.zeros_(last.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(..., I) -> (..., 3) m."""
        x = (input - self.get_buffer("mean")) / self.get_buffer("spread")
        return LARGEST_M * torch.tanh(super().forward(x))


class Rows:
    """What of each row of the data sets a sight is made of."""

    def __init__(self, samples: Samples, data: tuple[Path, ...]):
        def column(name: str) -> np.ndarray:
            return np.concatenate([np.asarray(open_cache(path)[name], np.float32) for path in data])

        pose = column("observation.state")
        self.place, self.frame = pose[:, :3], matrix_from_6d(pose[:, 3:]).astype(np.float32)
        self.velocity, self.force = column("observation.velocity")[:, :3], column("observation.wrench")[:, 2]
        self.expert = samples.chunks[:, 0, :3]  # (N, 3) in the tool's axes
        self.tick = np.concatenate([np.asarray(open_cache(path)["tick"]) for path in data])
        self.first = np.flatnonzero(np.diff(samples.episode, prepend=-1))[samples.episode]  # row of its episode
        self._episode = samples.episode
        self._time = samples.episode * EPISODE + self.tick  # rises with the rows

    def at(self, row: np.ndarray, ticks: np.ndarray) -> np.ndarray:
        """The last rows (n,) of the same episodes that are no later than `ticks` after these; the first if none is."""
        time = self._episode[row] * EPISODE + self.tick[row] + ticks
        return np.maximum(np.searchsorted(self._time, time, side="right") - 1, self.first[row])

    def sight(self, t0: np.ndarray, t: np.ndarray, seen: np.ndarray, chunk: np.ndarray) -> Sight:
        """Rows (n,) of the chunk's observation, of now and of the picture, chunks' positions (n, 48, 3)."""
        k, each = self.tick[t] - self.tick[t0], np.arange(len(t))
        turn = np.einsum("nji,njk->nik", self.frame[t], self.frame[t0])  # from the axes of t0 into those of t
        way = np.einsum("nji,nj->ni", self.frame[t], self.place[t0] - self.place[t])
        after = np.minimum(k + 1, HORIZON - 1)
        return Sight(
            moved=np.einsum("nji,nj->ni", self.frame[seen], self.place[t] - self.place[seen]),
            velocity=np.einsum("nji,nj->ni", self.frame[t], self.velocity[t]),
            force=self.force[t],
            base=way + np.einsum("nij,nj->ni", turn, chunk[each, k]),
            slope=np.einsum("nij,nj->ni", turn, chunk[each, after] - chunk[each, after - 1]),
            age=k.astype(np.float32),
            lag=(self.tick[t] - self.tick[seen]).astype(np.float32),
        )


class _Training:
    def __init__(self, config: TrainA2c2):
        self.config = config
        self.policy, vision = read(config.out / config.policy), read(config.out / "vision")
        require(self.policy, "encoder", vision.name)
        samples = Samples(*config.data)
        self.told = samples.told
        self.trained, self.held_out, self.rows = samples.trained, samples.held_out, Rows(samples, config.data)
        self.features = cached_features(config.state / "features.safetensors", samples, vision)["features"][0]
        self.base = Network.of(self.policy)
        self.codec = make_codec(self.policy.about["codec"].split(":")[0]) if self.policy.about["codec"] else None
        if self.codec:
            require(self.policy, "codec", self.codec.name)
        self.network = HeadNetwork(self.features.shape[1] + MEASURED, config.width)
        numbers = self.draw(self.trained, 512, torch.Generator().manual_seed(config.seed))[0]
        self.network.get_buffer("mean").copy_(numbers.mean(0))
        self.network.get_buffer("spread").copy_(numbers.std(0) + 1e-3)

    def draw(self, among: np.ndarray, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Inputs (n, I) and labels (n, 3) m at TIMES rows of each of `size` chunks."""
        t0 = among[torch.randint(len(among), (size,), generator=generator).numpy()]
        chunks = np.repeat(self.chunks(t0, generator), TIMES, 0)
        t0 = np.repeat(t0, TIMES)
        age, lag = (torch.randint(most, (len(t0),), generator=generator).numpy() for most in (HORIZON, LAGS))
        t = self.rows.at(t0, age)
        seen = self.rows.at(t, -lag)
        sight = self.rows.sight(t0, t, seen, chunks)
        numbers = sight.numbers(self.features[seen].float().numpy())
        return torch.from_numpy(numbers), torch.from_numpy(self.rows.expert[t] - sight.base)

    @torch.no_grad()
    def chunks(self, rows: np.ndarray, generator: torch.Generator) -> np.ndarray:
        """Positions (n, 48, 3) of what the policy predicts in these rows."""
        noise = float(self.policy.about["temperature"]) * torch.randn(
            (len(rows), *self.base.shape), generator=generator
        )
        values = self.base(self.features[rows].float(), noise, int(self.policy.about["samples"])).numpy()
        return (self.codec.decode(values) if self.codec else values)[..., :3]

    def run(self) -> bool:
        config, name = self.config, f"a2c2_{self.config.policy}"
        optimiser = torch.optim.AdamW(self.network.parameters(), config.rate, weight_decay=0.01, fused=True)
        made_for = {"policy": self.policy.name, "encoder": self.policy.about["encoder"]}
        loop = config.loop(name, {"network": self.network}, optimiser, self.step, made_for)
        if not loop.run():
            return False
        metrics = {**self.errors(), "minutes": loop.minutes_taken}
        print(metrics)
        about = {"kind": "a2c2", "description": DESCRIPTION, **made_for, "metrics": metrics}
        config.write(config.out / name, self.network.state_dict(), self.told, about, half=False)
        return True

    def step(self, number: int, generator: torch.Generator) -> Tensor:
        numbers, label = self.draw(self.trained, self.config.batch, generator)
        return functional.smooth_l1_loss(self.network(numbers) / SCALE_M, label / SCALE_M)

    @torch.no_grad()
    def errors(self) -> dict[str, float]:
        """Distances [mm] to the expert's action on held-out rows."""
        numbers, label = self.draw(self.held_out, 256, torch.Generator().manual_seed(1))
        distance = {"corrected_mm": label - self.network(numbers), "uncorrected_mm": label}
        return {name: round(1e3 * float(error.norm(dim=-1).mean()), 4) for name, error in distance.items()}
