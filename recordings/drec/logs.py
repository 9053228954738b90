"""The episodes of a recording as logs, the same as the evaluator keeps of a run."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import yaml

from operators.actors.journal import SHOWN, Journal
from operators.measure.log import EpisodeLog
from operators.messages import TOPICS, Command, Episode
from operators.wiring import mode
from recordings.drec.file import Damage, Reader
from recordings.drec.messages import messages


def logs(path: Path, reference: Callable[[Episode], Mapping[str, np.ndarray]]) -> list[EpisodeLog]:
    """One log an episode, up to where its task was done. Marks and goal are in no recording.

    Args:
        path: of the recording.
        reference: start of an episode -> fields of its log; asked where a score was recorded, as of a simulated rig.

    Raises:
        Damage: it is none, holds no command, or messages of columns that are not known.
    """
    found: dict[int, Journal] = {}
    with Reader(path) as reader:
        about, clock = _told(reader.header.descriptor)
        for each in messages(reader, TOPICS):
            message = each.unpack()
            if message.episode < 0:
                continue
            if message.episode not in found:
                start = Episode(0, message.episode, 0, "start", 0, "", "", "", "", False)
                found[message.episode] = Journal(start, {**about, "name": f"episode_{message.episode}"}, clock)
            journal = found[message.episode]
            if isinstance(message, Episode) and message.phase == "start":
                journal.start = message
                journal.about["task"] = message.task
            elif not (journal.score and journal.score.done):
                journal.receive(message)
        if not any(journal.heard[Command] for journal in found.values()):
            raise Damage(reader.name, 0, "expected messages of command, got none")
    return [
        journal.log(reference(journal.start) if journal.score and journal.score.name else None)
        for _, journal in sorted(found.items())
        if journal.heard[Command]
    ]


def _told(descriptor: str) -> tuple[dict[str, str], str]:
    """What a graph says of itself: mode and settings, as far as it names them, and CLOCK."""
    graph = yaml.safe_load(descriptor)
    graph = graph if isinstance(graph, dict) else {}
    env = {name: str(value) for name, value in (graph.get("env") or {}).items()}
    told = {name: env[name.upper()] for name in SHOWN if "$" not in env.get(name.upper(), "$")}
    return {"mode": mode(graph), **told}, "rig" if "rig" in env.get("CLOCK", "") else "own"
