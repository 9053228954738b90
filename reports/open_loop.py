"""Chunks over the demonstration: xyz, and roll, pitch, yaw from its first pose; a picture, and a page."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from operators.measure.open_loop import TURNS, XYZ, turns
from operators.motion.rows import Rows
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
    head, *rows = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in table]
    body = [
        f"<h1>{escape(title)}</h1><table><tr class='head'>{head}</tr>",
        *[f"<tr>{row}</tr>" for row in rows],
        "</table>",
    ]
    for name, path in pictures.items():
        data = base64.b64encode(path.read_bytes()).decode()
        body.append(f"<h2>{escape(name)}</h2><img src='data:image/png;base64,{data}' alt='{escape(name)}'>")
    style = "body{font:14px sans-serif;margin:2em}td{padding:2px 12px 2px 0}.head{font-weight:bold}img{max-width:100%}"
    to.write_text(f"<!doctype html><meta charset='utf-8'><style>{style}</style>{''.join(body)}")
