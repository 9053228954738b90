"""`rtr shifts`: by how much chunks are out of step with what was played, how that goes on, and pictures of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from operators.measure.intervals import mean_interval
from operators.measure.log import EpisodeLog
from operators.measure.shifts import at_two_horizons, lag_1, takeovers
from studies.logs import logs


@dataclass(frozen=True)
class Shifts:
    """Timing errors of chunks: size, lag-1 correlation, the speed's swing at two execution horizons."""

    source: Annotated[Path, tyro.conf.Positional]
    """Folder of traces, as `rtr evaluate --trace` and every run leave them, or a recording."""
    least: float = 4.0
    """Takeovers with a shift from here up [ticks] are drawn."""
    out: Path | None = None
    """Folder for the pictures; without it none are made."""

    def run(self) -> None:
        found = logs(self.source)
        show(found, str(self.source))
        if self.out:
            for page in draw(found, self.least, self.out):
                print(page)


def figures(log: EpisodeLog) -> dict[str, float]:
    """Of one episode; estimates are of all chunks, whatever was done about them."""
    estimates = np.array([taken.estimate.ticks for taken in takeovers(log)])
    applied = np.array([chunk.shift_ticks for chunk in log.chunks if chunk.shift_ticks is not None], np.float64)
    frequency, share = at_two_horizons(log)
    return {
        "estimated shift, ticks, standard deviation": float(estimates.std()) if len(estimates) else np.nan,
        "estimated shift, ticks, largest": float(np.abs(estimates).max(initial=0)),
        "lag-1 correlation of the estimated": lag_1(estimates),
        "applied shift, ticks, standard deviation": float(applied.std()) if len(applied) else np.nan,
        "lag-1 correlation of the applied": lag_1(applied),
        "1 / (2 execution horizons), Hz": frequency,
        "share of surging within a fifth of that": share,
    }


def show(logs: list[EpisodeLog], title: str) -> None:
    """Print means over episodes."""
    measured = [figures(log) for log in logs]
    table = Table("timing of chunks", "mean", "95 % interval", "n", title=f"{title}, {len(logs)} episodes")
    for name in measured[0]:
        found = mean_interval([each[name] for each in measured])
        low, high = found["ci95"]
        table.add_row(name, f"{found['mean']:.2f}", f"{low:.2f} .. {high:.2f}", str(found["n"]))
    Console().print(table)


def draw(logs: list[EpisodeLog], least: float, folder: Path) -> list[Path]:
    """A picture of every shift that is large."""
    from reports.shifts import draw as draw_pages  # brings matplotlib

    found = []
    for log in logs:
        for taken in takeovers(log):
            shift = taken.estimate.ticks if taken.chunk.shift_ticks is None else taken.chunk.shift_ticks
            if abs(shift) >= least:
                title = f"{log.meta.get('seed', log.meta.get('name'))}, chunk {taken.chunk.chunk_id}"
                found.append((title, taken, shift, log.reference))
    return draw_pages(found, folder)
