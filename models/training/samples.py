"""Training samples from a data set: pictures, states and chunks in the tool's axes, with augmentation."""

from functools import cache as once
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.encoders.vision import CHUNK_MIRROR, SIZE, STATE_MIRROR, cropped, standing, state_vector
from operators.messages import HORIZON, HZ
from operators.motion.rotation import matrix_from_6d, sixd_from_matrix
from recordings.dataset.cache import Cache, cache
from recordings.dataset.reader import Dataset

FEATURES = (
    *("observation.state", "observation.velocity", "observation.wrench"),
    *("action_chunk", "tick", "label.ticks_left", "label.start", "label.end"),
)
HELD_OUT = 0.1  # part of the episodes, the last ones
NEAR = 0.07  # m: an end of the stroke that is farther off may be out of sight
FINISHED = 40  # ticks before the end of the expert's lift: the pen is leaving the board
APPROACH = 2  # times a row counts on the way to the board: it is short, and where it ends all else begins
STIFFNESS = 674.0  # N/m, of the pen's tip on the board
SERVO_LAG, RECOVERY = 2.68, 16.0  # ticks: how late the arm is, and in which the expert's correction falls to 1 / e
PRESSED = 0.4  # part of the samples in contact that are pressed harder or softer
HARDEST = 4.0  # N more at most
_FORCE, _TOUCH = 13, 14  # columns of a state
STATE_NOISE = torch.tensor([0.03] * 3 + [0.01] * 6 + [0.05] * 4 + [0.02] + [0.0] * 2)  # 3 mm: places are not learned


class Batch(NamedTuple):
    wrist: Tensor  # (B, 72, 72, 3) uint8, or float 0..255: `models.encoders.vision.cropped`
    front: Tensor  # (B, 64, 72, 3)
    state: Tensor  # (B, STATE)
    chunk: Tensor  # (B, 48, 10) relative to the measured pose
    finished: Tensor  # (B,) 0 or 1: the pen has begun to leave the board for good
    ends: Tensor  # (B, 2, 2) where the stroke begins and ends, xy in the tool's axes [m]; NaN: not to be asked


class Samples:
    """All rows of one or more data sets; of each the last episodes are held out."""

    def __init__(self, *data: Path):
        self._caches = [open_cache(path) for path in data]
        self._starts = np.cumsum([0, *(len(found) for found in self._caches)])
        self.key = " ".join(found.key for found in self._caches)
        lengths = np.concatenate([np.diff(found.starts) for found in self._caches])
        self.episode = np.repeat(np.arange(len(lengths)), lengths)  # (N,) that each row is of
        self.states = np.concatenate([states(found) for found in self._caches])
        self.chunks = np.concatenate([relative_chunks(found) for found in self._caches])
        left = np.concatenate([found["label.ticks_left"] for found in self._caches])
        self.finished = (left < FINISHED).astype(np.float32)
        self.ends = np.concatenate([ends(found) for found in self._caches])
        approaching = (self.states[:, _TOUCH] == 0) & (self.finished == 0)
        self.ends[~approaching, 0] = np.nan
        self.ends[np.linalg.norm(self.ends, axis=-1) > NEAR] = np.nan
        begun = np.concatenate([found["tick"] for found in self._caches]) > 0
        self.states = np.where(begun[:, None], as_planned(self.states, self.chunks), self.states)
        splits = [start + held_out_from(found) for start, found in zip(self._starts, self._caches, strict=False)]
        held_out = [np.arange(split, end) for split, end in zip(splits, self._starts[1:], strict=True)]
        self.held_out = np.concatenate(held_out)
        trained = np.setdiff1d(np.arange(len(self)), self.held_out)
        approach = trained[(self.states[trained, _TOUCH] == 0) & (self.finished[trained] == 0)]
        self.trained = np.concatenate([trained, np.repeat(approach, APPROACH - 1)])

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
        wrist, front = (np.ascontiguousarray(picture) for picture in cropped(blank, blank))
        for start, end, found in zip(self._starts, self._starts[1:], self._caches, strict=False):
            here = (rows >= start) & (rows < end)
            at = rows[here] - start
            wrist[here], front[here] = cropped(found.pictures("wrist", at), found.pictures("front", at))
        return wrist, front


def varied(batch: Batch, generator: torch.Generator) -> Batch:
    """The same in other light, with noise, and a part of it pressed harder or softer."""
    wrist, front = (_lit(pictures, generator) for pictures in batch[:2])
    state, chunk = _pressed(batch.state, batch.chunk, generator)
    state = state + STATE_NOISE * torch.randn(state.shape, generator=generator)
    return batch._replace(wrist=wrist, front=front, state=state, chunk=chunk)


def as_planned(state: np.ndarray, chunk: np.ndarray) -> np.ndarray:
    """States (N, STATE) in which a robot that stands in the middle of its task has the speed its plan passes with.

    So it is shown at run time, where the speed is that of the chunk it has used up; here it is that of the next.
    """
    velocity = (chunk[:, 1, :3] - chunk[:, 0, :3]) * HZ
    return standing(state, velocity)


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
    """Where the stroke begins and ends, (N, 2, 2) float32: xy in the tool's axes [m]."""
    pose = found["observation.state"]
    both = np.stack([found["label.start"], found["label.end"]], 1) - pose[:, None, :3]
    return np.einsum("nij,nti->ntj", matrix_from_6d(pose[:, 3:]), both)[..., :2].astype(np.float32)


def states(found: Cache) -> np.ndarray:
    """(N, STATE) float32, see `models.encoders.vision.state_vector`."""
    pose, velocity, wrench = (found[f"observation.{name}"] for name in ("state", "velocity", "wrench"))
    return state_vector(pose[:, :3], matrix_from_6d(pose[:, 3:]).astype(np.float32), velocity[:, :3], wrench[:, 2])


def _lit(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Other light and noise: (B, h, w, 3) uint8 -> float 0..255."""
    n = len(pictures)
    gain = 1 + 0.1 * torch.randn(n, 1, 1, 1, generator=generator) + 0.03 * torch.randn(n, 1, 1, 3, generator=generator)
    offset = 8 * torch.randn(n, 1, 1, 1, generator=generator)
    noise = 4 * torch.randn((16, *pictures.shape[1:]), generator=generator)  # sixteen patterns: drawing more is slow
    lit = pictures.float().mul_(gain).add_(offset)
    return lit.add_(noise[torch.randint(16, (n,), generator=generator)]).clamp_(0, 255)


def _pressed(state: Tensor, chunk: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As if the pen pressed with another force, where it touches: the expert has hardly ever pressed wrongly.

    The tip is a spring, so another force is another depth d of the arm. The expert's path is shifted by d along the
    pen; what it corrects decays with RECOVERY, except for offsets below half a millimetre, which it lets be.
    """
    n = len(state)
    force = 2 * (state[:, _FORCE] + 1)
    chosen = (torch.rand(n, generator=generator) < PRESSED) & (force > 1.2)
    more = torch.maximum(torch.rand(n, generator=generator) * (HARDEST + 1) - 1, 1.05 - force) * chosen
    depth = (more / STIFFNESS)[:, None]  # m
    believed = depth**2 / (depth**2 + 0.0005**2)
    decay = torch.exp(-(torch.arange(HORIZON) + SERVO_LAG) / RECOVERY)
    state, chunk = state.clone(), chunk.clone()
    state[:, _FORCE] += more / 2
    state[:, _TOUCH] = torch.where(chosen, ((force + more - 0.3) / 0.7).clamp(0, 1), state[:, _TOUCH])
    chunk[..., 2] -= depth * (1 - believed * decay)
    return state, chunk
