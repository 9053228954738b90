"""What actors give out, called as a stage calls them."""

from typing import Any

from operators.actor import Actor


def gave(actor: Actor, message: Any, port: str = "", now_ns: int = 0) -> list[Any]:
    """All that an actor gives out when it receives a message."""
    return list(actor.receive(port, message, now_ns))


def first(actor: Actor, message: Any) -> Any:
    """The first of it, or None."""
    return next(iter(gave(actor, message)), None)
