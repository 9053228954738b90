"""The episodes that reports and studies are made of: traces in a folder, or a recording."""

from pathlib import Path

from operators.measure.log import EpisodeLog
from recordings.drec.logs import logs as recorded
from recordings.trace import load, names
from simulation.tasks import reference


def logs(source: Path) -> list[EpisodeLog]:
    """Of a folder of traces, in the order of their names, or of a recording.

    Raises:
        ValueError: there are none, or they are damaged.
    """
    if source.is_file():
        return recorded(source, reference)
    found = names(source)
    if not found:
        raise ValueError(f"expected traces in {source}, there are none; name a folder of traces or a recording")
    return [load(source, name) for name in found]
