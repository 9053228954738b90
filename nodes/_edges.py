"""Which sender and number a received message has, as dora tells it."""

from typing import Any


def sources(config: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Input id -> (node, output), from a node's configuration."""
    wired = {name: edge if isinstance(edge, str) else edge["source"] for name, edge in config.get("inputs", {}).items()}
    return {name: (source.split("/", 1)[0], source.split("/", 1)[1]) for name, source in wired.items()}


def number(event: dict[str, Any]) -> int:
    """The sender's number of a message: in its metadata, or its first column; -1 where it has none."""
    seq, array = event["metadata"].get("seq"), event["value"]
    if seq is None and getattr(array.type, "num_fields", 0) and array.type.field(0).name == "seq" and len(array):
        seq = array.field(0)[0].as_py()
    return seq if isinstance(seq, int) else -1
