"""A shipped graph under `dora run`, to its end, and what it reports."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
GRACE_S = 15.0


def run_graph(mode: str, out: Path, variables: dict[str, str], limit_s: float | None = None) -> dict[str, Any]:
    """Run `mode`.yml with these variables of the environment -> its report.json; what it says is in `out`/log.txt.

    Raises:
        ValueError: it did not end within the limit, or ended with an error.
    """
    env = {**os.environ, **variables, "OUT": str(out.resolve())}
    command = ["dora", "run", "--log-level", "error", str(ROOT / "dataflows" / f"{mode}.yml")]
    out.mkdir(parents=True, exist_ok=True)
    log = out / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, env=env, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(limit_s)
        except subprocess.TimeoutExpired:
            raise ValueError(f"{mode}.yml: expected it to end within {limit_s:g} s, it did not; see {log}") from None
        finally:
            _end(process)  # after Ctrl-C here too
    if code:
        said = log.read_text()[-2000:]
        raise ValueError(f"{mode}.yml: expected it to run to its end, got exit {code}; see {log}:\n{said}")
    return json.loads((out / "report.json").read_text())


def _end(process: subprocess.Popen) -> None:
    """As by Ctrl-C, so that dora ends its nodes; what does not end is killed."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
