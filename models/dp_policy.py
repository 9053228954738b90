"""The learned policy at run time: newest frames and measured state -> features -> DDIM -> a chunk, latent or action.

Nothing else goes in: no tick, no seed of the task, no simulation. What is drawn at random follows from
(seed, episode, chunk_id).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.checkpoint import FOLDER, BadCheckpoint, read, require
from models.diffusion import UNet, sample
from models.registry import make_codec
from models.vision import Vision, cropped, picture, standing, state_vector
from operators.frame import Frame
from operators.messages import ACTION_WIDTH, HORIZON, HZ, Episode, Proprio
from operators.policy import Observation, Prediction
from operators.rotation import matrix_from_vector
from operators.settings import Settings


class DpPolicy:
    """Diffusion policy of one space; make it by `LatentPolicy` or `ActionPolicy`.

    Raises:
        BadCheckpoint: a checkpoint is missing or damaged, or encoder, codec and policy do not fit.
    """

    cameras = ("front", "wrist")

    def __init__(self, config: Settings, name: str):
        torch.set_num_threads(1)  # the other cores belong to the other processes
        checkpoint, vision = read(FOLDER / name), read(FOLDER / "vision")
        require(checkpoint, "encoder", vision.name)
        self._space = {"latent60": "latent", "action60": "action"}[checkpoint.about["space"]]
        self._codec = make_codec(config.codec) if self._space == "latent" else None
        if self._codec:
            require(checkpoint, "codec", self._codec.name)
        self._vision = Vision(**vision.about["architecture"]).eval().requires_grad_(False)
        vision.fill(self._vision)
        self._network = Network.like(checkpoint.tensors).eval().requires_grad_(False)
        checkpoint.fill(self._network)
        self._samples, self._temperature = int(checkpoint.about["samples"]), float(checkpoint.about["temperature"])
        self._episode: Episode | None = None
        self._last: Planned | None = None

    def start(self, episode: Episode) -> None:
        """A new episode begins."""
        self._episode, self._last = episode, None

    def predict(self, observation: Observation) -> Prediction:
        """One chunk, relative to the measured pose."""
        if self._episode is None:
            raise ValueError("expected an episode to have started before a chunk is asked for")
        seed = self._episode.seed, self._episode.episode, observation.chunk_id
        draw = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        noise = self._temperature * torch.randn((1, *self._network.shape), generator=draw)
        with torch.inference_mode():
            features = self._vision(*self._inputs(observation.proprio, observation.frames))
            values = self._network(features, noise, self._samples)[0].numpy()
        chunk = self._codec.decode(values) if self._codec else values
        self._last = Planned(observation.proprio.tick, chunk[:, :3])
        return Prediction(values, self._space, codec=self._codec.name if self._codec else "", seed=self._episode.seed)

    def _inputs(self, proprio: Proprio, frames: Mapping[str, Frame]) -> list[Tensor]:
        """Wrist picture, front picture and state, each a batch of one."""
        matrix = matrix_from_vector(proprio.tcp_pose[3:])
        state = state_vector(proprio.tcp_pose[:3], matrix, proprio.tcp_velocity[:3], proprio.wrench[2])
        if self._last is not None:
            state = standing(state, self._last.velocity(proprio.tick))
        pictures = cropped(picture(frames["wrist"].pixels), picture(frames["front"].pixels))
        return [torch.tensor(value)[None] for value in (*pictures, state)]


class LatentPolicy(DpPolicy):
    """Predicts latents; the decoder makes smooth chunks of them."""

    def __init__(self, config: Settings):
        super().__init__(config, "dp_latent60")


class ActionPolicy(DpPolicy):
    """Predicts 60 Hz chunks directly: the comparison."""

    def __init__(self, config: Settings):
        super().__init__(config, "dp_action60")


class Planned(NamedTuple):
    """The chunk predicted last."""

    tick: int  # of its first row
    place: np.ndarray  # (48, 3) m, in the axes of the tool, which keeps its orientation

    def velocity(self, tick: int) -> np.ndarray:
        """At which the chunk goes on from its row of `tick`, or its last row but one, (3,) m/s in the tool's axes."""
        row = min(max(tick - self.tick, 0), HORIZON - 2)
        return (self.place[row + 1] - self.place[row]) * HZ


class Network(nn.Module):
    """The denoiser with the normalisation of its features and the range of its values: what a checkpoint holds."""

    mean: Tensor  # (F,) of the features
    spread: Tensor
    low: Tensor  # (10,) of the values in the data
    high: Tensor

    def __init__(self, length: int, features: int):
        super().__init__()
        self.shape = length, ACTION_WIDTH
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        self.register_buffer("low", torch.zeros(ACTION_WIDTH))
        self.register_buffer("high", torch.ones(ACTION_WIDTH))
        self.unet = UNet(length, ACTION_WIDTH, features)

    @classmethod
    def like(cls, tensors: Mapping[str, Tensor]) -> "Network":
        """A network for a checkpoint's tensors."""
        if "mean" not in tensors or "unet.place" not in tensors:
            raise BadCheckpoint(f"expected a diffusion policy, got tensors {', '.join(sorted(tensors)[:3])} ...")
        return cls(tensors["unet.place"].shape[1], len(tensors["mean"]))

    def condition(self, features: Tensor) -> Tensor:
        """(B, F) -> the same with mean 0 and standard deviation 1 over the data."""
        return (features - self.mean) / self.spread

    def forward(self, features: Tensor, noise: Tensor, samples: int) -> Tensor:
        """Features (B, F) and noise (B, L, 10) -> values (B, L, 10) in their own units."""
        condition = self.condition(features)
        return self.restored(sample(lambda x, time: self.unet(x, time, condition), noise, samples))

    def scaled(self, values: Tensor) -> Tensor:
        """Values -> [-1, 1]; numbers that never change -> 0."""
        return (values - self._middle) / self._half.clamp(min=LEAST_RANGE)

    def restored(self, scaled: Tensor) -> Tensor:
        """The inverse of `scaled`; numbers that never change are exact."""
        return scaled * self._half + self._middle

    @property
    def _middle(self) -> Tensor:
        return (self.high + self.low) / 2

    @property
    def _half(self) -> Tensor:
        return (self.high - self.low) / 2


LEAST_RANGE = 1e-3  # half of the range below which a number counts as constant
