"""Is this machine fit to run the graphs? One line a question, with the fix beside what is not."""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

MEGABYTE = 1 << 20
SHARED_MEMORY = Path("/dev/shm")
SHARED_MEMORY_NEEDED = 64 * MEGABYTE  # pools of all senders of the largest graph, reserved when it starts

# A process of its own: a broken driver aborts, and MUJOCO_GL is read when mujoco is imported.
_OPEN_GL = """
import mujoco, OpenGL.GL
context = mujoco.GLContext(64, 64)
context.make_current()
print(OpenGL.GL.glGetString(OpenGL.GL.GL_RENDERER).decode())
context.free()
"""


class Finding(NamedTuple):
    """The answer to one question."""

    name: str
    ok: bool
    value: str  # what was found
    fix: str  # what to do if it is not ok; empty if nothing is
    essential: bool = False  # nothing runs while this is not ok


def report() -> list[Finding]:
    """Every finding, in the order of printing. Changes nothing on the machine."""
    return [
        python(sys.version_info[:3]),
        dora(shutil.which("dora", path=_search_path())),
        sched_fifo(_fifo_error()),
        egl(*_open_gl()),
        shared_memory(*_shared_memory_size()),
        cores(len(os.sched_getaffinity(0))),
        torch_threads(_torch_threads(), len(os.sched_getaffinity(0))),
    ]


def python(version: tuple[int, ...]) -> Finding:
    ok = (3, 11) <= version[:2] <= (3, 13)
    fix = "install Python 3.11, 3.12 or 3.13 and make .venv anew: rm -r .venv; make setup"
    return Finding("Python", ok, ".".join(map(str, version)), fix, essential=True)


def dora(command: str | None) -> Finding:
    """`command`: path of the dora CLI, None if there is none."""
    fix = "make setup, then put .venv/bin on PATH: . .venv/bin/activate"
    if command is None:
        return Finding("dora CLI", False, "not found", fix, essential=True)
    try:
        answer = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("dora CLI", False, f"does not start: {error}", "make setup", essential=True)
    version = re.search(r"\d+(\.\d+)+\S*", answer.stdout)
    found = version.group() if version else "no version"
    return Finding("dora CLI", found.startswith("1.1."), found, "pip install 'dora-rs-cli==1.1.*'", essential=True)


def sched_fifo(error: BaseException | None) -> Finding:
    fix = (
        "the executor's period will jitter by milliseconds; allow it: `ulimit -r 50`, in /etc/security/limits.conf "
        "`@realtime - rtprio 50`, in Docker `--cap-add=SYS_NICE --ulimit rtprio=50`"
    )
    return Finding("SCHED_FIFO", error is None, "allowed" if error is None else f"refused ({error})", fix)


def egl(renderer: str, error: str) -> Finding:
    """`renderer`: what OpenGL calls itself in a context of MuJoCo, empty if there was none."""
    fix = "make system (libegl1 libgl1-mesa-dri)"
    return Finding("EGL", bool(renderer), renderer or error, fix, essential=True)


def shared_memory(total: int, free: int) -> Finding:
    """Size and free space of /dev/shm [byte]; 0 where there is none."""
    value = f"{total // MEGABYTE} MB, {free // MEGABYTE} MB free" if total else "not there"
    needed = f"{SHARED_MEMORY_NEEDED // MEGABYTE} MB must be free"
    fix = f"{needed}: `docker run --shm-size=256m`, or `mount -o remount,size=256m /dev/shm`"
    return Finding("/dev/shm", free >= SHARED_MEMORY_NEEDED, value, fix, essential=True)


def cores(count: int) -> Finding:
    fix = "one core is not enough for physics, cameras, policy and a steady executor: expect stalls; give it two"
    return Finding("cores", count >= 2, str(count), fix)


def torch_threads(threads: int, count: int) -> Finding:
    fix = f"more threads than cores slow each other down: unset OMP_NUM_THREADS or set it to {count} at most"
    return Finding("torch threads", threads <= count, str(threads), fix)


def line(finding: Finding) -> Text:
    """One finding as one line."""
    mark, style = ("ok  ", "green") if finding.ok else ("FAIL", "bold red") if finding.essential else ("warn", "yellow")
    text = Text.assemble((mark, style), f" {finding.name:<14}{finding.value}")
    return text if finding.ok else text.append(f": {finding.fix}")


def main() -> int:
    findings, console = report(), Console(highlight=False)
    for finding in findings:
        console.print(line(finding), soft_wrap=True)
    return int(any(finding.essential and not finding.ok for finding in findings))  # a warning is no failure


def _search_path() -> str:
    """PATH with this interpreter's scripts first."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def _fifo_error() -> BaseException | None:
    """Try it in a thread of its own, to which on Linux the policy belongs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(os.sched_setscheduler, 0, os.SCHED_FIFO, os.sched_param(1)).exception()


def _open_gl() -> tuple[str, str]:
    """Renderer and error text of an EGL context, one of them empty."""
    environment = {**os.environ, "MUJOCO_GL": "egl"}
    try:
        answer = subprocess.run(
            [sys.executable, "-c", _OPEN_GL], env=environment, capture_output=True, text=True, timeout=60
        )
    except subprocess.TimeoutExpired:
        return "", "no context within 60 s"
    if answer.returncode == 0:
        return answer.stdout.strip(), ""
    last = answer.stderr.strip().splitlines()[-1:] or [f"exit code {answer.returncode}"]
    return "", f"no context ({last[0]})"


def _shared_memory_size() -> tuple[int, int]:
    if not SHARED_MEMORY.is_dir():
        return 0, 0
    size = shutil.disk_usage(SHARED_MEMORY)
    return size.total, size.free


def _torch_threads() -> int:
    import torch  # two seconds: only where it is asked for

    return torch.get_num_threads()


if __name__ == "__main__":
    sys.exit(main())
