"""Real-time chunking: samplers that pull a chunk towards the rows already played ("Real-Time Execution of Action
Chunking Flow Policies", arXiv 2506.07339; our own code), for flow matching and DDIM, in action space and in latents.

Each step estimates the clean chunk, X1, and adds the gradient of its weighted distance to the prefix:

    g = (dX1 / dx)^T W (P - X1),   v + min(beta, (1 - tau) / (tau r^2)) g,   r^2 = (1 - tau)^2 / (tau^2 + (1 - tau)^2)

The gradient goes through the network, and through the decoder where the sample is a latent, since the prefix lives in
action space. What velocity and decoder are bound to must be made outside `torch.inference_mode`; `no_grad` will do.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from models.samplers.diffusion import Denoise, schedule
from models.samplers.flow import Velocity

BETA = 5.0  # largest guidance weight, as published


def unchanged(x: Tensor) -> Tensor:
    """The decoder of what needs none."""
    return x


@dataclass(frozen=True)
class Target:
    """What a chunk is pulled to.

    The pull grows with the square of the decoder's gain, and with a gain far above 1 steps overshoot: give `decode` and
    `rows` in units in which `gain` is about 1.
    """

    rows: Tensor  # (H, A) or (B, H, A), in the units in which `decode` answers
    weight: Tensor  # (H,)
    decode: Callable[[Tensor], Tensor] = unchanged  # sample (B, L, D) -> rows (B, H, A), differentiable

    def pull(self, clean: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
        """The estimate clean(x) and g, both (B, L, D): one forward and one backward pass."""
        with torch.inference_mode(False), torch.enable_grad():
            x = x.detach().clone().requires_grad_()
            estimate = clean(x)
            decoded = self.decode(estimate)
            error = self.weight[:, None] * (self.rows - decoded.detach())
            (gradient,) = torch.autograd.grad(decoded, x, error)
        return estimate.detach(), gradient


def flow_rtc(velocity: Velocity, noise: Tensor, target: Target, steps: int, beta: float = BETA) -> Tensor:
    """Guided `models.samplers.flow.sample`: noise (B, L, D) -> data, in `steps` forward and backward passes."""
    x = noise
    for k in range(steps):
        tau = k / steps
        time = torch.full((len(x),), tau)

        def clean(x: Tensor, time: Tensor = time, tau: float = tau) -> Tensor:
            return x + (1 - tau) * velocity(x, time)

        estimate, gradient = target.pull(clean, x)
        x = x + ((estimate - x) / (1 - tau) + strength(tau, beta) * gradient) / steps
    return x


def ddim_rtc(denoise: Denoise, noise: Tensor, target: Target, steps: int, beta: float = BETA) -> Tensor:
    """Guided `models.samplers.diffusion.sample`: noise (B, L, D) -> data, in `steps` forward and backward passes.

    DDIM is Euler's method on a flow: with x = alpha x_0 + sigma n, x / (alpha + sigma) lies on the straight path at
    tau = alpha / (alpha + sigma). There the guided step is that of `flow_rtc`.
    """
    x = noise
    for now, after in pairwise(torch.linspace(1, 0, steps + 1)):
        time = now.expand(len(x))
        (alpha, sigma), (next_alpha, next_sigma) = schedule(now[None]), schedule(after[None])
        tau, step = _flow_time(alpha, sigma), _flow_time(next_alpha, next_sigma) - _flow_time(alpha, sigma)

        def clean(x: Tensor, time: Tensor = time, alpha: Tensor = alpha, sigma: Tensor = sigma) -> Tensor:
            return alpha * x - sigma * denoise(x, time)

        estimate, gradient = target.pull(clean, x)
        estimate = estimate.clamp(-1, 1)  # as unguided; the pull is that of the estimate before
        implied_noise = (x - alpha * estimate) / sigma
        pulled = step * strength(tau, beta) * (alpha + sigma) * gradient
        x = next_alpha * estimate + next_sigma * implied_noise + (next_alpha + next_sigma) * pulled
    return x


def strength(tau: float, beta: float) -> float:
    """The guidance weight at flow time tau in 0..1, exclusive of 1."""
    if tau == 0:
        return beta
    return min(beta, (tau**2 + (1 - tau) ** 2) / (tau * (1 - tau)))


def gain(decode: Callable[[Tensor], Tensor], at: Tensor) -> float:
    """The largest factor by which a decoder lengthens a small change of the sample `at` (1, L, D)."""
    jacobian = torch.autograd.functional.jacobian(decode, at)  # the shape of the rows, then that of the sample
    assert isinstance(jacobian, Tensor)  # of one function, at one place
    return float(torch.linalg.svdvals(jacobian.reshape(-1, at.numel()))[0])


def _flow_time(alpha: Tensor, sigma: Tensor) -> float:
    return float(alpha / (alpha + sigma))
