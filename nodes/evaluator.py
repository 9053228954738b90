"""Runs episode after episode, and leaves report, video and traces behind."""

import sys
import time
from pathlib import Path
from typing import Any

from dora import Node

from nodes._cores import CoreUse
from nodes._stage import Stage
from nodes._wire import Wire, settings
from operators.actors.evaluating import Evaluating
from operators.actors.journal import SHOWN
from operators.frame import Frame
from operators.messages import Episode, Scene
from operators.settings import Settings
from operators.wiring import mode
from recordings.trace import save
from reports.film import Video
from simulation.tasks import named, reference, text_of

INPUTS = Evaluating.INPUTS
SETTLING_S = 1.0  # while processes find each other dora loses messages, of which a recording is to lack none


def main() -> None:
    config = settings()
    sys.exit(run(Node(), config))


def run(node: Node, config: Settings) -> int:
    wire, out, logs, failed = Wire(node, "evaluator", INPUTS), Path(config.out), [], list[str]()
    (out / "trace").mkdir(parents=True, exist_ok=True)
    about = {"mode": mode(node.dataflow_descriptor()), **{name: getattr(config, name) for name in SHOWN}}
    if config.record:
        time.sleep(SETTLING_S)
    for number in range(config.episodes):
        played = play(wire, config, number, out, about)
        failed += played.failed
        if played.over in ("stopped", "node failed"):
            break
        journal = played.journal
        logs.append(journal.log(reference(journal.start) if journal.heard[Scene] else None))
        save(out / "trace", logs[-1])
    if logs:
        from reports.report import write_report  # brings matplotlib, which would make every start slower

        write_report(logs, out)
        for kind, path in {"report": "report.html", "metrics": "report.json", "video": "episode_0.mp4"}.items():
            print(f"{kind:8s}{out / path}", flush=True)
    if failed:
        print(f"the run was ended: {', '.join(failed)} failed (its own message stands above)", flush=True)
    return 1 if failed else 0


def play(wire: Wire, config: Settings, number: int, out: Path, about: dict[str, Any]) -> Evaluating:
    """One episode from its start to its end."""
    wire.edge.episode = number
    told = named(config.task), config.variant, text_of(config.task, config.prompt)
    start = Episode(0, number, 0, "start", config.seed + number, *told, "", False)
    about = {**about, "name": f"episode_{number}"}
    played = Evaluating(start, about, config.clock, config.time_limit_s, number == config.episodes - 1)
    video = Video(out / f"episode_{number}.mp4", [name for name in wire.inputs if name.startswith("frame_")])
    cores = CoreUse()

    def watch(port: str, message: Any) -> None:
        if isinstance(message, Frame):
            video.receive(port, message)

    stage = Stage(wire, played, watch)
    stage.run(lambda: bool(played.over))
    stage.give("stopped", lambda: played.end(played.ending or "stopped"))  # unless it is over
    video.close()
    played.journal.about["core_percent"] = ", ".join(f"{node} {use:g}" for node, use in cores.percent().items())
    return played


if __name__ == "__main__":
    main()
