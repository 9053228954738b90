"""What a comparison says: tables in markdown and CSV, and the picture of seam against deviation."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from operators.metrics import METRICS, aggregate, paired_difference, paired_ratio

BASELINE = "naive"
SHOWN = (
    "velocity_jump",
    "velocity_jump_sent",
    "deviation_mm",
    "command_jerk_mm_per_tick3",
    "command_jerk_mm_per_tick3_sent",
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
AXES = ("velocity_jump", "deviation_mm")  # both: less is better

Cells = list[dict[str, Any]]  # as `rtr compare` writes them


def write_results(cells: Cells, folder: Path, name: str) -> Path:
    """Write `name`.md, .csv and .png -> the markdown file."""
    folder.mkdir(parents=True, exist_ok=True)
    _write_csv(cells, folder / f"{name}.csv")
    _draw(cells, folder / f"{name}.png")
    path = folder / f"{name}.md"
    path.write_text(_markdown(cells, name))
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
    """delay -> method -> cell, in the order of the cells."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for cell in cells:
        found.setdefault(cell["about"]["delay"], {})[cell["about"]["method"]] = cell
    return found


def _markdown(cells: Cells, name: str) -> str:
    first = cells[0]
    revisions = ", ".join(sorted({cell["revision"] for cell in cells}))
    policy, noise = first["about"]["settings"]["policy"], first["about"]["settings"]["noise"]
    lines = [
        f"# Ways to join chunks: {policy}",
        "",
        f"Lockstep, `{first['about']['settings']['task']}`, `NOISE={noise:g}`, revision {revisions}. In brackets the",
        f"95 % interval; `d` is the paired difference to {BASELINE} on the same seeds. **Bold**: on the front of",
        "velocity jump against deviation. Everything, with configuration hash and seeds of each cell: "
        f"[{name}.csv]({name}.csv). Times are of the machine that ran it.",
        "",
        f"![velocity jump against deviation, a point a method, a panel a delay]({name}.png)",
        "",
    ]
    for delay, methods in by_delay(cells).items():
        count = len(next(iter(methods.values()))["episodes"])
        lines += [f"## Delay {delay}: {count} episodes", ""]
        lines += _table(methods)
        lines += [""]
    return "\n".join(lines)


def _table(methods: dict[str, dict[str, Any]]) -> list[str]:
    best = front({name: _point(cell) for name, cell in methods.items()})
    lines = ["| | " + " | ".join(f"`{metric}`" for metric in SHOWN) + " |", "|---" * (len(SHOWN) + 1) + "|"]
    for name, cell in methods.items():
        summary = aggregate([{m: v for m, v in zip(SHOWN, row, strict=True)} for row in _rows(cell)])
        shown = []
        for metric in SHOWN:
            low, high = summary[metric]["ci95"]
            if summary[metric]["n"] == 0:
                shown.append("")
                continue
            text = f"{summary[metric]['mean']:.3g} ({low:.3g}..{high:.3g})"
            if metric in AXES and name != BASELINE and BASELINE in methods:
                against = paired_difference(values(cell, metric), values(methods[BASELINE], metric))
                text += f", d {against['mean']:+.3g} ({against['ci95'][0]:+.3g}..{against['ci95'][1]:+.3g})"
            shown.append(text)
        lines.append(f"| {f'**{name}**' if name in best else name} | " + " | ".join(shown) + " |")
    return lines


def _rows(cell: dict[str, Any]) -> np.ndarray:
    return np.array([values(cell, metric) for metric in SHOWN]).T


def _point(cell: dict[str, Any]) -> tuple[float, float]:
    x, y = (float(np.nanmean(values(cell, metric))) for metric in AXES)
    return x, y


def _write_csv(cells: Cells, path: Path) -> None:
    """A line a metric of a cell."""
    head = ["delay", "method", "metric", "unit", "mean", "low", "high", "n"]
    head += [f"{what}_{BASELINE}{end}" for what in ("minus", "over") for end in ("", "_low", "_high")]
    head += ["configuration", "revision", "first_seed", "episodes"]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        for delay, methods in by_delay(cells).items():
            for name, cell in methods.items():
                origin = [cell["configuration"], cell["revision"], *cell["about"]["seeds"]]
                for metric, told in METRICS.items():
                    own = values(cell, metric)
                    base = values(methods[BASELINE], metric) if BASELINE in methods else [np.nan] * len(own)
                    summary = aggregate([{metric: value} for value in own])[metric]
                    pairs = paired_difference(own, base), paired_ratio(own, base)
                    figures = [f for pair in pairs for f in (pair["mean"], *pair["ci95"])]
                    line = [summary["mean"], *summary["ci95"], summary["n"], *figures]
                    shown = [f"{figure:.6g}" for figure in line]
                    writer.writerow([delay, name, metric, told.unit, *shown, *origin])


def _draw(cells: Cells, path: Path) -> None:
    """Velocity jump against deviation, a point a method with its intervals, a panel a delay."""
    panels = by_delay(cells)
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(6.5 * columns, 5 * rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for axis, (delay, methods) in zip(axes, panels.items(), strict=False):
        best = front({name: _point(cell) for name, cell in methods.items()})
        for name, cell in methods.items():
            x, y = (aggregate([{m: v} for v in values(cell, m)])[m] for m in AXES)
            colour = "tab:red" if name in best else "tab:gray"
            spans = [[[end["mean"] - end["ci95"][0]], [end["ci95"][1] - end["mean"]]] for end in (x, y)]
            axis.errorbar(x["mean"], y["mean"], *reversed(np.nan_to_num(spans)), fmt="o", color=colour, alpha=0.7)
            axis.annotate(name, (x["mean"], y["mean"]), (4, 4), textcoords="offset points", fontsize=8, color=colour)
        axis.set_xscale("log")
        axis.set_title(f"delay {delay}")
        axis.set_xlabel("velocity jump [mm/tick]")
        axis.set_ylabel("deviation [mm]")
    figure.savefig(path, dpi=90)
