"""Training samples from a data set, as arrays: chunks and states in the frame of the measured TCP pose."""

from functools import cache as once
from pathlib import Path

import numpy as np

from models.vision import state_vector
from operators.rotation import matrix_from_6d, sixd_from_matrix
from recordings.dataset import Dataset
from recordings.dataset_cache import Cache, cache

FEATURES = ("observation.state", "observation.velocity", "observation.wrench", "action_chunk", "label.ticks_left")
HELD_OUT = 0.1  # part of the episodes, the last ones


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


def read_chunks(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """All chunks relative to the measured pose, (n, 48, 10) float32: for training, and held out."""
    found = open_cache(data)
    chunks, split = relative_chunks(found), held_out_from(found)
    return chunks[:split], chunks[split:]


def relative_chunks(found: Cache) -> np.ndarray:
    """(N, 48, 10) float32; as `operators.rotation.to_relative`, for all rows at once."""
    pose, action = found["observation.state"], found["action_chunk"]
    frame = matrix_from_6d(pose[:, 3:])
    place = np.einsum("nij,nti->ntj", frame, action[..., :3] - pose[:, None, :3])
    turn = sixd_from_matrix(np.einsum("nji,ntjk->ntik", frame, matrix_from_6d(action[..., 3:9])))
    return np.concatenate([place, turn, action[..., 9:]], -1).astype(np.float32)


def states(found: Cache) -> np.ndarray:
    """(N, STATE) float32, see `models.vision.state_vector`."""
    pose, velocity, wrench = (found[f"observation.{name}"] for name in ("state", "velocity", "wrench"))
    return state_vector(pose[:, :3], matrix_from_6d(pose[:, 3:]).astype(np.float32), velocity[:, :3], wrench[:, 2])
