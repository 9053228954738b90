"""Flow matching of chunks (Lipman et al. 2023, arXiv 2210.02747): straight paths from noise, time 0, to data, time 1.

A velocity is any function of x (B, L, D) and time; what it is conditioned on is bound in it. Times are (B,), or (B, L)
where each row has its own.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Velocity = Callable[[Tensor, Tensor], Tensor]  # x (B, L, D), time -> velocity (B, L, D)


def loss(velocity: Velocity, clean: Tensor, generator: torch.Generator) -> Tensor:
    """Mean squared error of the velocity data - noise on clean data (B, L, D), at evenly spread random times."""
    n = len(clean)
    time = (torch.arange(n) + torch.rand(n, generator=generator)) / n
    noise = torch.randn(clean.shape, generator=generator, dtype=clean.dtype)
    x = torch.lerp(noise, clean, time.to(clean)[:, None, None])
    return (velocity(x, time) - (clean - noise)).square().mean()


def sample(velocity: Velocity, noise: Tensor, steps: int) -> Tensor:
    """Noise (B, L, D) -> data by Euler's method in `steps` calls."""
    x = noise
    for k in range(steps):
        x = x + velocity(x, torch.full((len(x),), k / steps)) / steps
    return x


def invert(velocity: Velocity, data: Tensor, steps: int, rounds: int = 8) -> Tensor:
    """The noise from which `sample` makes this data: each Euler step solved backwards by fixed-point iteration.

    x_k = x_{k+1} - v(x_k, k / steps) / steps, begun at x_{k+1}. It converges where the velocity changes by less than
    `steps` per unit of x; what is left of the error is what `rounds` leave.
    """
    x = data
    for k in reversed(range(steps)):
        time, later = torch.full((len(x),), k / steps), x
        for _ in range(rounds):
            x = later - velocity(x, time) / steps
    return x


def prefixed_loss(velocity: Velocity, clean: Tensor, longest: int, generator: torch.Generator) -> Tensor:
    """The loss of training-time real-time chunking: of each chunk the first rows, up to `longest`, stay clean.

    Clean rows have time 1 and do not count; the velocity is told a time for each row, (B, L).
    """
    n, length, _ = clean.shape
    frozen = torch.randint(longest + 1, (n,), generator=generator)
    time = ((torch.arange(n) + torch.rand(n, generator=generator)) / n)[:, None].expand(n, length)
    known = torch.arange(length) < frozen[:, None]
    time = torch.where(known, 1.0, time)
    noise = torch.randn(clean.shape, generator=generator, dtype=clean.dtype)
    error = velocity(torch.lerp(noise, clean, time.to(clean)[..., None]), time) - (clean - noise)
    return error.square()[~known].mean()


def prefixed_sample(velocity: Velocity, noise: Tensor, rows: Tensor, frozen: int, steps: int) -> Tensor:
    """`sample` whose first `frozen` rows are clamped to `rows` (B or 1, L, D), for a velocity trained as above."""
    known = torch.arange(noise.shape[1]) < frozen
    x = torch.where(known[:, None], rows, noise)
    for k in range(steps):
        time = torch.where(known, 1.0, k / steps).expand(len(x), -1)
        x = torch.where(known[:, None], x, x + velocity(x, time) / steps)
    return x


class RowTimes(nn.Module):
    """A network of one time for all rows, made to take one for each: x (B, L, D), time (B,) or (B, L), condition.

    Args:
        network: (B, L, D + 1), (B,), (B, C) -> (B, L, D + 1), such as a `UNet`. It is given the time of the rows still
            to be found, and each row's own time as a channel more.
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        each = time.reshape(len(x), -1).expand(-1, x.shape[1])
        return self.network(torch.cat([x, each[..., None]], -1), each[:, -1], condition)[..., :-1]
