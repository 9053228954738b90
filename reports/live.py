"""The page of `rtr live`: up to which latency no cycle starves."""

from collections.abc import Mapping
from typing import Any

Found = dict[str, dict[str, dict[str, Any]]]  # method -> latency [ms] -> what was measured


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


def table(found: Found, methods: Mapping[str, tuple[str, Mapping[str, str]]], policy: str, version: str) -> str:
    """Markdown.

    Args:
        found: what was measured.
        methods: method -> graph and its variables.
        policy: that was used.
        version: of the code.
    """
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
        graph, variables = methods[name]
        values = " ".join(f"`{key}={value}`" for key, value in variables.items())
        done = ", ".join(latency for latency, run in known.items() if run["success"]) or "none"
        lines.append(f"| {name} | `{graph}.yml` | {values} | {limits(known)} | {done} |")
    return "\n".join([*lines, ""])
