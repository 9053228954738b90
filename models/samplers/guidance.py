"""One chunk that continues a plan, by the method GUIDE names, from any flow or diffusion policy's own function.

`bid` is bidirectional decoding (Liu et al. 2024, arXiv 2408.17355) and `paint` the choice of initial noise by inversion
(arXiv 2606.19774), both our own code from their descriptions.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.samplers import diffusion, flow
from models.samplers.diffusion import Denoise
from models.samplers.flow import Velocity
from models.samplers.rtc import Target, ddim_rtc, flow_rtc
from operators.chunks.prefix import Prefix, prefix
from operators.messages import HORIZON
from operators.motion.rotation import to_absolute, to_relative
from operators.motion.rows import Rows
from operators.policy import Observation, in_content_time

FLOW_GUIDES = ("rtc", "bid", "paint", "vlash")  # and rtc_trained, if the velocity was trained so (kind rtcflow)
DDIM_GUIDES = ("rtc", "bid", "vlash")
OF_ROWS = ("paint", "rtc_trained")  # put rows into a sample, so that it cannot be a latent
PAINT_ROUNDS, LARGEST_NOISE = 2, 3.0
LONGEST_PREFIX = 24  # rows that a flow of kind rtcflow has seen clean, and is shown at most
Function = Denoise | Velocity

DRAWS = 16  # samples among which `bid` chooses


class Units(NamedTuple):
    """In which a sampler is guided; see `Target`."""

    scaled: Callable[[Tensor], Tensor]  # relative rows (48, 10) -> the same in these units
    decode: Callable[[Tensor], Tensor]  # samples -> rows in these units


def timed(
    observation: Observation, guide: str, align: str, draft: Callable[[], np.ndarray]
) -> tuple[Observation, float | None]:
    """The observation as a guided sampler is to be shown it, and by how much its chunk is to be shifted.

    None: the sampler has nothing to do with it. `vlash` looks ahead before it samples, and its chunks are aligned like
    any other.

    Args:
        draft: makes the unguided chunk of one sampling step, (48, 10) relative to the observed pose.
    """
    if align != "phase" or guide == "vlash" or observation.plan is None:
        return observation, None
    seen = observation.proprio
    return in_content_time(observation, Rows(seen.tick, to_absolute(draft(), seen.tcp_pose)))


def continued(observation: Observation, guide: str, units: Units) -> Target | None:
    """What a chunk continues; None where nothing binds it."""
    if observation.plan is None or guide == "vlash":  # which looks ahead before it samples
        return None
    bound = prefix(observation.plan, observation.proprio.tick, observation.takeover, HORIZON)
    if bound is None:
        return None
    return target(bound._replace(action=to_relative(bound.action, observation.proprio.tcp_pose)), units)


def target(prefix: Prefix, units: Units) -> Target:
    """A prefix (relative to the reference pose) as a sampler's target."""
    rows = units.scaled(torch.tensor(prefix.action))
    return Target(rows, torch.tensor(prefix.weight).to(rows), units.decode)


def draws(guide: str) -> int:
    """How many noises a chunk needs."""
    return DRAWS if guide == "bid" else 1


def best(samples: Tensor, target: Target) -> Tensor:
    """Of samples (n, L, D) the one (1, L, D) nearest to the plan: sum over rows of weight |row - planned|."""
    cost = (target.weight * (target.decode(samples) - target.rows).norm(dim=-1)).sum(-1)
    return samples[cost.argmin()][None]


def paint(velocity: Velocity, noise: Tensor, target: Target, steps: int) -> Tensor:
    """A chunk from noise so chosen that the unchanged flow arrives at the plan: draft, put the plan into it, invert.

    Rows bound by the plan start from the noise the inversion finds, free rows from the fresh one, those in between from
    a mixture of the same variance. Where the flow is narrow a plan beside it would ask for noise that never occurs: few
    rounds of inversion and the clamp keep it in the range the flow knows. Only for samples that are rows of actions: a
    latent has no rows to put the plan into.
    """
    draft = flow.sample(velocity, noise, steps)
    weight = target.weight.to(noise)[:, None]
    found = flow.invert(velocity, torch.lerp(draft, target.rows.to(noise), weight), steps, PAINT_ROUNDS)
    found = found.clamp(-LARGEST_NOISE, LARGEST_NOISE)
    return flow.sample(velocity, weight.sqrt() * found + (1 - weight).sqrt() * noise, steps)


class Kind(NamedTuple):
    """What a network learns, how its samples are made, and by what they can be guided."""

    loss: Callable[[Function, Tensor, torch.Generator], Tensor]
    sample: Callable[[Function, Tensor, int], Tensor]
    rtc: Callable[[Function, Tensor, Target, int], Tensor]
    guides: tuple[str, ...]

    def chunk(self, guide: str, function: Function, noise: Tensor, target: Target | None, steps: int) -> Tensor:
        """One chunk (1, L, D) by one of the guides.

        Args:
            noise: (draws(guide), L, D).
            target: what the chunk continues; None: nothing.
        """
        if target is None or guide == "vlash":
            return self.sample(function, noise[:1], steps)
        if guide == "bid":
            return best(self.sample(function, noise, steps), target)
        if guide == "paint":
            return paint(function, noise[:1], target, steps)
        if guide == "rtc_trained":
            frozen = min(int((target.weight == 1).sum()), LONGEST_PREFIX)  # of more it has never seen
            return flow.prefixed_sample(function, noise[:1], target.rows, frozen, steps)
        return self.rtc(function, noise[:1], target, steps)


def _prefixed_loss(velocity: Velocity, clean: Tensor, generator: torch.Generator) -> Tensor:
    return flow.prefixed_loss(velocity, clean, LONGEST_PREFIX, generator)


KINDS = {
    "dp": Kind(diffusion.loss, diffusion.sample, ddim_rtc, DDIM_GUIDES),
    "flow": Kind(flow.loss, flow.sample, flow_rtc, FLOW_GUIDES),
    "rtcflow": Kind(_prefixed_loss, flow.sample, flow_rtc, ("rtc_trained", *FLOW_GUIDES)),
}
