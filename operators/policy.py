"""What a policy is: observation in, prediction out. Which one runs is chosen in models.registry."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np

from operators.frame import Frame
from operators.messages import HZ, Episode, Proprio


class Observation(NamedTuple):
    """What the policy may look at when it is asked."""

    chunk_id: int
    proprio: Proprio
    frames: Mapping[str, Frame]  # camera -> newest frame


class Prediction(NamedTuple):
    """A chunk relative to the observed TCP pose."""

    values: np.ndarray  # (H, 10) actions or (H / 4, 10) latent, float32
    space: str = "action"  # latent, action
    rate_hz: float = HZ
    codec: str = ""  # name:hash where space is latent
    seed: int = 0


class Policy(Protocol):
    """Deterministic under (seed, episode, chunk_id)."""

    cameras: tuple[str, ...]  # frames it needs

    def start(self, episode: Episode) -> None:
        """A new episode begins."""
        ...

    def predict(self, observation: Observation) -> Prediction:
        """One chunk."""
        ...
