"""The colours and the style of every picture and page."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler

DARK, MUTED, GRID = "#1c2430", "#667085", "#e6e9ef"
BLUE, TEAL, AMBER, RED = "#2563eb", "#0f9b8e", "#e59a1f", "#d43d3d"
VIOLET, GREY, SKY, SAND = "#7c5cd6", "#c9d0da", "#a9cdf5", "#e5d3a8"

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # the page's own font: small, sharp, can be copied
    "svg.hashsalt": "report",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.prop_cycle": cycler(color=[BLUE, TEAL, AMBER, RED, VIOLET]),
    "axes.edgecolor": "#b8c0cc",
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": DARK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.2,
    "lines.solid_joinstyle": "round",
}

styled = matplotlib.rc_context(STYLE)  # decorates what draws


def write(figure: Figure, to: Path, dpi: int = 110) -> None:
    """Write a picture; its folder is made."""
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to, dpi=dpi)
