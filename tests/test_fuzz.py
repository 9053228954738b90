"""Two hundred runs under faults; `make fuzz` plays ten thousand."""

import pytest

from tests.fuzz import CRASHING, Run, drawn, failure

RUNS, AT_ONCE = 200, 10


@pytest.mark.parametrize("first", range(0, RUNS, AT_ONCE))
def test_under_faults_limits_hold_nothing_is_stuck_and_nothing_grows(first):
    assert [told for seed in range(first, first + AT_ONCE) if (told := failure(seed))] == []


def test_a_run_follows_from_its_seed_alone():
    def sent(seed: int) -> list[str]:
        told: list[str] = []
        Run(seed, lambda sender, output, message: told.append(f"{sender} {output} {message[:5]}")).play()
        return told

    assert sent(5) == sent(5) != sent(6)


def test_every_graph_and_every_fault_is_drawn():
    faults = [drawn(seed) for seed in range(RUNS)]
    assert len({each.graph for each in faults}) == 5 and {0} < {each.lost for each in faults}
    assert {name for each in faults for _, name, _ in each.crashes} == {*CRASHING}


@pytest.mark.parametrize("broken", ["stuck", "limits"])
def test_what_breaks_a_law_is_found(broken, monkeypatch):
    if broken == "stuck":  # a scheduler that never asks again
        monkeypatch.setattr("operators.actors.scheduling.Schedule._lost", lambda self, cycle: False)
    else:  # nobody limits
        monkeypatch.setattr("operators.motion.limits.Motion.follow", _free)
    assert any(failure(seed) for seed in range(40))


def _free(motion, position, target, gap, plan_step, limits):
    return motion._replace(step=gap), 0
