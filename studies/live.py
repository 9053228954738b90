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
from studies.compare import usable
from studies.evaluate import EVALUATION_SEEDS, revision
from studies.methods import Method, chosen
from studies.running import run_graph

RUN_S = 180
MET = ("starved_percent", "delay_ticks", "delay_ticks_max", "velocity_jump", "acceleration_rms_mm_s2", "speed_ripple")
MET += ("jitter_ms_p99", "inference_ms_p50")

Found = dict[str, dict[str, dict[str, Any]]]  # method -> latency [ms] -> what was measured


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
        path.write_text(table(found, self.policy, revision()))
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


def holds(run: dict[str, Any]) -> bool:
    return run["starved_percent"] == 0


def limits(known: dict[str, dict[str, Any]]) -> str:
    """The range of delays without a starved cycle, in words."""
    good = [(int(latency), run) for latency, run in known.items() if holds(run)]
    bad = [int(latency) for latency, run in known.items() if not holds(run)]
    if not good:
        return f"already {min(bad)} ms is too long"
    longest, run = max(good, key=lambda each: each[0])
    ticks = f"{run['delay_ticks']:.1f} ticks in the mean, {run['delay_ticks_max']:.0f} at most"
    return f"up to {longest} ms ({ticks})" + (f", not at {min(bad)} ms" if bad else "")


def table(found: Found, policy: str, version: str) -> str:
    """Markdown."""
    lines = [
        "# Live: delays without a starved cycle",
        "",
        f"`rtr live`, one episode a run, `POLICY={policy}`, revision {version}. The latency is that of",
        "`LATENCY_MS`: from the start of inference to the chunk. It goes up until a cycle starves after the first",
        "chunk. Ticks are those of the plan, from the exposure of the picture to the takeover: before a plan runs out",
        "it is played more slowly (`SLOWEST`), so a latency costs fewer than it lasts. In sync the robot stands then.",
        "",
        "| method | graph | values | starvation-free | task done at [ms] |",
        "|---|---|---|---|---|",
    ]
    for name, known in found.items():
        method = chosen(name)[name]
        values = " ".join(f"`{key}={value}`" for key, value in method.variables.items())
        written = ", ".join(latency for latency, run in known.items() if run["success"]) or "none"
        lines.append(f"| {name} | `{method.mode}.yml` | {values} | {limits(known)} | {written} |")
    return "\n".join([*lines, ""])
