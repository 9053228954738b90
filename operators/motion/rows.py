"""Rows: actions on consecutive ticks. The one type that plans, chunks and joins are made of."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from operators.schema import ACTION_WIDTH


class Rows(NamedTuple):
    """n actions, row i due at `tick + i`."""

    tick: int  # of the first row
    action: np.ndarray  # (n, 10) float32, base frame unless said otherwise

    def __len__(self) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        return len(self.action)

    @property
    def end(self) -> int:
        """One past the last tick."""
        return self.tick + len(self.action)

    def between(self, start: int, end: int) -> "Rows":
        """The rows of ticks start <= t < end; fewer where this has fewer."""
        first = min(max(start - self.tick, 0), len(self.action))
        last = min(max(end - self.tick, first), len(self.action))
        return Rows(self.tick + first, self.action[first:last])

    def since(self, start: int) -> "Rows":
        """The rows from tick `start` on."""
        return self.between(start, self.end)

    def at(self, tick: int) -> np.ndarray:
        """The action of one tick, (10,)."""
        if not self.tick <= tick < self.end:
            raise IndexError(f"expected a tick in {self.tick}..{self.end - 1}, got {tick}")
        return self.action[tick - self.tick]


def rows(tick: int, action: np.ndarray) -> Rows:
    """Checked Rows from anything array-like of shape (n, 10), all finite."""
    action = np.asarray(action, np.float32)
    if action.ndim != 2 or action.shape[1] != ACTION_WIDTH:
        raise ValueError(f"expected actions of shape (n, {ACTION_WIDTH}), got {action.shape}")
    if not np.isfinite(action).all():
        raise ValueError("expected finite actions, got NaN or infinity")
    return Rows(int(tick), action)


def nothing(tick: int = 0) -> Rows:
    """No rows; the next would be due at `tick`."""
    return Rows(tick, np.zeros((0, ACTION_WIDTH), np.float32))


def concat(*parts: Rows) -> Rows:
    """Join rows whose ticks follow on without gap or overlap; empty parts are passed over.

    Raises:
        ValueError: a tick is missing or there twice.
    """
    filled = [part for part in parts if len(part)]
    if not filled:
        return parts[0] if parts else nothing()
    for left, right in pairwise(filled):
        if left.end != right.tick:
            raise ValueError(f"expected rows to go on at tick {left.end}, got {right.tick}")
    return Rows(filled[0].tick, np.concatenate([part.action for part in filled]))
