"""`rtr speed`: speed over time of several ways to join chunks in one episode, each beside the expert's."""

from dataclasses import dataclass
from pathlib import Path

from operators.settings import Settings
from reports.speed import draw
from studies.evaluate import EVALUATION_SEEDS, delay_cycles
from studies.methods import chosen
from studies.simulated import Simulated

SHOWN = {
    "naive": "naive",
    "rtr_paper": "reuse-then-refine as published",
    "rtr_fade_phase": "ours: aligned, refined, faded",
}


@dataclass(frozen=True)
class Speed:
    """Draw the commanded speed of several methods in one episode in simulated time, each beside the expert's."""

    policy: str = "dp_latent60"
    methods: str = "naive,rtr_paper,rtr_fade_phase"
    """As of `rtr compare`, separated by commas."""
    delay: str = "12"
    """Ticks from the exposure of the picture to the takeover."""
    seed: int = EVALUATION_SEEDS
    out: Path = Path("out/speed.png")

    def run(self) -> None:
        delay_cycles(self.delay, 0, 0, 0)
        logs = {}
        for name, method in chosen(self.methods).items():
            rig = Simulated(method.config(Settings(policy=self.policy)), method.mode)
            log = rig.run(0, self.seed, lambda chunk: delay_cycles(self.delay, self.seed, 0, chunk))
            logs[SHOWN.get(name, name)] = log
        draw(logs, f"{self.policy}, seed {self.seed}, {self.delay} ticks from picture to takeover", self.out)
        print(self.out)
