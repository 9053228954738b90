"""A mistake in any operator is caught by the golden replay: a sign turned, or a tick too many or too few."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import operators.codec
import operators.decode
import operators.edge
import operators.execution
import operators.join
import operators.metrics
import operators.open_loop
import operators.plan
import operators.schedule
import simulation.expert_policy
import simulation.world
from operators.episode_log import PlanTimeBuilder
from operators.rows import Rows
from tests import golden

SEED = 20_260  # chooses the axis whose sign is turned
AXIS = random.Random(SEED).randrange(3)


def turned(value: Any) -> Any:
    """The other sign: of a number, of an angle, of one axis of rows."""
    if isinstance(value, Rows):
        return Rows(value.tick, turned(value.action))
    if np.ndim(value) < 1:
        return -value
    out = np.array(value)
    out[..., AXIS] = -out[..., AXIS]
    return out


def late(value: Any) -> Any:
    """A tick too many: a number, or rows that are due one tick later."""
    return Rows(value.tick + 1, value.action) if isinstance(value, Rows) else value + 1


def early(value: Any) -> Any:
    """A tick too few: each tick gets what belongs to the next."""
    if isinstance(value, Rows):
        return Rows(value.tick, early(value.action))
    return value - 1 if np.ndim(value) < 1 else np.concatenate([value[1:], value[-1:]])


def of(index: int, change: Callable) -> Callable[[tuple], tuple]:
    """A change of one of several outcomes."""

    def changed(outcome: tuple) -> tuple:
        parts = (*outcome[:index], change(outcome[index]), *outcome[index + 1 :])
        return type(outcome)(*parts) if hasattr(outcome, "_fields") else parts

    return changed


def asked(outcome: tuple) -> tuple:
    """A request whose tick is one late."""
    return outcome[0], outcome[1] and outcome[1]._replace(tick=outcome[1].tick + 1)


def heard(message: Any) -> Any:
    """A message whose tick is one late."""
    return message._replace(tick=message.tick + 1) if hasattr(message, "tick") else message


class Mutant(NamedTuple):
    """Where a function of an operator is called from, its name there, and what is done to its outcome."""

    owner: Any
    name: str
    mistakes: tuple[Callable, ...]
    caught_by: str  # the process whose golden replay must differ


MUTANTS = {
    "chunk_noise.noisy": Mutant(simulation.expert_policy, "noisy", (turned, early), "policy"),
    "codec.decode": Mutant(operators.codec.DctCodec, "decode", (turned, early), "decoder"),
    "codec.reconstruct": Mutant(operators.decode, "reconstruct", (turned, early), "decoder"),
    "decode": Mutant(operators.decode, "decode", (turned, late, early), "decoder"),
    "edge.read": Mutant(operators.edge, "unpack", (heard,), "executor"),
    "episode_log.executed": Mutant(PlanTimeBuilder, "build", (of(0, late), of(1, early)), "evaluator"),
    "execution.chunk": Mutant(operators.execution, "rows", (turned, late, early), "executor"),
    "feed.advance": Mutant(operators.plan, "advance", (of(0, late), of(0, early), of(1, turned)), "executor"),
    "kinematics.inverse": Mutant(simulation.world, "inverse", (turned,), "robot_sim"),
    "limits.limit": Mutant(operators.execution.Limiter, "limit", (of(1, turned),), "executor"),
    "metrics.jitter": Mutant(operators.metrics, "jitter_ms", (lambda late: -late,), "evaluator"),
    "metrics.overlap": Mutant(operators.metrics, "overlap_difference_mm", (turned,), "evaluator"),
    "open_loop.turns": Mutant(operators.open_loop, "turns", (early,), "compare"),
    "plan.step": Mutant(operators.plan.Plan, "_at", (of(0, turned),), "executor"),
    "plan.newest": Mutant(operators.join.JOINS, "newest", (turned, early), "executor"),
    "refine": Mutant(operators.decode, "refine", (turned, late, early), "decoder"),
    "rotation.to_absolute": Mutant(operators.decode, "to_absolute", (turned, early), "decoder"),
    "rotation.to_relative": Mutant(operators.codec, "to_relative", (turned, early), "decoder"),
    "rows.since": Mutant(Rows, "since", (turned, late, early), "decoder"),
    "schedule.moving": Mutant(operators.schedule.Schedule, "moving", (asked,), "scheduler"),
    "schedule.delay": Mutant(operators.schedule.Schedule, "_lost", (lambda lost: not lost,), "scheduler"),
}
CASES = [(name, mistake) for name, mutant in MUTANTS.items() for mistake in range(len(mutant.mistakes))]


def caught(name: str, folder: Any) -> bool:
    """Whether a process now sends something else than what is stored, or fails."""
    try:
        if name == "evaluator":
            return any(golden.figures_moved(name, golden.EVALUATED, golden.evaluated(folder)[0]))
        if name == "compare":
            return any(golden.figures_moved(name, golden.COMPARED, golden.compared(folder)))
        return any(golden.differences(name, golden.outputs(name)))
    except (ValueError, IndexError, AssertionError, KeyError):
        return True  # the mistake does not even get that far


@pytest.mark.parametrize(("name", "mistake"), CASES)
def test_a_mistake_is_caught(name, mistake, monkeypatch, tmp_path):
    mutant = MUTANTS[name]
    inside = isinstance(mutant.owner, dict)
    right = mutant.owner[mutant.name] if inside else getattr(mutant.owner, mutant.name)

    def wrong(*arguments: Any, **named: Any) -> Any:
        return mutant.mistakes[mistake](right(*arguments, **named))

    (monkeypatch.setitem if inside else monkeypatch.setattr)(mutant.owner, mutant.name, wrong)
    assert caught(mutant.caught_by, tmp_path)


@pytest.mark.parametrize("name", sorted({mutant.caught_by for mutant in MUTANTS.values()}))
def test_without_a_mistake_nothing_is_caught(name, tmp_path):
    assert not caught(name, tmp_path)
