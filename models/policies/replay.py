"""Replays the commands of a traced episode as chunks, tick by tick: the simplest open-loop policy."""

from pathlib import Path

import numpy as np

from operators.messages import HORIZON, Episode
from operators.motion.rotation import to_relative
from operators.policy import Observation, Prediction
from operators.settings import Settings
from recordings.trace import load


class ReplayPolicy:
    """Row i of a chunk is what was sent at tick t0 + i; past the end the last row is held.

    Raises:
        ValueError: REPLAY names no trace.
    """

    cameras = ()

    def __init__(self, config: Settings):
        if not config.replay:
            raise ValueError(
                "REPLAY: expected a trace such as out/trace/episode_0, got nothing; run `make demo` to make one"
            )
        path = Path(config.replay)
        cycles = load(path.parent, path.name).cycles
        ticks, first = np.unique(cycles.tick[cycles.tick >= 0], return_index=True)
        if not len(ticks):
            raise ValueError(f"REPLAY: expected a trace with commands, {path} has none")
        self._actions = np.asarray(cycles.action)[cycles.tick >= 0][first]
        self._first = int(ticks[0])

    def start(self, episode: Episode) -> None:
        """The trace is the same for every episode."""

    def predict(self, observation: Observation) -> Prediction:
        proprio = observation.proprio
        at = np.clip(np.arange(HORIZON) + proprio.tick - self._first, 0, len(self._actions) - 1)
        return Prediction(to_relative(self._actions[at], proprio.tcp_pose).astype("float32"))
