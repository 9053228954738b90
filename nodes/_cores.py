"""How busy each process of the dataflow keeps a core, from /proc; empty where there is none."""

import os
import time
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class CoreUse:
    """Counts from when it is made."""

    def __init__(self) -> None:
        self._begun_ns, self._busy_s = time.monotonic_ns(), busy_s()

    def percent(self) -> dict[str, float]:
        """Node -> percent of one core since then."""
        elapsed_s = (time.monotonic_ns() - self._begun_ns) / 1e9
        now = busy_s()
        return {name: round(100 * (now[name] - self._busy_s.get(name, 0.0)) / elapsed_s, 1) for name in sorted(now)}


def busy_s() -> dict[str, float]:
    """CPU seconds so far of every console script `rtr-...` that dora has started beside this process."""
    found: dict[str, float] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()  # the name in parentheses may hold anything
            arguments = stat.with_name("cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        names = [Path(os.fsdecode(argument)).name for argument in arguments[:2]]
        script = next((name for name in names if name.startswith("rtr-")), None)
        if script and int(fields[1]) == os.getppid():
            name = script.removeprefix("rtr-")
            found[name] = found.get(name, 0.0) + (int(fields[11]) + int(fields[12])) / TICKS_PER_S
    return found
