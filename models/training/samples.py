"""Training samples from a data set: pictures, states and chunks in the tool's axes, with augmentation."""

from dataclasses import replace
from functools import cache as once
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.encoders.vision import (
    CHUNK_MIRROR,
    FORCE,
    SIZE,
    STATE_MIRROR,
    TOUCH,
    cropped,
    standing,
    state_vector,
    touched,
)
from operators.messages import HORIZON, HZ
from operators.motion.rotation import matrix_from_6d, sixd_from_matrix
from recordings.dataset.cache import Cache, cache
from recordings.dataset.facts import Facts
from recordings.dataset.reader import Dataset

FEATURES = (
    *("observation.state", "observation.velocity", "observation.wrench"),
    *("action_chunk", "tick", "label.ticks_left", "label.start", "label.end"),
)
HELD_OUT = 0.1  # part of the episodes, the last ones
STATE_NOISE = torch.tensor([0.03] * 3 + [0.01] * 6 + [0.05] * 4 + [0.02] + [0.0] * 2)  # places are not to be learned


class Batch(NamedTuple):
    wrist: Tensor  # (B, h, w, 3) uint8, or float 0..255: `models.encoders.vision.cropped`
    front: Tensor
    state: Tensor  # (B, STATE)
    chunk: Tensor  # (B, 48, 10) relative to the measured pose
    finished: Tensor  # (B,) 0 or 1: the task is done, what follows is the way off
    ends: Tensor  # (B, 2, 2) where the path begins and ends, xy in the tool's axes [m]; NaN: not to be asked


class Told(NamedTuple):
    """What data sets say of their task."""

    facts: Facts
    tasks: list[str]  # names
    text: str  # what is to be done, in words

    @classmethod
    def by(cls, *data: Path) -> "Told":
        """What data sets say, which must have the same facts; the tasks' names may be different.

        Raises:
            ValueError: they have none or different ones.
        """
        found = [Facts.read(path) for path in data]
        for path, facts in zip(data, found, strict=True):
            if replace(facts, task=found[0].task) != found[0]:
                raise ValueError(f"{path}: expected the facts of {data[0]} (meta/augment.json), got others")
        texts = {text: None for path in data for episode in Dataset.open(path).episodes for text in episode.tasks}
        return cls(found[0], sorted({facts.task for facts in found}), " ".join(texts))


class Samples:
    """All rows of one or more data sets; of each the last episodes are held out."""

    def __init__(self, *data: Path):
        self.told = Told.by(*data)
        self.facts = facts = self.told.facts
        self._caches = [open_cache(path) for path in data]
        self._starts = np.cumsum([0, *(len(found) for found in self._caches)])
        self.key = " ".join(found.key for found in self._caches)
        lengths = np.concatenate([np.diff(found.starts) for found in self._caches])
        self.episode = np.repeat(np.arange(len(lengths)), lengths)  # (N,) that each row is of
        self.states = np.concatenate([states(facts, found) for found in self._caches])
        self.chunks = np.concatenate([relative_chunks(found) for found in self._caches])
        left = np.concatenate([found["label.ticks_left"] for found in self._caches])
        self.finished = (left < facts.finished_ticks).astype(np.float32)
        self.ends = np.concatenate([ends(found) for found in self._caches])
        approaching = (self.states[:, TOUCH] == 0) & (self.finished == 0)
        self.ends[~approaching, 0] = np.nan
        self.ends[np.linalg.norm(self.ends, axis=-1) > facts.sight_m] = np.nan
        begun = np.concatenate([found["tick"] for found in self._caches]) > 0
        self.states = np.where(begun[:, None], as_planned(facts, self.states, self.chunks), self.states)
        splits = [start + held_out_from(found) for start, found in zip(self._starts, self._caches, strict=False)]
        held_out = [np.arange(split, end) for split, end in zip(splits, self._starts[1:], strict=True)]
        self.held_out = np.concatenate(held_out)
        trained = np.setdiff1d(np.arange(len(self)), self.held_out)
        approach = trained[(self.states[trained, TOUCH] == 0) & (self.finished[trained] == 0)]
        self.trained = np.concatenate([trained, np.repeat(approach, facts.approach - 1)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def batch(self, rows: np.ndarray, flip: Tensor) -> Batch:
        """Rows (B,) as they are, mirrored where `flip` (B,)."""
        turn = flip.numpy()[:, None]
        state = np.where(turn, self.states[rows] * STATE_MIRROR, self.states[rows])
        chunk = np.where(turn[..., None], self.chunks[rows] * CHUNK_MIRROR, self.chunks[rows])
        ends = np.where(turn[..., None], self.ends[rows] * CHUNK_MIRROR[:2], self.ends[rows])
        wrist, front = (torch.from_numpy(pictures) for pictures in self._pictures(rows))
        for picture in (wrist, front):
            picture[flip] = picture[flip].flip(2)
        numbers = (torch.from_numpy(values) for values in (state, chunk, self.finished[rows], ends))
        return Batch(wrist, front, *numbers)

    def _pictures(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What matters of the pictures of both cameras, uint8."""
        blank = np.empty((len(rows), SIZE, SIZE, 3), np.uint8)
        wrist, front = (np.ascontiguousarray(picture) for picture in cropped(self.facts, blank, blank))
        for start, end, found in zip(self._starts, self._starts[1:], self._caches, strict=False):
            here = (rows >= start) & (rows < end)
            at = rows[here] - start
            pictures = found.pictures("wrist", at), found.pictures("front", at)
            wrist[here], front[here] = cropped(self.facts, *pictures)
        return wrist, front


def varied(facts: Facts, batch: Batch, generator: torch.Generator) -> Batch:
    """The same in other light, with noise, and a part of it pressed harder or softer where the tool presses."""
    wrist, front = (_lit(pictures, generator) for pictures in batch[:2])
    state, chunk = _pressed(facts, batch.state, batch.chunk, generator) if facts.press else (batch.state, batch.chunk)
    state = state + STATE_NOISE * torch.randn(state.shape, generator=generator)
    return batch._replace(wrist=wrist, front=front, state=state, chunk=chunk)


def as_planned(facts: Facts, state: np.ndarray, chunk: np.ndarray) -> np.ndarray:
    """States (N, STATE) in which a robot that stands in the middle of its task has the speed its plan passes with.

    So it is shown at run time, where the speed is that of the chunk it has used up; here it is that of the next.
    """
    velocity = (chunk[:, 1, :3] - chunk[:, 0, :3]) * HZ
    return standing(facts, state, velocity)


@once
def open_cache(data: Path) -> Cache:
    """The data set's memory-mapped cache, built beside it where it is not there yet.

    Raises:
        DamagedDataset: it is none, is damaged, or lacks a feature.
    """
    return cache(Dataset.open(data, features=FEATURES), data.with_name(data.name + "_cache"))


def held_out_from(found: Cache) -> int:
    """The first row of the held-out episodes."""
    episodes = len(found.starts) - 1
    return int(found.starts[max(1, episodes - max(1, round(HELD_OUT * episodes)))])


def read_chunks(*data: Path) -> tuple[np.ndarray, np.ndarray]:
    """All chunks relative to the measured pose, (n, 48, 10) float32: for training, and held out."""
    found = [(relative_chunks(one), held_out_from(one)) for one in map(open_cache, data)]
    return np.concatenate([c[:split] for c, split in found]), np.concatenate([c[split:] for c, split in found])


def relative_chunks(found: Cache) -> np.ndarray:
    """(N, 48, 10) float32; as `operators.motion.rotation.to_relative`, for all rows at once."""
    pose, action = found["observation.state"], found["action_chunk"]
    frame = matrix_from_6d(pose[:, 3:])
    place = np.einsum("nij,nti->ntj", frame, action[..., :3] - pose[:, None, :3])
    turn = sixd_from_matrix(np.einsum("nji,ntjk->ntik", frame, matrix_from_6d(action[..., 3:9])))
    return np.concatenate([place, turn, action[..., 9:]], -1).astype(np.float32)


def ends(found: Cache) -> np.ndarray:
    """Where the path begins and ends, (N, 2, 2) float32: xy in the tool's axes [m]."""
    pose = found["observation.state"]
    both = np.stack([found["label.start"], found["label.end"]], 1) - pose[:, None, :3]
    return np.einsum("nij,nti->ntj", matrix_from_6d(pose[:, 3:]), both)[..., :2].astype(np.float32)


def states(facts: Facts, found: Cache) -> np.ndarray:
    """(N, STATE) float32, see `models.encoders.vision.state_vector`."""
    pose, velocity, wrench = (found[f"observation.{name}"] for name in ("state", "velocity", "wrench"))
    matrix = matrix_from_6d(pose[:, 3:]).astype(np.float32)
    return state_vector(facts, pose[:, :3], matrix, velocity[:, :3], wrench[:, 2])


def _lit(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Other light and noise: (B, h, w, 3) uint8 -> float 0..255."""
    n = len(pictures)
    gain = 1 + 0.1 * torch.randn(n, 1, 1, 1, generator=generator) + 0.03 * torch.randn(n, 1, 1, 3, generator=generator)
    offset = 8 * torch.randn(n, 1, 1, 1, generator=generator)
    noise = 4 * torch.randn((16, *pictures.shape[1:]), generator=generator)  # sixteen patterns: drawing more is slow
    lit = pictures.float().mul_(gain).add_(offset)
    return lit.add_(noise[torch.randint(16, (n,), generator=generator)]).clamp_(0, 255)


def _pressed(facts: Facts, state: Tensor, chunk: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As if the tool pressed with another force, where it touches: the expert has hardly ever pressed wrongly.

    The tip is a spring, so another force is another depth d of the arm. The expert's path is shifted by d along the
    tool; what it corrects decays, except for small offsets, which it lets be.
    """
    press, n = facts.press, len(state)
    assert press is not None
    force = facts.force_n * (state[:, FORCE] + 1)
    chosen = (torch.rand(n, generator=generator) < press.share) & (force > press.contact_n)
    drawn = torch.rand(n, generator=generator) * (press.harder_n + press.softer_n) - press.softer_n
    more = torch.maximum(drawn, press.least_n - force) * chosen
    depth = (more / press.stiffness_n_m)[:, None]  # m
    believed = depth**2 / (depth**2 + press.trusted_m**2)
    decay = torch.exp(-(torch.arange(HORIZON) + press.lag_ticks) / press.recovery_ticks)
    state, chunk = state.clone(), chunk.clone()
    state[:, FORCE] += more / facts.force_n
    state[:, TOUCH] = torch.where(chosen, touched(facts, force + more), state[:, TOUCH])
    chunk[..., 2] -= depth * (1 - believed * decay)
    return state, chunk
