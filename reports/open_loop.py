"""Chunks over the demonstration: xyz, and roll, pitch, yaw from its first pose; a picture, and a page."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from operators.measure.open_loop import TURNS, XYZ, turns
from operators.motion.rows import Rows
from reports.page import rendered
from reports.palette import BLUE, DARK, styled, write


@styled
def draw(title: str, chunks: Sequence[Rows], demonstrated: Rows, to: Path) -> None:
    """Six rows of axes over time; the demonstration is the thick line."""
    figure = Figure(figsize=(12, 12), layout="constrained")
    axes = figure.subplots(6, 1, sharex=True)
    origin = demonstrated.action[:1]
    lines = [(rows, BLUE, 0.8) for rows in chunks] + [(demonstrated, DARK, 1.8)]
    for rows, colour, width in lines:
        tick = np.arange(rows.tick, rows.end)
        turned = np.degrees(turns(rows.action, np.broadcast_to(origin, rows.action.shape)))
        values = np.concatenate([1e3 * rows.action[:, :3], turned], -1)
        for i in range(6):
            axes[i].plot(tick, values[:, i], color=colour, linewidth=width, zorder=1 if colour == DARK else 2)
    for i, name in enumerate((*XYZ, *TURNS)):
        axes[i].set_ylabel(f"{name}, {'mm' if i < 3 else 'deg'}")
    axes[-1].set_xlabel("tick")
    figure.suptitle(f"{title}: chunks (blue) over the demonstration", fontsize=11)
    write(figure, to, dpi=90)


def page(title: str, table: Sequence[Sequence[str]], pictures: Mapping[str, Path], to: Path) -> None:
    """One HTML file that needs no network: the table, then the pictures."""
    shown = {name: base64.b64encode(path.read_bytes()).decode() for name, path in pictures.items()}
    to.write_text(rendered("open_loop.html", title=title, table=table, pictures=shown))
