"""`rtr check`: what would end a graph at its start is said before dora starts."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
import yaml

from models.registry import check, make_policy
from models.stored import read_head
from operators.policy import check_features, check_guide
from operators.settings import Settings, parse
from simulation.tasks import make_task

GRAPHS = Path(__file__).parents[1] / "dataflows"


@dataclass(frozen=True)
class Check:
    """Check the environment's variables for a graph, before dora starts."""

    graph: Annotated[Path, tyro.conf.Positional]

    def run(self) -> None:
        if not self.graph.is_file():
            raise ValueError(f"expected a graph, {self.graph} is no file")
        graph = yaml.safe_load(self.graph.read_text())
        config = parse({**resolved(graph.get("env") or {}, os.environ), **os.environ})
        if config.policy == "replay" and not Path(f"{config.replay}_task.parquet").is_file():
            raise ValueError(f"REPLAY: expected a trace such as out/trace/episode_0, got {config.replay!r}")
        simulated = config.robot == Settings().robot and any(node["id"] == "robot" for node in graph["nodes"])
        if simulated:  # any other robot may do what no simulation here knows
            make_task(config.task, config.seed, config.variant)
        check(config)
        check_policy(graph, config)


def graph_settings(graph: Path, environ: Mapping[str, str]) -> Settings:
    """Settings as a graph has them: its own defaults, where the environment says nothing.

    Raises:
        ValueError: there is no such graph, or no such POLICY or codec for this TASK; says what there is.
    """
    if not graph.is_file():
        there = ", ".join(sorted(path.stem for path in GRAPHS.glob("*.yml")))
        raise ValueError(f"expected a graph: {there}, or the path of one of your own, got {graph}")
    described = yaml.safe_load(graph.read_text())
    config = parse({**resolved(described.get("env") or {}, environ), **environ})
    check(config)
    return config


def resolved(env: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """A graph's `env` as its nodes get it: `${NAME:-default}` is the environment's value, or the default."""
    form = re.compile(r"\$\{(\w+):-(.*)\}")
    return {name: form.sub(lambda m: environ.get(m[1], m[2]), str(value)) for name, value in env.items()}


def check_policy(graph: Mapping[str, Any], config: Settings) -> None:
    """What the wiring asks of the policy.

    Raises:
        ValueError: the policy cannot do it; says why.
    """
    inputs = {node["id"]: node.get("inputs") or {} for node in graph["nodes"]}
    guided, corrected = "executed" in inputs.get("policy", {}), "features" in inputs.get("executor", {})
    if not guided and not corrected:
        return
    policy = make_policy(config)
    if guided:
        check_guide(policy, config.policy, config.guide)
    if corrected:
        check_features(policy, config.policy)
        read_head(config.policy)
