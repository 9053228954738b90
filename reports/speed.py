"""Speed over time of several ways to join chunks, each beside the expert's."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from operators.measure.log import EpisodeLog, active
from operators.measure.metrics import episode_metrics
from operators.measure.steadiness import every_cycle, execution_horizon_s, paced
from operators.messages import HZ
from reports.palette import AMBER, BLUE, MUTED, styled, write

HIGHEST = 200.0  # mm/s that are drawn


@styled
def draw(logs: Mapping[str, EpisodeLog], told: str, to: Path) -> None:
    """A panel an episode, under its title; what is told stands below."""
    figure = Figure(figsize=(10, 2.3 * len(logs)), layout="constrained")
    panels = figure.subplots(len(logs), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for axis, (title, log) in zip(panels, logs.items(), strict=True):
        _panel(axis, title, log)
    panels[-1].legend(loc="upper right", ncols=3)  # the steadiest last: there is room
    panels[-1].set_xlabel(f"s   ({told})")
    write(figure, to)


def _panel(axis: Axes, title: str, log: EpisodeLog) -> None:
    cycles, metrics = active(log), episode_metrics(log)
    position = every_cycle(cycles)
    pace = paced(position, log.reference, execution_horizon_s(log))
    time = (pace.start + np.arange(len(pace.speed))) / HZ
    axis.plot(time, pace.wanted, color=AMBER, linewidth=1.8, label="expert at the same place")
    axis.plot(time, pace.speed, color=BLUE, linewidth=1.1, label="commanded")
    axis.axhline(120, color=MUTED, linewidth=0.8, linestyle=":", label="120 mm/s")
    told = f"surging {100 * metrics['speed_ripple']:.0f} %, acceleration {metrics['acceleration_rms_mm_s2']:.0f} mm/s²"
    if pace.speed.max(initial=0) > HIGHEST:
        told += f", up to {pace.speed.max():.0f} mm/s"
    axis.set_title(f"{title}: {told}")
    axis.set(ylabel="mm/s", ylim=(0, HIGHEST), xlim=(0, None))
