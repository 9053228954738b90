"""`rtr curve`: how smooth and how precise the policies' chunks are at 25, 50 and 100 % of the training."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt

from models.checkpoint import FOLDER, read

POLICIES = {"dp_action60": "direct", "dp_latent60": "latent"}
MEASURES = {"deviation_mm": "deviation [mm, mean of axes]", "chunk_jerk_mm_per_tick3": "chunk jerk [mm/tick³]"}
FILTERED = "savgol_"  # before a measure's name: of chunks that were smoothed by a Savitzky-Golay filter
DRAWN = "drawn_"  # of chunks that were sampled at temperature 1


@dataclass(frozen=True)
class Curve:
    """Draw the training curves that the policies' checkpoints hold, and write them as a table."""

    out: Path = Path("docs/results")
    folder: Path = FOLDER

    def run(self) -> None:
        lines = curves(self.folder)
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "training.md").write_text(table(lines))
        draw(lines, self.out / "training.png")
        print(self.out / "training.md")


Line = dict[str, dict]  # part of the steps -> metrics


def curves(folder: Path) -> dict[str, Line]:
    """Name -> its metrics at each part of the steps; filtered and drawn chunks are lines of their own."""
    lines: dict[str, Line] = {}
    for policy, name in POLICIES.items():
        about = read(folder / policy).about
        lines[name] = {**about["curve"], "100%": about["metrics"]}
    also = {"direct, filtered": FILTERED, "direct, temperature 1": DRAWN, "latent, temperature 1": DRAWN}
    for name, prefix in also.items():
        line = lines[name.split(",")[0]]
        lines[name] = {part: {each: metrics[prefix + each] for each in MEASURES} for part, metrics in line.items()}
    return lines


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


def draw(lines: dict[str, Line], path: Path) -> None:
    figure, panels = plt.subplots(1, len(MEASURES), figsize=(9, 3.6), layout="constrained")
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
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _cell(found: dict) -> str:
    low, high = found["ci95"]
    return f"{found['mean']:.3g} ({low:.3g} .. {high:.3g})"
