"""`rtr speed`: speed over time of several ways to join chunks on one stroke, each beside the expert's."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from operators.measure.log import EpisodeLog, active
from operators.measure.metrics import episode_metrics
from operators.measure.steadiness import every_cycle, execution_horizon_s, paced
from operators.messages import HZ
from operators.settings import Settings
from studies.evaluate import EVALUATION_SEEDS, delay_cycles
from studies.lockstep import Lockstep
from studies.methods import chosen

SHOWN = {
    "naive": "naive",
    "rtr_paper": "reuse-then-refine as published",
    "rtr_fade_phase": "ours: aligned, refined, faded",
}
HIGHEST = 200.0  # mm/s that are drawn
COLOURS = "#2563eb", "#e59a1f", "#667085"


@dataclass(frozen=True)
class Speed:
    """Draw the commanded speed of several methods on one stroke, in lockstep, each beside the expert's."""

    policy: str = "dp_latent60"
    methods: str = "naive,rtr_paper,rtr_fade_phase"
    """As of `rtr compare`, separated by commas."""
    delay: str = "12"
    """Ticks from the exposure of the picture to the takeover."""
    seed: int = EVALUATION_SEEDS
    out: Path = Path("out/speed.png")

    def run(self) -> None:
        delay_cycles(self.delay, 0, 0, 0)
        methods = chosen(self.methods)
        figure = Figure(figsize=(10, 2.3 * len(methods)), layout="constrained")
        panels = figure.subplots(len(methods), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
        for axis, (name, method) in zip(panels, methods.items(), strict=True):
            config = method.config(Settings(policy=self.policy))
            rig = Lockstep(config, method.mode)
            log = rig.run(0, self.seed, lambda chunk: delay_cycles(self.delay, self.seed, 0, chunk))
            _panel(axis, SHOWN.get(name, name), log)
        panels[0].legend(loc="upper right", ncols=3, fontsize=8, frameon=False)
        panels[-1].set_xlabel(f"s   ({self.policy}, seed {self.seed}, {self.delay} ticks from picture to takeover)")
        self.out.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(self.out, dpi=110)
        print(self.out)


def _panel(axis: Axes, title: str, log: EpisodeLog) -> None:
    cycles, metrics = active(log), episode_metrics(log)
    position = every_cycle(cycles)
    pace = paced(position, log.reference, execution_horizon_s(log))
    time = (pace.start + np.arange(len(pace.speed))) / HZ
    axis.plot(time, pace.wanted, color=COLOURS[1], linewidth=1.8, label="expert at the same place")
    axis.plot(time, pace.speed, color=COLOURS[0], linewidth=1.1, label="commanded")
    axis.axhline(120, color=COLOURS[2], linewidth=0.8, linestyle=":", label="120 mm/s")
    told = f"surging {100 * metrics['speed_ripple']:.0f} %, acceleration {metrics['acceleration_rms_mm_s2']:.0f} mm/s²"
    if pace.speed.max(initial=0) > HIGHEST:
        told += f", up to {pace.speed.max():.0f} mm/s"
    axis.set_title(f"{title}: {told}", loc="left", fontsize=10)
    axis.set(ylabel="mm/s", ylim=(0, HIGHEST), xlim=(0, None))
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.grid(color="#e6e9ef")
