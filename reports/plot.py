"""A recording at a glance: path, rotation, force and the gaps of its topics over time, one picture."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from operators.measure.demonstration import Demonstration
from operators.motion.rotation import pose_from_action
from recordings.drec.survey import Survey

SUFFIXES = (".png", ".svg", ".pdf")
XYZ, ROTATION = ("x", "y", "z"), ("rx", "ry", "rz")
COLOURS = ("#d43d3d", "#0f9b8e", "#2563eb")


def plot(episode: Demonstration, found: Survey, to: Path) -> None:
    """Draw one episode.

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
    names = list(found.topics)
    rates.barh(names, [found.topics[name].rate_hz for name in names], color="#a9cdf5")
    for i, name in enumerate(names):
        topic = found.topics[name]
        told = f" {topic.messages} messages, largest gap {topic.largest_gap_ms:.0f} ms, {topic.missing} missing"
        rates.text(0, i, told, va="center", fontsize=7)
    rates.set(xlabel="messages a second")
    rates.invert_yaxis()
    figure.suptitle(f"{Path(found.file).name}, episode {episode.episode.episode}", fontsize=11)
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to, dpi=110)


def _curves(
    axes: Axes, time: np.ndarray, values: np.ndarray, wanted: np.ndarray | None, names: tuple[str, ...], unit: str
) -> None:
    """Measured lines, commanded ones dashed under them."""
    for i, name in enumerate(names):
        if wanted is not None:
            axes.plot(time, wanted[:, i], color=COLOURS[i], linewidth=0.8, linestyle="--", alpha=0.6)
        axes.plot(time, values[:, i], color=COLOURS[i], linewidth=1.2, label=name)
    axes.set(ylabel=unit)
    axes.legend(loc="upper right", ncols=3, fontsize=8)
    axes.grid(color="#e6e9ef")


def _continued(vectors: np.ndarray) -> np.ndarray:
    """Rotation vectors (n, 3) without the leap where the angle passes pi: of both vectors, the nearer to the last."""
    out = vectors.copy()
    for i in range(1, len(out)):
        angle = np.linalg.norm(out[i])
        if angle > 0 and np.dot(out[i], out[i - 1]) < 0:
            out[i] *= 1 - 2 * np.pi / angle
    return out
