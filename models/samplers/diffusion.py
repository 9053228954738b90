"""Denoising diffusion of chunks: a conditional 1-D UNet, v-prediction, DDIM with clipping, an average of the weights.

Both spaces use the same network and the same sampler: `action60` has sequences of 48 rows, `latent60` of 12.

Sources: diffusion policy's conditional UNet with FiLM (Chi et al. 2023, arXiv 2303.04137; ours is smaller), the cosine
schedule (Nichol and Dhariwal 2021, arXiv 2102.09672), v-prediction (Salimans and Ho 2022, arXiv 2202.00512), DDIM (Song
et al. 2020, arXiv 2010.02502). Data are in [-1, 1]; time runs from 0 (clean) to 1 (noise).
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

Denoise = Callable[[Tensor, Tensor], Tensor]  # x_t (B, L, D), time (B,) -> v (B, L, D)


def schedule(time: Tensor) -> tuple[Tensor, Tensor]:
    """Time (B,) -> how much of the data and of the noise is in x_t, (B, 1, 1) each; squares add to 1."""
    angle = time[:, None, None] * (torch.pi / 2) * 0.995
    return angle.cos(), angle.sin()


def loss(denoise: Denoise, clean: Tensor, generator: torch.Generator) -> Tensor:
    """Mean squared error of v = alpha noise - sigma x_0 on clean data (B, L, D), at evenly spread random times."""
    n = len(clean)
    time = (torch.arange(n) + torch.rand(n, generator=generator)) / n
    noise = torch.randn(clean.shape, generator=generator)
    alpha, sigma = schedule(time)
    return (denoise(alpha * clean + sigma * noise, time) - (alpha * noise - sigma * clean)).square().mean()


def sample(denoise: Denoise, noise: Tensor, steps: int) -> Tensor:
    """DDIM without added noise: from noise (B, L, D) at time 1 to data in `steps` calls of `denoise`.

    The predicted x_0 is clipped to the range of the data at every step; without that, errors at high noise grow into
    samples far outside.
    """
    x = noise
    for now, after in pairwise(torch.linspace(1, 0, steps + 1)):
        time = now.expand(len(x))
        alpha, sigma = schedule(time)
        v = denoise(x, time)
        clean = (alpha * x - sigma * v).clamp(-1, 1)
        implied_noise = (x - alpha * clean) / sigma
        alpha, sigma = schedule(after.expand(len(x)))
        x = alpha * clean + sigma * implied_noise
    return x


class UNet(nn.Module):
    """x_t (B, L, D), time (B,), condition (B, C) -> v (B, L, D); two levels, rows of the lower one half as many."""

    octaves: Tensor

    def __init__(
        self, length: int, channels: int, condition: int, widths: tuple[int, int] = (48, 96), mixed: int = 256
    ):
        super().__init__()
        wide, deep = widths
        self.register_buffer("octaves", 2.0 ** torch.arange(8) * torch.pi / 2, persistent=False)
        self.mix = nn.Sequential(nn.Linear(condition + 16, mixed), nn.SiLU(), nn.Linear(mixed, mixed), nn.SiLU())
        self.first = nn.Conv1d(channels, wide, 3, padding=1)
        self.place = nn.Parameter(torch.zeros(wide, length))  # convolutions do not know which row they are at
        self.down = Block(wide, wide, mixed)
        self.lower = nn.Conv1d(wide, deep, 4, 2, 1)
        self.guess = nn.Linear(mixed, deep * (length // 2))  # a first sketch of the whole chunk
        self.middle = nn.ModuleList([Block(deep, deep, mixed), Block(deep, deep, mixed)])
        self.raise_ = nn.ConvTranspose1d(deep, wide, 4, 2, 1)
        self.up = Block(2 * wide, wide, mixed)
        self.last = nn.Conv1d(wide, channels, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # pyright: ignore[reportArgumentType]

    def forward(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        phase = time[:, None] * self.octaves
        mixed = self.mix(torch.cat([condition, phase.sin(), phase.cos()], 1))
        high = self.down(self.first(x.mT) + self.place, mixed)
        low = self.lower(high)
        low = low + self.guess(mixed).view_as(low)
        for block in self.middle:
            low = block(low, mixed)
        high = self.up(torch.cat([high, self.raise_(low)], 1), mixed)
        return self.last(high).mT


class Block(nn.Module):
    """Two convolutions along time with GroupNorm; the condition scales and shifts channels between them (FiLM)."""

    def __init__(self, inputs: int, outputs: int, condition: int):
        super().__init__()
        self.norm_in, self.norm_out = nn.GroupNorm(8, inputs), nn.GroupNorm(8, outputs)
        self.conv_in, self.conv_out = (nn.Conv1d(n, outputs, 3, padding=1) for n in (inputs, outputs))
        self.film = nn.Linear(condition, 2 * outputs)
        self.skip = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = self.film(condition)[..., None].chunk(2, 1)
        inner = self.norm_out(self.conv_in(nn.functional.silu(self.norm_in(x)))) * (1 + scale) + shift
        return self.skip(x) + self.conv_out(nn.functional.silu(inner))


M = TypeVar("M", bound=nn.Module)


class Average(Generic[M]):
    """Exponential moving average of a module's weights, warmed up; `module` holds it."""

    def __init__(self, source: M, module: M, decay: float = 0.999):
        self._source, self.module, self._decay = source, module, decay
        module.load_state_dict(source.state_dict())
        module.requires_grad_(False).eval()
        self._updates = torch.zeros((), dtype=torch.int64)
        module.register_buffer("updates", self._updates)

    @property
    def weights(self) -> dict[str, Tensor]:
        """What is written into a checkpoint."""
        return {name: tensor for name, tensor in self.module.state_dict().items() if name != "updates"}

    @torch.no_grad()
    def update(self) -> None:
        self._updates += 1
        weight = 1 - min(self._decay, (1 + int(self._updates)) / (10 + int(self._updates)))
        for mine, theirs in zip(self.module.parameters(), self._source.parameters(), strict=True):
            mine.lerp_(theirs, weight)
