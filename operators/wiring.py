"""Who hears whom, read from a graph: what every stage goes by, and what makes one mode of execution out of another."""

from collections.abc import Mapping
from typing import Any

Wiring = dict[tuple[str, str], list[tuple[str, str]]]  # (node, output) -> (node, port) of all that hear it

# the edge that makes a graph more than naive
EDGES = {
    "sync": ("scheduler", "chunk_done"),
    "async_rtc": ("policy", "executed"),
    "async_rtr": ("decoder", "executed"),
    "async_a2c2": ("executor", "features"),
}


def sources(inputs: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Port -> (node, output), from the inputs of a node."""
    wired = {port: edge if isinstance(edge, str) else edge["source"] for port, edge in inputs.items()}
    return {port: (source.split("/", 1)[0], source.split("/", 1)[1]) for port, source in wired.items()}


def inputs_of(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """The inputs of a node, or of the operator in it."""
    return {**(node.get("inputs") or {}), **((node.get("operator") or {}).get("inputs") or {})}


def wiring(graph: Mapping[str, Any]) -> Wiring:
    """All edges of a graph between nodes; `op/` in front of an operator's output is left out."""
    edges: Wiring = {}
    for node in graph.get("nodes", []):
        for port, (source, output) in sources(inputs_of(node)).items():
            edges.setdefault((source, output.removeprefix("op/")), []).append((node["id"], port))
    return edges


def mode(graph: Mapping[str, Any]) -> str:
    """sync, or how an async graph joins its chunks."""
    ports = {(node["id"], port) for node in graph.get("nodes", []) for port in inputs_of(node)}
    return next((name for name, edge in EDGES.items() if edge in ports), "async_naive")
