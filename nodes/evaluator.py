"""Starts and ends episodes, prints a line a second, and leaves report, video and traces behind."""

import sys
import time
from pathlib import Path
from typing import Any

from dora import Node

from nodes._cores import CoreUse
from nodes._video import Video
from nodes._wire import Wire, settings
from operators.actors.journal import SHOWN, Journal, describe
from operators.frame import Frame
from operators.measure.log import EpisodeLog
from operators.messages import TOPICS, Episode, Fault, Proprio, Scene, Stats
from operators.settings import Settings
from recordings.trace import save
from simulation.tasks import named, reference, text_of

HEARD = ("proprio", "scene", "score", "command", "plan", "request", "chunk", "action_chunk")
INPUTS = {
    "frame_*": Frame,
    **{topic: TOPICS[topic].message for topic in HEARD},
    "*_stats": Stats,
    "*_fault": Fault,
}
SETTLING_S = 1.0  # while processes find each other dora loses messages, of which a recording is to lack none
AGAIN_NS = 500_000_000  # a start is sent again until the robot has answered it


def main() -> None:
    config = settings()
    sys.exit(run(Node(), config))


def run(node: Node, config: Settings) -> int:
    wire = Wire(node, "evaluator", INPUTS)
    out = Path(config.out)
    (out / "trace").mkdir(parents=True, exist_ok=True)
    about = {**describe(node.dataflow_descriptor()), **{name: getattr(config, name) for name in SHOWN}}
    logs: list[EpisodeLog] = []
    if config.record:
        time.sleep(SETTLING_S)
    for number in range(config.episodes):
        log = Session(wire, config, out, about, number).run()
        if log is None:
            break
        save(out / "trace", log)
        logs.append(log)
    if logs:
        from reports.report import write_report  # brings matplotlib, which would make every start slower

        write_report(logs, out)
        for kind, path in {"report": "report.html", "metrics": "report.json", "video": "episode_0.mp4"}.items():
            print(f"{kind:8s}{out / path}", flush=True)
    if wire.failed:
        print(f"the run was ended: {', '.join(wire.failed)} failed (its own message stands above)", flush=True)
    return 1 if wire.failed else 0


class Session:
    """One episode from its start to its end."""

    def __init__(self, wire: Wire, config: Settings, out: Path, about: dict[str, Any], number: int):
        self.wire, self.config, self.number = wire, config, number
        self.seed = config.seed + number
        wire.edge.episode = number
        self.about = named(config.task), config.variant, text_of(config.task, config.prompt)
        start = Episode(0, number, 0, "start", self.seed, *self.about, "", False)
        self.journal = Journal(start, {**about, "name": f"episode_{number}"}, config.clock)
        self.video = Video(out / f"episode_{number}.mp4", [name for name in wire.inputs if name.startswith("frame_")])

    def run(self) -> EpisodeLog | None:
        """Play the episode; None when the run was stopped from outside before its end."""
        cores = CoreUse()
        reason = self._play()
        self.journal.about["core_percent"] = ", ".join(f"{node} {use:g}" for node, use in cores.percent().items())
        self.video.close()
        last = reason in ("stopped", "node failed") or self.number == self.config.episodes - 1
        self._tell("end", reason, last)
        print(f"episode {self.number}: {reason}", flush=True)
        if reason in ("stopped", "node failed"):
            return None
        return self.journal.log(reference(self.journal.start) if self.journal.heard[Scene] else None)

    def _play(self) -> str:
        begun = time.monotonic_ns()
        told = printed = begun - AGAIN_NS
        for source, message in self.wire.messages():
            now = time.monotonic_ns()
            if not self.journal.heard[Proprio] and now - told >= AGAIN_NS:
                self._tell("start", "", False)
                told = now
            if isinstance(message, Frame):
                self.video.receive(source, message)
            elif message is not None:
                self.journal.receive(message)
            if now - printed >= 1_000_000_000:
                print(self.journal.line(), flush=True)
                printed = now
            if self.wire.failed:
                return "node failed"
            if self.journal.score and self.journal.score.done:
                return "done"
            if now - begun > self.config.time_limit_s * 1e9:
                return "time limit"
        return "stopped"

    def _tell(self, phase: str, reason: str, last: bool) -> None:
        self.wire.send("episode", phase, self.seed, *self.about, reason, last)


if __name__ == "__main__":
    main()
