"""A mistake in any operator is caught by the golden replay: a sign turned, or a tick too many or too few.

`MUTANTS` and `ELSEWHERE` name every file of operators/ between them: a new one needs a mutant, or a reason why a
replay of processes cannot reach it and the test that does.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import models.samplers.guidance
import nodes._wire
import operators.actor
import operators.actors.decoding
import operators.actors.evaluating
import operators.actors.executing
import operators.actors.following
import operators.actors.inferring
import operators.actors.journal
import operators.actors.moving
import operators.actors.scheduling
import operators.actors.seen
import operators.chunks.codec
import operators.chunks.decode
import operators.edge
import operators.measure.jerk
import operators.measure.seams
import operators.measure.timing
import operators.motion.join
import operators.motion.limits
import operators.motion.plan
import operators.policy
import reports.report
import simulation.arm
import simulation.expert_policy
from operators import messages, schema
from operators.measure.log import Cycles
from operators.measure.plan_time import PlanTimeBuilder
from operators.motion.rows import Rows
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


def misread(value: Any) -> Any:
    """Another sign on one axis of the rows and poses of a message."""
    return turned(value) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


def miscounted(value: Any) -> Any:
    """A message whose whole numbers are one too high."""
    return value + 1 if type(value) is int else value


def mirrored(proprio: Any) -> Any:
    """A measurement with another sign on one axis of the pose."""
    return proprio._replace(tcp_pose=turned(proprio.tcp_pose))


def observed(change: Callable) -> Callable:
    return lambda observation: observation._replace(proprio=change(observation.proprio))


def taken(change: Callable) -> Callable:
    """A change of the measurement in a policy's job, if there is one."""
    return lambda job: job and of(2, observed(change))(job)


def bound(change: Callable) -> Callable:
    """A change of the rows that a chunk is bound to, if there are any."""
    return lambda prefix: prefix and of(0, change)(prefix)


def negative(value: np.ndarray) -> np.ndarray:
    return -value


def higher(figures: dict[str, float]) -> dict[str, float]:
    return {name: value + 1 for name, value in figures.items()}


def shortened(cycles: Cycles) -> Cycles:
    """A log that lacks its last cycle."""
    return Cycles(**{name: column[:-1] for name, column in vars(cycles).items()})


def shown_late(metadata: dict) -> dict:
    """A frame whose stamp is one late."""
    return {**metadata, "t_ns": metadata["t_ns"] + 1}


def asked(outcome: tuple) -> tuple:
    """A request whose tick is one late."""
    return outcome[0], outcome[1] and outcome[1]._replace(tick=outcome[1].tick + 1)


def unheard(outputs: Any) -> tuple:
    """Nothing comes of a message."""
    return ()


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
    "actor.beat": Mutant(operators.actor.Beat, "next", (late,), "robot"),
    "align.fit": Mutant(operators.actors.decoding, "fit", (of(0, late), of(0, turned)), "decoder"),
    "noise.noisy": Mutant(simulation.expert_policy, "noisy", (turned, early), "policy"),
    "codec.decode": Mutant(operators.chunks.codec.DctCodec, "decode", (turned, early), "decoder"),
    "codec.reconstruct": Mutant(operators.actors.decoding, "reconstruct", (turned, early), "decoder"),
    "decode": Mutant(operators.actors.decoding, "decode", (turned, late, early), "decoder"),
    "decoding.rows": Mutant(operators.actors.decoding.Decoding, "rows", (of(0, late), of(1, late)), "decoder"),
    "edge.read": Mutant(operators.edge, "unpack", (heard,), "executor"),
    "plan_time.executed": Mutant(PlanTimeBuilder, "build", (of(0, late), of(1, early)), "evaluator"),
    "evaluating.end": Mutant(operators.actors.evaluating.Evaluating, "receive", (unheard,), "evaluator"),
    "executing.chunk": Mutant(operators.actors.executing, "rows", (turned, late, early), "executor"),
    "feed.advance": Mutant(operators.motion.plan, "advance", (of(0, late), of(0, early), of(1, turned)), "executor"),
    "foresight.rolled_forward": Mutant(operators.policy, "rolled_forward", (mirrored, heard), "policy_vlash"),
    "frame.metadata": Mutant(nodes._wire, "frame_metadata", (shown_late,), "camera_front"),
    "inferring.chunk": Mutant(operators.actors.inferring, "Chunk", (heard,), "policy"),
    "kinematics.inverse": Mutant(simulation.arm, "inverse", (turned,), "robot"),
    "following.cycle": Mutant(operators.actors.following.Following, "cycle", (of(0, turned),), "robot"),
    "limits.limit": Mutant(operators.actors.executing.Limiter, "limit", (of(1, turned),), "executor"),
    "schema.read": Mutant(schema, "_value", (misread, miscounted), "decoder"),
    "jerk.third": Mutant(operators.measure.jerk, "third_difference_mm", (negative,), "evaluator"),
    "journal.stations": Mutant(operators.actors.journal, "_stations", (higher,), "evaluator"),
    "log.commanded": Mutant(operators.actors.journal, "cycles_from_commands", (shortened,), "evaluator"),
    "metrics.episode": Mutant(reports.report, "episode_metrics", (higher,), "evaluator"),
    "seams.overlap": Mutant(operators.measure.seams, "overlap_difference_mm", (turned,), "evaluator"),
    "timing.jitter": Mutant(operators.measure.timing, "jitter_ms", (negative,), "evaluator"),
    "moving.measured": Mutant(operators.actors.moving, "Proprio", (heard,), "robot"),
    "plan.step": Mutant(operators.motion.plan.PlanState, "_at", (of(0, turned),), "executor"),
    "join.newest": Mutant(operators.motion.join.JOINS, "newest", (turned, early), "executor"),
    "policy.observe": Mutant(operators.actors.seen, "observe", (observed(mirrored), observed(heard)), "policy"),
    "prefix.schedule": Mutant(models.samplers.guidance, "prefix", (bound(turned), bound(early)), "policy_rtc"),
    "refine": Mutant(operators.actors.decoding, "refine", (turned, late, early), "decoder"),
    "rotation.to_absolute": Mutant(operators.chunks.decode, "to_absolute", (turned, early), "decoder"),
    "rotation.to_relative": Mutant(operators.chunks.codec, "to_relative", (turned, early), "decoder"),
    "rows.since": Mutant(Rows, "since", (turned, late, early), "decoder"),
    "scheduling.moving": Mutant(operators.actors.scheduling.Schedule, "moving", (asked,), "scheduler"),
    "scheduling.delay": Mutant(operators.actors.scheduling.Schedule, "_lost", (lambda lost: not lost,), "scheduler"),
    "seen.take": Mutant(operators.actors.seen.Seen, "take", (taken(mirrored), taken(heard)), "policy"),
    "smooth.follow": Mutant(operators.actors.executing.Tracker, "follow", (turned,), "executor_ruckig"),
    "vectors.add": Mutant(operators.motion.limits, "add", (of(0, turned),), "executor"),
}
ELSEWHERE = {  # operator -> why no replay of processes can reach it, and the test that does
    "correct": ("no process of the golden recording has the edge `features`", "test_correct.py"),
    "drivers": ("it holds protocols, and what a driver tells", "test_drivers.py"),
    "demonstration": ("recordings and data sets are read into it, by no process", "test_recording.py"),
    "intervals": ("they are of several episodes, the golden recording has one", "test_metrics.py"),
    "open_loop": ("no process uses it, only a study", "test_open_loop.py"),
    "messages": ("it only names columns: what a process makes of them is replayed", "test_messages.py"),
    "latency": ("it says how long a process waits, which is no message", "test_latency_and_noise.py"),
    "playing": ("what it sends is compared with the recording itself", "test_playback.py"),
    "robot_model": ("a file is read before a process hears anything", "test_robot_model.py"),
    "settings": ("it reads the environment before a process hears anything", "test_settings.py"),
    "shifts": ("no process uses it, only a study", "test_shifts.py"),
    "supervising": (
        "only times count in what it hears, which no replay keeps",
        "test_supervisor.py",
    ),
    "wiring": ("it reads graphs; the evaluator only copies what it finds", "test_dataflows.py"),
    "steadiness": ("it is measured, not decided: figures of the evaluator, each with laws", "test_steadiness.py"),
}
CASES = [(name, mistake) for name, mutant in MUTANTS.items() for mistake in range(len(mutant.mistakes))]


def caught(name: str, folder: Any) -> bool:
    """Whether a process now sends something else than what is stored, or fails."""
    try:
        if name == "evaluator":
            return any(golden.figures_moved(name, golden.EVALUATED, golden.evaluated(folder)[0]))
        return any(golden.differences(name, golden.outputs(name)))
    except (ValueError, IndexError, AssertionError, KeyError):
        return True  # the mistake does not even get that far


def test_every_operator_has_a_mutant_or_a_reason_for_having_none():
    operators = {path.stem for path in Path(messages.__file__).parent.rglob("[a-z]*.py")}
    mutated = {name.split(".")[0] for name in MUTANTS}
    processes = {name for name in operators if name.endswith("_op")}  # dora's operators: replayed as they are
    assert processes <= set(golden.PROCESSES)
    assert mutated | set(ELSEWHERE) | processes == operators and not mutated & set(ELSEWHERE)
    for name, (_, test) in ELSEWHERE.items():
        assert f".{name} import" in (Path(__file__).parent / test).read_text()


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
