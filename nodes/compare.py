"""Two policies on one playback: keeps the chunks of both, and compares them with what was done in the recording."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from dora import Node

from models.registry import make_codec
from nodes._wire import ROOT, Wire, settings
from operators.decode import decode
from operators.messages import Chunk, Episode
from operators.open_loop import open_loop
from operators.rows import Rows
from operators.settings import Settings
from recordings.demonstration import demonstrations
from recordings.drec import Damage

INPUTS = {"first": Chunk, "second": Chunk, "episode": Episode}


def main() -> None:
    config = settings()
    if not config.recording:
        sys.exit("RECORDING: expected a recording, got none")
    sys.exit(run(Node(), config) or 0)


def run(node: Node, config: Settings) -> str:
    """Listen until the run is over, then print the table and leave compare.json; what went wrong, or nothing."""
    wire = Wire(node, "compare", INPUTS)
    codecs: dict[str, Any] = {}
    chunks: dict[str, dict[int, list[Rows]]] = {"first": {}, "second": {}}
    for source, message in wire.messages():
        if isinstance(message, Chunk):
            kind = (message.codec or "dct").split(":")[0]
            codec = codecs.setdefault(kind, make_codec(kind))
            rows = wire.attempt("chunk dropped", decode, message, codec)
            if rows is not None:
                chunks[source].setdefault(message.episode, []).append(rows)
    try:
        figures = compared(ROOT / config.recording, chunks)
    except (OSError, Damage) as error:
        return f"RECORDING: {error}"
    names = {"first": config.policy, "second": config.policy_b}
    print("\n".join(table(figures, names)), flush=True)
    out = Path(config.out) / "compare.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"policies": names, **figures}, indent=1))
    return ""


def compared(path: Path, chunks: dict[str, dict[int, list[Rows]]]) -> dict[str, dict[str, float | None]]:
    """Mean over episodes of each figure; null where it could not be measured."""
    done = {each.episode.episode: each.commanded for each in demonstrations(path)}
    figures: dict[str, dict[str, float | None]] = {}
    for source, episodes in chunks.items():
        found = [open_loop(rows, done[number]) for number, rows in episodes.items() if number in done]
        values = {name: np.array([each[name] for each in found]) for name in (found[0] if found else ())}
        figures[source] = {n: float(np.nanmean(v)) if np.isfinite(v).any() else None for n, v in values.items()}
    return figures


def table(figures: dict[str, dict[str, float | None]], names: dict[str, str]) -> list[str]:
    """Lines for the screen."""
    lines = [f"{'open loop':28s}{names['first']:>16s}{names['second']:>16s}"]
    for name in figures["first"] or figures["second"]:
        values = [figures[source].get(name) for source in ("first", "second")]
        lines.append(f"{name:28s}" + "".join(f"{'-' if v is None else f'{v:.3f}':>16s}" for v in values))
    return lines


if __name__ == "__main__":
    main()
