"""The learned policy at run time: newest frames and measured state -> features -> sampler -> a chunk, latent or action.

Where a plan is shown to it, its sampler continues the plan (GUIDE). Nothing else goes in: no tick, no seed of the task,
no simulation. What is drawn at random follows from (seed, episode, chunk_id).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.checkpoint import BadCheckpoint, Checkpoint, read, require
from models.codecs.vae import VaeCodec
from models.encoders.vision import CONDITION, Vision, cropped, picture, standing, state_vector
from models.registry import make_codec
from models.samplers.diffusion import UNet
from models.samplers.flow import RowTimes
from models.samplers.guidance import KINDS, OF_ROWS, Function, Units, continued, draws, target, timed
from models.samplers.rtc import Target, gain
from models.stored import beside, located
from operators.chunks.codec import Codec
from operators.chunks.prefix import Prefix
from operators.frame import Frame
from operators.messages import HORIZON, HZ, Episode, Proprio
from operators.motion.rotation import IDENTITY_6D, matrix_from_vector
from operators.policy import Observation, Prediction
from operators.schema import ACTION_WIDTH
from operators.settings import Settings

SPACES = {"latent60": "latent", "action60": "action"}  # of a checkpoint -> of a prediction
KEPT = 3  # predictions remembered beside the newest: features are made beside chunks


class LearnedPolicy:
    """Any policy that was trained by `rtr train-policy`: family, space, codec and encoder are facts of its checkpoint.

    Raises:
        BadCheckpoint: a checkpoint is missing or damaged, or encoder, codec and policy do not fit.
    """

    cameras, on_arm = ("front", "wrist"), "wrist"

    def __init__(self, config: Settings):
        torch.set_num_threads(1)  # the other cores belong to the other processes
        checkpoint = read(located(config.policy))
        about = checkpoint.about
        encoder = read(beside(checkpoint.path, str(about.get("encoder")).split(":")[0]))
        require(checkpoint, "encoder", encoder.name)
        self._space = SPACES[about["space"]]
        self._codec = make_codec(config.codec) if self._space == "latent" else None
        if self._codec:
            require(checkpoint, "codec", self._codec.name)
        guides = KINDS[about["kind"]].guides
        self.guides = tuple(guide for guide in guides if not (self._codec and guide in OF_ROWS))
        self._vision = Vision.of(encoder)
        self._network = Network.of(checkpoint)
        self._samples, self._temperature = int(about["samples"]), float(about["temperature"])
        self._guide, self._align = config.guide, config.align
        self._units = guided_in(self._network, self._codec)
        self._episode: Episode | None = None
        self._made: dict[int, Planned] = {}  # chunk_id -> of the newest few
        still = np.tile(np.append(np.zeros(3), [*IDENTITY_6D, 0]), (HORIZON, 1))
        able = self._guide in self.guides  # where no plan is shown to it, it need not be
        warm_up = target(Prefix(still, np.ones(HORIZON), HORIZON), self._units) if able else None
        self._sample(torch.zeros(1, CONDITION), self._noise(0), warm_up)  # torch takes half a second the first time

    def start(self, episode: Episode) -> None:
        self._episode, self._made = episode, {}

    @torch.no_grad()  # not inference_mode, in which a sampler could not take gradients
    def predict(self, observation: Observation) -> Prediction:
        """One chunk, relative to the measured pose."""
        if self._episode is None:
            raise ValueError("expected an episode to have started before a chunk is asked for")
        seed = self._episode.seed, self._episode.episode, observation.chunk_id
        last = self._made[max(self._made)] if self._made else None
        inputs = self._inputs(observation.proprio, observation.frames, last)
        features, noise = self._vision(*inputs), self._noise(seed)
        shown, shift_ticks = timed(observation, self._guide, self._align, lambda: self._draft(features, noise))
        values = self._sample(features, noise, continued(shown, self._guide, self._units))[0].numpy()
        planned = Planned(observation.proprio.tick, self._rows(values)[:, :3])
        kept = sorted(self._made)[-KEPT:]
        self._made = {**{number: self._made[number] for number in kept}, observation.chunk_id: planned}
        codec = self._codec.name if self._codec else ""
        return Prediction(values, self._space, codec=codec, seed=self._episode.seed, shift_ticks=shift_ticks)

    def _rows(self, values: np.ndarray) -> np.ndarray:
        """A chunk (48, 10) of what the network gives."""
        return self._codec.decode(values) if self._codec else values

    def _draft(self, features: Tensor, noise: Tensor) -> np.ndarray:
        """The unguided chunk of one sampling step."""
        return self._rows(self._network(features, noise[:1], 1)[0].numpy())

    @torch.no_grad()
    def features(self, proprio: Proprio, frames: Mapping[str, Frame], after: int) -> np.ndarray:
        """What the encoder sees, (CONDITION,) float32: for a correction head."""
        return self._vision(*self._inputs(proprio, frames, self._made.get(after)))[0].numpy()

    def _noise(self, seed: int | tuple[int, ...]) -> Tensor:
        """As many as the guide needs: (n, L, 10). Where it chooses among samples, they must differ."""
        draw = torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        count = draws(self._guide)
        noise = torch.stack([torch.randn(self._network.shape, generator=draw) for _ in range(count)])
        return noise * (self._temperature if count == 1 else 1.0)

    @torch.no_grad()
    def _sample(self, features: Tensor, noise: Tensor, bound: Target | None) -> Tensor:
        """One chunk (1, L, 10) in the policy's space."""
        network = self._network
        function = network.bound(features)
        return network.restored(KINDS[network.kind].chunk(self._guide, function, noise, bound, self._samples))

    def _inputs(self, proprio: Proprio, frames: Mapping[str, Frame], last: "Planned | None") -> list[Tensor]:
        """Wrist picture, front picture and state, each a batch of one."""
        facts, matrix = self._vision.facts, matrix_from_vector(proprio.tcp_pose[3:])
        state = state_vector(facts, proprio.tcp_pose[:3], matrix, proprio.tcp_velocity[:3], proprio.wrench[2])
        if last is not None:
            state = standing(facts, state, last.velocity(proprio.tick))
        pictures = cropped(facts, picture(frames["wrist"].pixels), picture(frames["front"].pixels))
        return [torch.tensor(value)[None] for value in (*pictures, state)]


class Planned(NamedTuple):
    """The chunk predicted last."""

    tick: int  # of its first row
    place: np.ndarray  # (48, 3) m, in the axes of the tool, which keeps its orientation

    def velocity(self, tick: int) -> np.ndarray:
        """At which the chunk goes on from its row of `tick`, or its last row but one, (3,) m/s in the tool's axes."""
        row = min(max(tick - self.tick, 0), HORIZON - 2)
        return (self.place[row + 1] - self.place[row]) * HZ


class Network(nn.Module):
    """The denoiser or velocity, how its features are normalised and the range of its values: a checkpoint's content."""

    mean: Tensor  # (F,) of the features
    spread: Tensor
    low: Tensor  # (10,) of the values in the data
    high: Tensor

    def __init__(self, length: int, features: int, kind: str = "dp"):
        super().__init__()
        self.shape, self.kind = (length, ACTION_WIDTH), kind
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("spread", torch.ones(features))
        self.register_buffer("low", torch.zeros(ACTION_WIDTH))
        self.register_buffer("high", torch.ones(ACTION_WIDTH))
        each_row = kind == "rtcflow"  # has a time of its own, which is a channel more
        unet = UNet(length, ACTION_WIDTH + each_row, features)
        self.unet = RowTimes(unet) if each_row else unet

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "Network":
        """Trained and frozen."""
        tensors, kind = checkpoint.tensors, checkpoint.about["kind"]
        place = "unet.network.place" if kind == "rtcflow" else "unet.place"
        if "mean" not in tensors or place not in tensors:
            found = ", ".join(sorted(tensors)[:3])
            raise BadCheckpoint(f"{checkpoint.path}: expected a policy, got tensors {found} ...")
        network = cls(tensors[place].shape[1], len(tensors["mean"]), kind).eval().requires_grad_(False)
        checkpoint.fill(network)
        return network

    def condition(self, features: Tensor) -> Tensor:
        """(B, F) -> the same with mean 0 and standard deviation 1 over the data."""
        return (features - self.mean) / self.spread

    def forward(self, features: Tensor, noise: Tensor, samples: int) -> Tensor:
        """Features (B, F) and noise (B, L, 10) -> values (B, L, 10) in their own units."""
        return self.restored(KINDS[self.kind].sample(self.bound(features), noise, samples))

    def bound(self, features: Tensor) -> Function:
        """The denoiser or velocity where these features (B or 1, F) are seen."""
        condition = self.condition(features)
        return lambda x, time: self.unet(x, time, condition.expand(len(x), -1))

    def scaled(self, values: Tensor) -> Tensor:
        """Values -> [-1, 1]; numbers that never change -> 0."""
        middle, half = self._range()
        return (values - middle) / half.clamp(min=LEAST_RANGE)

    def restored(self, scaled: Tensor) -> Tensor:
        """The inverse of `scaled`; numbers that never change are exact."""
        middle, half = self._range()
        return scaled * half + middle

    def _range(self) -> tuple[Tensor, Tensor]:
        """Middle and half of the width, (10,) each."""
        return (self.high + self.low) / 2, (self.high - self.low) / 2


def guided_in(network: Network, codec: Codec | None) -> Units:
    """In which rows are compared with a plan.

    Of actions: their range in the data, outside of which no sample is; numbers that never change there do not count.
    Of latents: those of the VAE, but so that the decoder's gain (see `Target`) is LATENT_GAIN.

    Raises:
        BadCheckpoint: a codec of latents whose decoder has no gradient.
    """
    if codec is None:
        varies = (network.scaled(network.high) > 0.99).float()
        return Units(lambda rows: network.scaled(rows.float()).clamp(-1, 1) * varies, lambda sample: sample * varies)
    if not isinstance(codec, VaeCodec):
        raise BadCheckpoint(f"expected a policy of latents of a VAE, got one of {codec.name}")
    vae = codec.vae

    def decode(sample: Tensor) -> Tensor:
        return vae.scaled(vae.decode(network.restored(sample)))

    size = gain(decode, torch.zeros(1, *network.shape)) / LATENT_GAIN
    return Units(lambda rows: vae.scaled(rows.float()) / size, lambda sample: decode(sample) / size)


# At 1 the guide hardly moves a trained policy's chunks, which differ by far less than the data; past 7 it overshoots.
LATENT_GAIN = 4.0
LEAST_RANGE = 1e-3  # half of the range below which a number counts as constant
