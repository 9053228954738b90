"""What goes wrong: wrong variables, Ctrl-C at any moment, a process that dies, a folder that cannot be written."""

import os
import random
import signal
import subprocess
import time

import pytest

from tests.graphs import SHARED_MEMORY, finish, processes_of, run, start

pytestmark = [pytest.mark.graph, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    "name, wrong, choices",
    [("POLICY", "oracle", "expert, "), ("TASK", "juggle", "write_board"), ("MARGIN", "many", "a whole number")],
)
def test_a_wrong_variable_ends_the_run_with_one_line(name, wrong, choices, dora_env, tmp_path):
    done = run("async_rtr.yml", dora_env, tmp_path, **{name: wrong})
    assert done.code == 1
    lines = [line for line in done.text.splitlines() if f"{name}: expected" in line]
    assert lines and choices in lines[0] and repr(wrong) in lines[0]


def test_rtr_check_names_the_choices_before_dora_starts(dora_env):
    command = ["rtr", "check", "dataflows/async_rtr.yml"]
    env = {**dora_env, "TASK": "juggle"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and done.stderr == "rtr: TASK: expected one of write_board, got 'juggle'\n"


def segments():
    return {path.name: path.stat().st_size for path in SHARED_MEMORY.iterdir()}


def test_ctrl_c_at_any_moment_leaves_nothing_behind(dora_env, tmp_path):
    times = int(os.environ.get("CTRL_C", "3"))
    chance = random.Random(3)
    for attempt in range(times):
        before, out = segments(), tmp_path / str(attempt)
        process = start("async_rtr.yml", dora_env, out)
        begun = time.monotonic()
        time.sleep(chance.uniform(0.3, 9))
        process.send_signal(signal.SIGINT)
        finish(process, out, begun, timeout=40)
        deadline = time.monotonic() + 5
        while processes_of(dora_env["HOME"]) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert processes_of(dora_env["HOME"]) == []
        left = {name: size for name, size in segments().items() if name not in before}
        assert len(left) <= 1 and sum(left.values()) <= 16384, left


def pid_of(script, home):
    for folder in os.listdir("/proc"):
        try:
            with open(f"/proc/{folder}/cmdline") as file, open(f"/proc/{folder}/environ") as environ:
                if script in file.read() and f"HOME={home}\0" in environ.read():
                    return int(folder)
        except (OSError, UnicodeDecodeError):
            continue
    return None


@pytest.mark.parametrize("script", ["rtr-policy", "rtr-evaluator"])
def test_a_process_that_dies_ends_the_run_and_all_others(script, dora_env, tmp_path):
    process = start("async_rtr.yml", dora_env, tmp_path)
    begun = time.monotonic()
    while "tick" not in (tmp_path / "log.txt").read_text() and time.monotonic() - begun < 60:
        time.sleep(0.1)
    victim = pid_of(script, dora_env["HOME"])
    assert victim
    os.kill(victim, signal.SIGKILL)
    done = finish(process, tmp_path, begun, timeout=60)
    assert done.code == 1 and processes_of(dora_env["HOME"]) == []
