"""`rtr replay`: a recorded run decided again, in process: the same commands, or those of another policy or join."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
import yaml
from rich.console import Console
from rich.table import Table

from models.registry import make_codec, make_policy
from models.stored import read_head
from operators.actors.decoding import Decoding
from operators.actors.executing import Executing
from operators.settings import Settings, parse
from operators.wiring import inputs_of
from recordings.drec.file import Reader
from recordings.drec.replay import Compared, Recorded, Replay, read
from robots import read_robot
from studies.check import resolved


@dataclass(frozen=True)
class ReplayRun:
    """Decide a recorded run again, from what each message says it was based on.

    With the recorded settings every command comes out as it was sent, bit by bit; exit code 1 where one does not.
    Variables of the environment change a setting, and the table then tells how far the commands come apart.
    """

    recording: Annotated[Path, tyro.conf.Positional]
    policy: str = ""
    """Another policy, shown the same frames at the same times; empty: the recorded one."""

    def run(self) -> None:
        graph, config = recorded_settings(self.recording, os.environ)
        config = replace(config, policy=self.policy) if self.policy else config
        table = Table("episode", "commands", "the same", "first moved", "apart p50 mm", "max mm", "chunks refused")
        same = True
        for episode in read(self.recording):
            played = replay(episode, graph, config)
            compared = list(played.commands())
            same &= all(not pair.moved for pair in compared)
            table.add_row(*_row(episode, compared), str(played.refused))
        Console().print(table)
        if not same and not self.policy:
            raise ValueError("expected every command as it was recorded, some moved; see the table")


def replay(episode: Recorded, graph: Mapping[str, Any], config: Settings) -> Replay:
    """The actors of a graph for one recorded episode.

    Raises:
        ValueError: policy, codec or head are not there.
    """
    ports = {node["id"]: inputs_of(node) for node in graph.get("nodes", [])}
    head = read_head(config.policy) if "features" in ports.get("executor", {}) else None
    executing = Executing(config, read_robot(config.robot_model).envelope, head)
    return Replay(episode, make_policy(config), Decoding(config, make_codec), executing, config.guide)


def recorded_settings(path: Path, environ: Mapping[str, str]) -> tuple[dict[str, Any], Settings]:
    """The graph of a recording, and the settings it ran with, where the environment says nothing else."""
    with Reader(path) as reader:
        graph = yaml.safe_load(reader.header.descriptor)
    graph = graph if isinstance(graph, dict) else {}
    return graph, parse({**resolved(graph.get("env") or {}, environ), **environ})


def _row(episode: Recorded, compared: list[Compared]) -> list[str]:
    apart = [pair.apart_mm for pair in compared] or [np.nan]
    moved = next((pair for pair in compared if pair.moved), None)
    first = f"cycle {moved.recorded.cycle}, {moved.moved}" if moved else ""
    counts = str(len(compared)), str(sum(not pair.moved for pair in compared))
    return [str(episode.start.episode), *counts, first, f"{np.median(apart):.3f}", f"{max(apart):.3f}"]
