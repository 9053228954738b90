"""Takeovers as pictures: the plan, the chunk by tick and where it was laid, so that a wrong strand can be seen."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from operators.measure.shifts import Shifted
from operators.motion.align import resampled
from reports.palette import DARK, RED, SAND, TEAL, styled, write

COLUMNS, ROWS = 4, 3
PLAYED, SHOWN = 40, 30  # rows before the takeover, and of the chunk after it


@styled
def draw(found: Sequence[tuple[str, Shifted, float, np.ndarray]], folder: Path) -> list[Path]:
    """Pages of takeovers -> their files.

    Args:
        found: title, takeover, the shift [ticks], and the reference path (n, 3) [m] or none.
    """
    pages = []
    for number, first in enumerate(range(0, len(found), COLUMNS * ROWS)):
        some = found[first : first + COLUMNS * ROWS]
        figure = Figure(figsize=(4 * COLUMNS, 3.6 * -(-len(some) // COLUMNS)), layout="constrained")
        axes = np.atleast_1d(figure.subplots(-(-len(some) // COLUMNS), COLUMNS, squeeze=False)).ravel()
        for axis in axes[len(some) :]:
            axis.set_axis_off()
        for axis, (title, taken, shift_ticks, reference) in zip(axes, some, strict=False):
            _panel(axis, title, taken, shift_ticks, reference)
        axes[0].legend(fontsize=7, loc="best")
        pages.append(folder / f"shifts_{number}.png")
        write(figure, pages[-1], dpi=80)
    return pages


def _panel(axis, title: str, taken: Shifted, shift_ticks: float, reference: np.ndarray) -> None:
    takeover, chunk = taken.played.end, taken.predicted
    played = taken.played.since(takeover - PLAYED).action[:, :3].astype(np.float64)
    by_tick = chunk.between(takeover, takeover + SHOWN).action[:, :3].astype(np.float64)
    laid = resampled(chunk, shift_ticks).between(takeover, takeover + SHOWN).action[:, :3].astype(np.float64)
    plane = _plane(reference if len(reference) > 2 else np.concatenate([played, by_tick]))
    origin = played[-1]

    def flat(points: np.ndarray) -> np.ndarray:
        return (1e3 * (points - origin) @ plane.T).T

    if len(reference):
        near = reference[np.linalg.norm(reference - origin, axis=1) < 0.04]
        axis.plot(*flat(near), ".", color=SAND, markersize=4, label="expert")
    axis.plot(*flat(played), "-", color=DARK, linewidth=1.6, label="played")
    axis.plot(*flat(by_tick), "o-", color=RED, markersize=2, linewidth=0.8, label="chunk by tick")
    axis.plot(*flat(laid), "o-", color=TEAL, markersize=2, linewidth=0.8, label="chunk as laid")
    for rows, colour in ((by_tick, RED), (laid, TEAL)):
        if len(rows):
            axis.plot(*flat(rows[:1]), "o", color=colour, markersize=6)
    axis.plot(0, 0, "s", color=DARK, markersize=5)
    axis.set_aspect("equal", adjustable="datalim")
    axis.set_title(f"{title}: {shift_ticks:+.1f} ticks", fontsize=9)
    axis.tick_params(labelsize=7)


def _plane(points: np.ndarray) -> np.ndarray:
    """(2, 3), the two directions in which points vary most."""
    return np.linalg.svd(points - points.mean(0), full_matrices=False)[2][:2]
