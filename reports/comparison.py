"""What a comparison says: tables in markdown and CSV, and the picture of seam against deviation."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from operators.measure.intervals import Interval, aggregate, paired_difference, paired_ratio
from operators.measure.metrics import METRICS
from reports.palette import MUTED, RED, TEAL, VIOLET, styled, write

SHOWN = (
    "velocity_jump",
    "velocity_jump_sent",
    "deviation_mm",
    "command_jerk_mm_per_tick3",
    "command_jerk_mm_per_tick3_sent",
    "acceleration_rms_mm_s2",
    "acceleration_per_speed_1_s",
    "speed_ripple",
    "speed_drops_per_s",
    "boundary_gap_mm",
    "overlap_difference_mm",
    "exceed",
    "clamped_percent",
    "starved_percent",
    "success",
    "completion_s",
    "inference_ms_p50",
    "refine_ms_p50",
)
FAMILIES = {"rtr": RED, "rtc": TEAL, "bid": TEAL, "paint": TEAL, "vlash": VIOLET}
AXES = ("velocity_jump", "deviation_mm")  # both: less is better
PAIRED = (*AXES, "acceleration_rms_mm_s2", "speed_ripple", "success")

Cells = list[dict[str, Any]]  # as `rtr compare` writes them


def write_results(cells: Cells, folder: Path, name: str, baseline: str = "naive") -> Path:
    """Write `name`.md, .csv and .png -> the markdown file."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(cells, folder / f"{name}.csv", baseline)
    _draw(cells, folder / f"{name}.png")
    path = folder / f"{name}.md"
    path.write_text(_markdown(cells, name, baseline))
    return path


def values(cell: dict[str, Any], metric: str) -> list[float]:
    """One number an episode, NaN where it could not be measured."""
    return [np.nan if episode[metric] is None else episode[metric] for episode in cell["episodes"]]


def front(points: dict[str, tuple[float, float]]) -> list[str]:
    """The names that no other is better than in one coordinate and at least as good as in the other."""

    def dominated(name: str) -> bool:
        x, y = points[name]
        return any(a <= x and b <= y and (a, b) != (x, y) for a, b in points.values())

    return [name for name in points if not dominated(name)]


def by_delay(cells: Cells) -> dict[str, dict[str, dict[str, Any]]]:
    """delay -> method -> cell; constant delays first, by length, and methods in the order of the cells."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for cell in sorted(cells, key=lambda cell: _length(cell["about"]["delay"])):
        found.setdefault(cell["about"]["delay"], {})[cell["about"]["method"]] = cell
    return found


def _length(delay: str) -> float:
    return float(delay) if delay.isdecimal() else np.inf


def _markdown(cells: Cells, name: str, baseline: str) -> str:
    first = cells[0]
    revisions = ", ".join(sorted({cell["revision"] for cell in cells}))
    settings = first["about"]["settings"]
    policy, task = settings["policy"], settings["task"]
    noise = f"`NOISE={settings['noise']:g}`, " if policy.startswith("expert") else ""
    lines = [
        f"# Ways to join chunks: {policy}",
        "",
        f"Lockstep, `{task}`, {noise}revision {revisions}. In brackets the",
        f"95 % interval; `d` is the paired difference to {baseline} on the same seeds. Delays are in ticks of 1/60 s",
        "from the exposure of the picture to the takeover. **Bold**: on the front of",
        "velocity jump against deviation. Everything, with configuration hash and seeds of each cell: "
        f"[{name}.csv]({name}.csv). Times are of the machine that ran it.",
        "",
        f"![velocity jump against deviation, a numbered point a method, a panel a delay]({name}.png)",
        "",
    ]
    for delay, methods in by_delay(cells).items():
        count = len(next(iter(methods.values()))["episodes"])
        lines += [f"## Delay {delay}: {count} episodes", ""]
        lines += _table(methods, baseline)
        lines += [""]
    return "\n".join(lines)


def _table(methods: dict[str, dict[str, Any]], baseline: str) -> list[str]:
    best = front({name: _point(cell) for name, cell in methods.items()})
    lines = ["| | " + " | ".join(f"`{metric}`" for metric in SHOWN) + " |", "|---" * (len(SHOWN) + 1) + "|"]
    for name, cell in methods.items():
        shown = []
        for metric in SHOWN:
            summary = _summary(cell, metric)
            low, high = summary["ci95"]
            if summary["n"] == 0:
                shown.append("")
                continue
            text = f"{summary['mean']:.3g} ({low:.3g}..{high:.3g})"
            if metric in PAIRED and name != baseline and baseline in methods:
                against = paired_difference(values(cell, metric), values(methods[baseline], metric))
                text += f", d {against['mean']:+.3g} ({against['ci95'][0]:+.3g}..{against['ci95'][1]:+.3g})"
            shown.append(text)
        lines.append(f"| {f'**{name}**' if name in best else name} | " + " | ".join(shown) + " |")
    return lines


def _summary(cell: dict[str, Any], metric: str) -> Interval:
    return aggregate([{metric: value} for value in values(cell, metric)])[metric]


def _point(cell: dict[str, Any]) -> tuple[float, float]:
    x, y = (float(np.nanmean(values(cell, metric))) for metric in AXES)
    return x, y


def _write_csv(cells: Cells, path: Path, baseline: str) -> None:
    """A line a metric of a cell."""
    head = ["delay", "method", "metric", "unit", "mean", "low", "high", "n"]
    head += [f"{what}_{baseline}{end}" for what in ("minus", "over") for end in ("", "_low", "_high")]
    head += ["configuration", "revision", "first_seed", "episodes"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for delay, methods in by_delay(cells).items():
            for name, cell in methods.items():
                origin = [cell["configuration"], cell["revision"], *cell["about"]["seeds"]]
                for metric, told in METRICS.items():
                    own = values(cell, metric)
                    base = values(methods[baseline], metric) if baseline in methods else [np.nan] * len(own)
                    summary = _summary(cell, metric)
                    pairs = paired_difference(own, base), paired_ratio(own, base)
                    figures = [f for pair in pairs for f in (pair["mean"], *pair["ci95"])]
                    line = [summary["mean"], *summary["ci95"], summary["n"], *figures]
                    shown = [f"{figure:.6g}" for figure in line]
                    writer.writerow([delay, name, metric, told.unit, *shown, *origin])


@styled
def _draw(cells: Cells, path: Path) -> None:
    """Velocity jump against deviation, a numbered point a method with its intervals, a panel a delay, and the key."""
    panels = by_delay(cells)
    names = list(dict.fromkeys(cell["about"]["method"] for cell in cells))
    columns = min(len(panels) + 1, 3)
    rows = -(-(len(panels) + 1) // columns)
    figure = Figure(figsize=(6.5 * columns, 5 * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    for axis, (delay, methods) in zip(axes, panels.items(), strict=False):
        _panel(axis, methods, names)
        axis.set_title(f"delay {delay}")
    _key(axes[len(panels)], names)
    write(figure, path, dpi=90)


def _panel(axis: Axes, methods: dict[str, dict[str, Any]], names: list[str]) -> None:
    best = front({name: _point(cell) for name, cell in methods.items()})
    for name, cell in methods.items():
        x, y = (_summary(cell, metric) for metric in AXES)
        at, own = (x["mean"], y["mean"]), _colour(name)
        spans = [np.nan_to_num([[end["mean"] - end["ci95"][0]], [end["ci95"][1] - end["mean"]]]) for end in (x, y)]
        axis.errorbar(*at, yerr=spans[1], xerr=spans[0], fmt="none", ecolor=own, alpha=0.3)
        fill, text = (own, "white") if name in best else ("white", own)
        axis.plot(*at, "o", color=own, markerfacecolor=fill, markersize=13)
        axis.annotate(str(names.index(name) + 1), at, color=text, ha="center", va="center_baseline", fontsize=7)
    axis.set_xscale("log")
    axis.set_yscale("log")  # or one method that fails would press all others onto a line
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
        scale.set_major_formatter(FormatStrFormatter("%g"))
        scale.set_minor_formatter(NullFormatter())
    axis.set_xlabel("velocity jump [mm/tick]")
    axis.set_ylabel("deviation [mm]")


def _key(axis: Axes, names: list[str]) -> None:
    rows = -(-len(names) // 2)
    for place, name in enumerate(names):
        column, row = divmod(place, rows)
        at = 0.02 + 0.5 * column, 0.97 - 0.88 * row / rows
        axis.text(*at, f"{place + 1}  {name}", color=_colour(name), transform=axis.transAxes)
    axis.text(0.02, 0.0, "filled: no other is as good in both", transform=axis.transAxes)


def _colour(name: str) -> str:
    """Of its family of methods."""
    return next((colour for begin, colour in FAMILIES.items() if name.startswith(begin)), MUTED)
