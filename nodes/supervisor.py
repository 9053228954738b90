"""Says how the run stands, and pauses it: `dora param set supervisor pause true` (operators.actors.supervising)."""

from dora import Node

from nodes._stage import serve
from nodes._wire import settings
from operators.actors.supervising import Supervising

INPUTS = Supervising.INPUTS


def main() -> None:
    config = settings()
    serve("supervisor", Supervising(config.rate_scale), Node())


if __name__ == "__main__":
    main()
