"""Plays a recording in the place of robot and cameras; when is decided in operators.actors.playing."""

import sys
from collections.abc import Iterator
from pathlib import Path

from dora import Node

from nodes._stage import serve
from nodes._wire import ROOT, settings
from operators.actor import Recorded
from operators.actors.playing import Playing, Sample
from operators.settings import Settings
from recordings.drec.file import Damage, Reader
from recordings.drec.messages import messages
from recordings.drec.survey import pictures_to_play

INPUTS = Playing.INPUTS


def main() -> None:
    config = settings()
    path = ROOT / config.recording
    if not config.recording or (config.record and path == ROOT / config.record):
        sys.exit(f"RECORDING: expected a recording other than RECORD, got {config.recording!r}")
    try:
        with Reader(path) as reader:
            cameras = pictures_to_play(reader)
            print("".join(f"{line}\n" for line in reader.damage), end="", flush=True)
    except (OSError, Damage) as error:
        sys.exit(f"RECORDING: {error}")
    run(Node(), config, path, cameras)


def run(node: Node, config: Settings, path: Path, cameras: set[str]) -> None:
    shown = cameras & set(node.node_config().get("outputs") or ())

    def samples(episode: int) -> Iterator[Sample]:
        with Reader(path) as reader:
            for found in messages(reader, {"proprio", *shown}):
                if found.episode == episode:
                    output, content = found.record.output, found.content
                    proprio = found.unpack() if output == "proprio" else None
                    yield Sample(found.record.offset_ns, Recorded(output, content.array, content.metadata), proprio)

    serve("playback", Playing(samples, shown, config.speed), node)


if __name__ == "__main__":
    main()
