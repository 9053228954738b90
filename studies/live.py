"""`rtr live`: every way to join chunks in a running dataflow, and up to which latency none of them starves.

A run is one episode under `dora run`; the latency goes up until a cycle starved after the first chunk. What is known is
kept, run by run, and not played again.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from operators.settings import Settings
from reports.live import Found, holds, limits, table
from studies.compare import usable
from studies.evaluate import EVALUATION_SEEDS, revision
from studies.methods import Method, chosen
from studies.running import run_graph

RUN_S = 180
MET = ("starved_percent", "delay_ticks", "delay_ticks_max", "velocity_jump", "acceleration_rms_mm_s2", "speed_ripple")
MET += ("jitter_ms_p99", "inference_ms_p50")


@dataclass(frozen=True)
class Live:
    """Run every method live, with latency after latency, until it starves."""

    methods: str = ""
    """Names separated by commas, as of `rtr compare`; empty: all the policy can use."""
    latencies: str = "200,400,500,600,700"
    """Milliseconds, emulated: from the start of inference to the chunk, computation included."""
    policy: str = "expert_flow"
    seed: int = EVALUATION_SEEDS
    out: Path = Path("out/live")
    results: Path = Path("docs/results")

    def run(self) -> None:
        latencies = sorted({int(latency) for latency in self.latencies.split(",")})
        methods = usable(chosen(self.methods), Settings(policy=self.policy))
        self.results.mkdir(parents=True, exist_ok=True)
        file = self.results / f"live_{self.policy}.json"
        content = json.loads(file.read_text()) if file.exists() else {}
        found: Found = content.get("found", {}) if content.get("revision") == revision() else {}
        console, begun = Console(), time.monotonic()
        for number, (name, method) in enumerate(methods.items()):
            for latency in latencies:
                known = found.setdefault(name, {})
                if str(latency) not in known:
                    known[str(latency)] = self._run(name, method, latency)
                    text = json.dumps({"revision": revision(), "policy": self.policy, "found": found}, indent=1)
                    file.write_text(text + "\n")
                if not holds(known[str(latency)]):
                    break
            minutes = (time.monotonic() - begun) / 60
            left = minutes / (number + 1) * (len(methods) - number - 1)
            told = f"{limits(found[name])}; {number + 1} of {len(methods)}, about {left:.0f} minutes left"
            console.print(f"{name}: {told}", soft_wrap=True)
        path = file.with_suffix(".md")
        graphs = {name: (method.mode, method.variables) for name, method in chosen(",".join(found)).items()}
        path.write_text(table(found, graphs, self.policy, revision()))
        console.print(str(path))

    def _run(self, name: str, method: Method, latency: int) -> dict[str, Any]:
        """One live episode -> its figures."""
        about = {"POLICY": self.policy, "SEED": str(self.seed), "LATENCY_MS": str(latency)}
        variables = {**about, **method.variables, "EPISODES": "1"}
        try:
            report = run_graph(method.mode, self.out / name / str(latency), variables, RUN_S)
        except ValueError as error:
            raise ValueError(f"{name} at {latency} ms: {error}") from None
        figures = {metric: report["metrics"][metric]["mean"] for metric in MET if metric in report["metrics"]}
        return {"success": bool(report["episodes"][0]["score"]["success"]), **figures}
