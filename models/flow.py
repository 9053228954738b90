"""Flow matching of chunks (Lipman et al. 2023, arXiv 2210.02747): straight paths from noise, time 0, to data, time 1.

A velocity is any function of x (B, L, D) and time; what it is conditioned on is bound in it. Times are (B,), or (B, L)
where each row has its own.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Velocity = Callable[[Tensor, Tensor], Tensor]  # x (B, L, D), time -> velocity (B, L, D)


def loss(velocity: Velocity, clean: Tensor, generator: torch.Generator) -> Tensor:
    """Mean squared error of the velocity data - noise on clean data (B, L, D), at evenly spread random times."""
    n = len(clean)
    time = (torch.arange(n) + torch.rand(n, generator=generator)) / n
    noise = torch.randn(clean.shape, generator=generator)
    x = torch.lerp(noise, clean, time[:, None, None])
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
