"""Where a node's inputs come from, as dora tells it."""

from typing import Any


def sources(config: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Input id -> (node, output), from a node's configuration."""
    wired = {name: edge if isinstance(edge, str) else edge["source"] for name, edge in config.get("inputs", {}).items()}
    return {name: (source.split("/", 1)[0], source.split("/", 1)[1]) for name, source in wired.items()}
