"""The noisy expert as a flow policy in closed form: for trying samplers before any policy is trained.

Its chunks have the distribution of `POLICY=expert` with the same NOISE (operators.chunks.noise): normal, with a known
covariance over rows. The velocity that flow matching would learn from them is then known exactly, and no way to guide
it is favoured by how it was trained. `rtc_trained` is not offered: continued exactly, smooth curves through a few
clean rows fly off at the least error in these rows, which a trained network does not do.
"""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from models.registry import make_policy
from models.samplers.flow import sample
from models.samplers.guidance import FLOW_GUIDES, KINDS, Units, continued, draws, timed
from models.samplers.rtc import Target, unchanged
from operators.chunks.noise import WHITE_M, smooth_basis
from operators.messages import HORIZON, Episode
from operators.policy import Observation, Prediction
from operators.schema import ACTION_WIDTH
from operators.settings import Settings

STEPS = 10
# Positions are in this unit. The smaller it is, the wider the distribution is to the sampler, and the farther guidance
# moves a chunk: at 10 mm RTC hardly does, at 1 mm it holds the old plan so firmly that the task suffers.
UNIT_M = 0.003


class NormalFlow:
    """The velocity of straight paths from N(0, 1) to chunks whose channels are independent and normal over rows.

    Args:
        mean: (L, D).
        covariance: (D, L, L) of each channel; zero for a channel that is always its mean.
    """

    def __init__(self, mean: Tensor, covariance: Tensor):
        self._mean, self._covariance = mean, covariance

    def __call__(self, x: Tensor, time: Tensor) -> Tensor:
        """x (B, L, D), time (B,) or (B, L) -> velocity; 0 in rows of time 1, which are data already."""
        data = time.to(x).reshape(len(x), -1).expand(-1, x.shape[1])  # share of the data in each row
        noise = 1 - data
        mixed = data[:, None, :, None] * self._covariance * data[:, None, None, :]
        mixed = mixed + torch.diag_embed(noise.square())[:, None]  # (B, D, L, L), covariance of x
        away = (x - data[..., None] * self._mean).mT[..., None]
        # Rows at time 1 of a constant channel have no spread at all: any finite number will do, what is away is 0.
        solved = torch.linalg.solve(mixed + 1e-12 * torch.eye(x.shape[1]).to(x), away)
        clean = self._mean + (self._covariance @ (data[:, None, :, None] * solved))[..., 0].mT
        return torch.where(noise[..., None] > 0, (clean - x) / noise[..., None].clamp(min=1e-9), 0.0)


class ExpertFlowPolicy:
    """Samples chunks of the noisy expert by a guided flow of 60 Hz actions."""

    cameras = ()
    guides = FLOW_GUIDES

    def __init__(self, config: Settings):
        torch.set_num_threads(1)  # the other cores belong to the other processes
        self._expert = make_policy(replace(config, policy="expert", noise=0.0))
        self._guide, self._align = config.guide, config.align
        basis = config.noise * np.concatenate([smooth_basis(HORIZON), WHITE_M * np.eye(HORIZON)], -1) / UNIT_M
        self._covariance = torch.zeros(ACTION_WIDTH, HORIZON, HORIZON, dtype=torch.float64)
        self._covariance[:3] = torch.tensor(basis @ basis.T)
        self._scale = torch.ones(ACTION_WIDTH, dtype=torch.float64)
        self._scale[:3] = UNIT_M
        self._units = Units(lambda action: action / self._scale, unchanged)

        still = torch.zeros(HORIZON, ACTION_WIDTH, dtype=torch.float64)
        self._sample(still, self._noise(0), Target(still, torch.ones(HORIZON)))  # torch takes seconds the first time

    def start(self, episode: Episode) -> None:
        self._episode = episode
        self._expert.start(episode)

    def predict(self, observation: Observation) -> Prediction:
        mean = torch.tensor(self._expert.predict(observation).values).double() / self._scale
        noise = self._noise((self._episode.seed, self._episode.episode, observation.chunk_id))
        shown, shift_ticks = timed(observation, self._guide, self._align, lambda: self._draft(mean, noise))
        chunk = self._sample(mean, noise, continued(shown, self._guide, self._units)) * self._scale
        return Prediction(chunk.numpy().astype(np.float32), seed=self._episode.seed, shift_ticks=shift_ticks)

    def _draft(self, mean: Tensor, noise: Tensor) -> np.ndarray:
        """The unguided chunk of one sampling step."""
        return (sample(NormalFlow(mean, self._covariance), noise[:1], 1)[0] * self._scale).numpy()

    def _noise(self, seed: int | tuple[int, ...]) -> Tensor:
        draw = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        return torch.randn(draws(self._guide), HORIZON, ACTION_WIDTH, generator=draw, dtype=torch.float64)

    @torch.no_grad()
    def _sample(self, mean: Tensor, noise: Tensor, target: Target | None) -> Tensor:
        chunk = KINDS["flow"].chunk(self._guide, NormalFlow(mean, self._covariance), noise, target, STEPS)[0]
        constant = (self._covariance == 0).all(-1).all(-1)  # exactly, not to rounding
        return torch.where(constant, mean, chunk)
