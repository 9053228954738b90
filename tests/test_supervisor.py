"""The supervisor: what it calls the run, when it pauses it, and whom it counts as silent."""

import json
import subprocess
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.actor import Param, Wrong
from operators.actors.executing import Executing
from operators.actors.supervising import LOOK_NS, SILENT_PERIODS, Pulse, Supervising
from operators.messages import HZ, Command, Episode, Mode, Plan, Proprio
from operators.motion.join import newest
from operators.motion.plan import hold
from operators.motion.rotation import action_from_pose
from operators.motion.rows import rows
from operators.settings import Settings
from recordings.trace import load
from tests.acting import gave
from tests.chunks import POSE, START, line
from tests.envelope import ENVELOPE
from tests.graphs import ROOT, TIMEOUT_S
from tests.replay import Mock, replay_node

EPISODE = Episode(0, 0, 0, "start", 1, "", "", "", "", False)
ZERO = np.zeros(6)
PROPRIO = Proprio(0, 0, 0, 0, 0, ZERO, POSE, ZERO, ZERO, 0.5)
NONE = np.zeros((0, 10), np.float32)
PLAN = Plan(0, 0, 0, 0, 0, "holding", NONE, NONE, np.zeros(0, np.int64), -1, 0, -1, 0, 0, -1, -1)
PERIOD_NS = 1_000_000_000 // HZ


class Told:
    """A supervisor through a life of regular calls."""

    def __init__(self, scale: float = 1.0):
        self.actor, self.now_ns, self.out = Supervising(scale), 1, list[Any]()

    def hear(self, message: Any, port: str = "") -> None:
        self.out += gave(self.actor, message, port, self.now_ns)

    def live(self, periods: int, *heard: Any) -> None:
        for _ in range(periods):
            self.now_ns += PERIOD_NS
            for message in heard:
                self.hear(message)
            if self.actor.wake_ns is not None and self.now_ns >= self.actor.wake_ns:
                self.out += self.actor.wake(self.now_ns)

    @property
    def modes(self) -> list[tuple[str, float]]:
        told = [(each.mode, each.most) for each in self.out if isinstance(each, Mode)]
        return [mode for i, mode in enumerate(told) if i == 0 or mode != told[i - 1]]


def test_a_run_starts_runs_and_stops_and_says_so_once_a_second():
    told = Told(0.5)
    told.live(10)
    told.hear(EPISODE)
    told.live(30, PROPRIO._replace(state="homing"), PLAN)
    told.live(150, PROPRIO, PLAN)
    told.hear(EPISODE._replace(phase="end"))
    assert told.modes == [("stopped", 0.0), ("starting", 0.5), ("running", 0.5), ("stopped", 0.0)]
    assert sum(isinstance(each, Mode) and each.mode == "running" for each in told.out) == 3  # at 0, 1 and 2 s


def test_a_pause_is_a_feed_of_nothing_and_ends_where_it_began():
    told = Told()
    told.hear(EPISODE)
    told.live(10, PROPRIO, PLAN)
    told.hear(Param("pause", True), "param")
    told.live(10, PROPRIO, PLAN)
    told.hear(Param("rate_scale", 0.25), "param")
    told.hear(Param("pause", False), "param")
    assert told.modes[-2:] == [("paused", 0.0), ("running", 0.25)]


@pytest.mark.parametrize(
    "key, value", [("pause", 1), ("pause", "yes"), ("rate_scale", 0), ("rate_scale", 1.5), ("x", 1)]
)
def test_what_is_no_parameter_is_refused(key, value):
    with pytest.raises(ValueError, match=r"expected pause \(true, false\) or rate_scale \(0 to 1\)"):
        Told().hear(Param(key, value), "param")


def test_who_falls_silent_brakes_the_run_and_who_returns_goes_on():
    told = Told()
    told.hear(EPISODE)
    told.live(60, PROPRIO, PLAN)
    told.live(SILENT_PERIODS + 12, PLAN)
    told.live(60, PROPRIO, PLAN)
    assert [mode for mode, _ in told.modes] == ["starting", "running", "braking", "running"]
    assert [each.detail for each in told.out if isinstance(each, Wrong)] == [
        "expected proprio, got none for 30 periods"
    ]


def test_a_supervisor_that_slept_blames_nobody():
    told = Told()
    told.hear(EPISODE)
    told.live(60, PROPRIO, PLAN)
    told.now_ns += 5_000_000_000
    told.live(1)
    told.live(60, PROPRIO, PLAN)
    assert [mode for mode, _ in told.modes] == ["starting", "running"]


@given(st.floats(5, 200), st.lists(st.floats(0.5, 1.5), min_size=50, max_size=80))
def test_ages_are_in_periods_that_were_measured(rate_hz, jitter):
    pulse, now = Pulse(60.0), 1
    for share in [*[1.0] * 100, *jitter]:
        pulse.beat(now := now + round(share * 1e9 / rate_hz))
    assert 10 / 1.55 < pulse.age(now + round(10e9 / rate_hz)) < 10 / 0.45
    assert Pulse(60.0).age(10**12) == 0


# --- What the executor makes of it --------------------------------------------------------------------------------


def test_the_plan_is_slowed_down_and_stands_in_a_pause_and_goes_on_bit_by_bit():
    plan = hold(START).receive(rows(0, line(0, 200).action), 0, newest)
    seen, states, most = [], [], 1.0
    for cycle in range(120):
        most = {30: 0.0, 70: 1.0}.get(cycle, most)
        plan, due = plan.step(0.4, most)
        seen.append(plan.position)
        states.append(due.state)
    assert set(states[40:70]) == {"paused"} and seen[40] == seen[69] and max(np.diff(seen)) <= 1
    assert min(np.diff(seen)) >= 0 and max(np.abs(np.diff(seen, 2))) < 0.15
    assert set(states[71:]) == {"playing"} and seen[-1] == round(seen[-1])


@pytest.mark.parametrize("scale", [0.3, 0.8])
def test_the_rate_scale_bounds_the_feed_from_the_start(scale):
    executing = Executing(Settings(rate_scale=scale, clock="rig"), ENVELOPE)
    gave(executing, PROPRIO)
    assert executing.execution.plan is not None
    plan = hold(action_from_pose(POSE)).receive(rows(0, line(0, 200).action), 0, newest)
    executing.execution.plan = plan
    ticks = [next(each for each in executing.cycle(i, i) if isinstance(each, Command)).tick for i in range(100)]
    assert ticks[-1] == pytest.approx(100 * scale, abs=5)


# --- The node -----------------------------------------------------------------------------------------------------


def test_a_parameter_reaches_it_and_a_wrong_one_is_a_fault():
    from nodes._stage import serve

    events = [{"type": "PARAM_UPDATE", "id": key, "value": True} for key in ("pause", "nonsense")]
    node = replay_node([*events], Mock)
    serve("supervisor", Supervising(1.0), node)
    assert LOOK_NS and len(node.outputs["fault"]) == 1


@pytest.mark.graph
@pytest.mark.timeout(300)
def test_dora_param_set_pauses_a_run_and_lets_it_go_on(dora_env, tmp_path):
    env = {**dora_env, "POLICY": "expert", "CODEC": "dct", "OUT": str(tmp_path), "SEED": "10003"}

    def dora(*words: str) -> str:
        done = subprocess.run(["dora", *words], env=env, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S)
        return done.stdout + done.stderr

    dora("up")
    try:
        started = subprocess.Popen(
            ["dora", "start", "--attach", "--name", "paused", "dataflows/async_rtr.yml"], env=env, cwd=ROOT
        )
        time.sleep(6)
        said = dora("param", "set", "-d", "paused", "supervisor", "pause", "true")
        time.sleep(3)
        dora("param", "set", "-d", "paused", "supervisor", "pause", "false")
        assert started.wait(TIMEOUT_S) == 0, said
    finally:
        dora("down")
    log = load(tmp_path / "trace", "episode_0")
    paused = log.cycles.state == "paused"
    assert paused.sum() > 60 and np.ptp(log.cycles.tick[paused]) <= 1 and log.score["success"] == 1, said
    assert json.loads((tmp_path / "report.json").read_text())["metrics"]["starved_percent"]["mean"] == 0
