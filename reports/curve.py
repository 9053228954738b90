"""How smooth and how precise chunks are over a training: a table and a picture."""

from pathlib import Path

from matplotlib.figure import Figure

from reports.palette import styled, write

MEASURES = {"deviation_mm": "deviation [mm, mean of axes]", "chunk_jerk_mm_per_tick3": "chunk jerk [mm/tick³]"}

Line = dict[str, dict]  # part of the steps -> metrics


def table(lines: dict[str, Line]) -> str:
    """Markdown."""
    head = "# Chunks of the policies over their training\n\n"
    head += "Open loop on held-out episodes, mean and 95 % interval over episodes. Made by `rtr curve`.\n\n"
    rows = ["| chunks | steps | " + " | ".join(MEASURES.values()) + " |", "|---|---|" + "---|" * len(MEASURES)]
    for name, line in lines.items():
        for part, metrics in line.items():
            rows.append(f"| {name} | {part} | " + " | ".join(_cell(metrics[measure]) for measure in MEASURES) + " |")
    expert = lines["direct"]["100%"]["expert_jerk_mm_per_tick3"]["mean"]
    return head + "\n".join(rows) + f"\n\nThe expert's own chunk jerk is {expert:.4f} mm/tick³.\n\n![](training.png)\n"


@styled
def draw(lines: dict[str, Line], path: Path) -> None:
    """A panel a measure, a line each kind of chunks with its interval."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(MEASURES))
    for panel, (measure, label) in zip(panels, MEASURES.items(), strict=True):
        for name, line in lines.items():
            parts = [int(part.rstrip("%")) for part in line]
            means = [metrics[measure]["mean"] for metrics in line.values()]
            low, high = zip(*(metrics[measure]["ci95"] for metrics in line.values()), strict=True)
            panel.plot(parts, means, marker="o", label=name)
            panel.fill_between(parts, low, high, alpha=0.2)
        panel.set(xlabel="% of the optimiser steps", ylabel=label)
    panels[0].set(ylim=(0, None))
    panels[-1].set(yscale="log")
    panels[0].legend()
    write(figure, path, dpi=120)


def _cell(found: dict) -> str:
    low, high = found["ci95"]
    return f"{found['mean']:.3g} ({low:.3g} .. {high:.3g})"
