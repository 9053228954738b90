"""A recorded episode at a glance: path, rotation and force over time, and the rates of its topics, one picture."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from operators.measure.demonstration import Demonstration
from operators.motion.rotation import pose_from_action
from reports.palette import BLUE, RED, SKY, TEAL, styled, write

SUFFIXES = (".png", ".svg", ".pdf")
XYZ, ROTATION = ("x", "y", "z"), ("rx", "ry", "rz")
COLOURS = RED, TEAL, BLUE


@styled
def plot(title: str, episode: Demonstration, topics: Mapping[str, tuple[float, str]], to: Path) -> None:
    """Draw one episode.

    Args:
        title: over the picture.
        episode: what was measured and commanded.
        topics: of the recording: messages a second, and what is told beside.
        to: the picture.

    Raises:
        ValueError: no picture file is named.
    """
    if to.suffix not in SUFFIXES:
        raise ValueError(f"expected a file of {', '.join(SUFFIXES)}, got {to}")
    measured, commanded = episode.measured, episode.commanded
    time = (measured.t_ns - measured.t_ns[0]) / 1e9
    figure = Figure(figsize=(11, 10), layout="constrained")
    path, rotation, force, rates = figure.subplots(4, 1)
    rows = None
    if len(commanded):
        at = np.clip(measured.tick - commanded.tick, 0, len(commanded) - 1)
        rows = pose_from_action(commanded.action[at])
    _curves(path, time, 1e3 * measured.tcp_pose[:, :3], None if rows is None else 1e3 * rows[:, :3], XYZ, "mm")
    vectors = np.degrees(_continued(measured.tcp_pose[:, 3:]))
    _curves(rotation, time, vectors, None, ROTATION, "deg, rotation vector")
    force.plot(time, measured.wrench[:, 2], color=COLOURS[2], linewidth=1)
    force.set(ylabel="force along the tool, N", xlabel="s")
    rates.barh([*topics], [rate_hz for rate_hz, _ in topics.values()], color=SKY)
    for i, (_, told) in enumerate(topics.values()):
        rates.text(0, i, f" {told}", va="center", fontsize=7)
    rates.set(xlabel="messages a second")
    rates.invert_yaxis()
    figure.suptitle(title, fontsize=11)
    write(figure, to)


def _curves(
    axes: Axes, time: np.ndarray, values: np.ndarray, wanted: np.ndarray | None, names: tuple[str, ...], unit: str
) -> None:
    """Measured lines, commanded ones dashed under them."""
    for i, name in enumerate(names):
        if wanted is not None:
            axes.plot(time, wanted[:, i], color=COLOURS[i], linewidth=0.8, linestyle="--", alpha=0.6)
        axes.plot(time, values[:, i], color=COLOURS[i], linewidth=1.2, label=name)
    axes.set(ylabel=unit)
    axes.legend(loc="best", ncols=3)


def _continued(vectors: np.ndarray) -> np.ndarray:
    """Rotation vectors (n, 3) without the leap where the angle passes pi: of both vectors, the nearer to the last."""
    out = vectors.copy()
    for i in range(1, len(out)):
        angle = np.linalg.norm(out[i])
        if angle > 0 and np.dot(out[i], out[i - 1]) < 0:
            out[i] *= 1 - 2 * np.pi / angle
    return out
