"""A2C2's correction head: laws of the pure core, its time, the episode it is part of, the pictures it is told of."""

import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.registry import make_policy
from nodes import executor, policy
from operators.actor import Done
from operators.actors.executing import Execution
from operators.actors.inferring import Inferring
from operators.chunks.correct import LARGEST_M, LATEST, MEASURED, STALE, Head, corrected
from operators.frame import Frame
from operators.messages import ActionChunk, Episode, Features, Proprio
from operators.motion.join import newest
from operators.motion.rotation import matrix_from_6d, matrix_from_vector, sixd_from_matrix, vector_from_matrix
from operators.settings import Settings
from studies import simulated
from studies.simulated import Simulated
from tests.acting import gave
from tests.chunks import POSE, START, curve, line
from tests.envelope import ENVELOPE
from tests.replay import EXPERT, assert_same, episode_messages, events, replay_node, sent, told

FEATURES = 48


def head(seed: int = 0, last: float = 1.0) -> Head:
    """Random weights; those of the last layer times `last`."""
    draw, sizes = np.random.default_rng(seed), (FEATURES + MEASURED, 128, 128, 3)
    layers = [(draw.normal(size=(o, i)) / i**0.5, draw.normal(size=o)) for i, o in pairwise(sizes)]
    weight, bias = layers.pop()
    return Head(np.zeros(sizes[0]), np.ones(sizes[0]), (*layers, (last * weight, last * bias)))


def measured(tick: int = 20, pose: np.ndarray = POSE) -> Proprio:
    return Proprio(0, 0, 0, tick, tick, np.zeros(6), pose, np.full(6, 0.03), np.full(6, 1.5), 0.5)


def features(tick: int = 17, pose: np.ndarray = POSE) -> Features:
    return Features(0, 0, 0, tick, pose, np.sin(np.arange(FEATURES)), 0, -1, [], np.zeros(0, int))


@given(st.integers(0, 50), st.integers(0, 47))
def test_a_correction_is_small_and_of_the_position_alone(seed, age):
    action, ahead = curve(20, 2, seed).action
    out = corrected(head(seed, 50.0), action, ahead, 20, 20 - age, features(), measured())
    assert np.linalg.norm(out[:3] - action[:3]) <= LARGEST_M * 3**0.5 + 1e-6
    assert np.array_equal(out[3:], action[3:]) and out.dtype == np.float32


def test_a_head_that_has_learnt_nothing_and_stale_features_change_nothing():
    action, ahead = curve(20, 2).action
    assert np.array_equal(corrected(head(last=0.0), action, ahead, 20, 17, features(), measured()), action)
    old = features(20 - STALE - 1)
    assert np.array_equal(corrected(head(), action, ahead, 20, 17, old, measured()), action)
    assert not np.array_equal(corrected(head(), action, ahead, 20, 17, features(20 - STALE), measured()), action)


@pytest.mark.parametrize("late", [-1, 1, 2, LATEST])
def test_a_state_that_is_late_is_compared_with_the_action_of_its_tick(late):
    action, ahead = curve(20, 2).action.astype(np.float64)
    step = np.append(ahead[:3] - action[:3], np.zeros(7))
    now = corrected(head(), action, ahead, 20, 17, features(), measured()) - action
    later = corrected(head(), action + late * step, ahead + late * step, 20 + late, 17, features(), measured())
    assert np.allclose(later - (action + late * step), now, atol=1e-6) and np.linalg.norm(now) > 1e-5


@given(st.lists(st.floats(-2, 2), min_size=6, max_size=6))
def test_where_the_base_frame_lies_does_not_matter(change):
    """Everything turned and moved: the correction turns with it."""
    turn, shift = matrix_from_vector(np.array(change[3:])), np.array(change[:3])

    def pose(old: np.ndarray) -> np.ndarray:
        return np.concatenate([turn @ old[:3] + shift, vector_from_matrix(turn @ matrix_from_vector(old[3:]))])

    def moved(action: np.ndarray) -> np.ndarray:
        six = sixd_from_matrix(turn @ matrix_from_6d(action[3:9]))
        return np.concatenate([turn @ action[:3] + shift, six, action[9:]])

    action, ahead = curve(20, 2).action.astype(np.float64)
    state = measured()
    velocity = np.concatenate([turn @ state.tcp_velocity[:3], state.tcp_velocity[3:]])
    there = state._replace(tcp_pose=pose(POSE), tcp_velocity=velocity)
    one = corrected(head(), action, ahead, 20, 17, features(), state)
    other = corrected(head(), moved(action), moved(ahead), 20, 17, features(pose=pose(POSE)), there)
    assert np.allclose(moved(one)[:3], other[:3], atol=2e-5)


def test_it_takes_less_than_half_a_millisecond():
    (action, ahead), weights = curve(20, 2).action, head()
    taken = []
    for _ in range(200):
        begun = time.perf_counter()
        corrected(weights, action, ahead, 20, 17, features(), measured())
        taken.append(time.perf_counter() - begun)
    assert np.quantile(taken, 0.2) < 0.5e-3  # in quiet moments of a busy machine


def test_the_executor_corrects_what_a_chunk_commands_and_nothing_else():
    def run(weights: Head | None, seen: bool) -> list[np.ndarray]:
        execution = Execution(newest, 1.0, ENVELOPE, head=weights)
        found = []
        for cycle in range(12):
            execution.measured(measured(cycle))
            if cycle == 4:
                execution.chunk(ActionChunk(0, 0, 0, 0, 0, 0, 0.0, line(0, 48).action, -1))
            if seen:
                execution.seen(features(cycle))
            done = execution.cycle()
            assert done is not None
            found.append(done.due.planned)
        return found

    plain, blind, seeing = run(None, True), run(head(), False), run(head(), True)
    assert np.array_equal(plain, blind)
    assert np.array_equal(plain[:4], seeing[:4]) and np.array_equal(plain[0], START)
    apart = np.linalg.norm(np.array(seeing) - plain, axis=1)
    assert (apart[6:] > 1e-4).all()


LEARNED = {"policy": "dp_latent60", "codec": "vae", "image_width": 120, "image_height": 120}


def commanded(messages: list[tuple[str, tuple]]) -> np.ndarray:
    return np.array([command.planned for command in told(messages, "command")])


@pytest.fixture(scope="module")
def corrected_episode() -> list[tuple[str, tuple]]:
    """The beginning of an episode with a head of random weights."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(simulated, "read_head", lambda policy: head())
        return episode_messages("async_a2c2", seconds=0.8, **LEARNED)


def test_only_a_head_that_has_learnt_something_changes_an_episode(corrected_episode, monkeypatch):
    naive = commanded(episode_messages("async_naive", seconds=0.8, **LEARNED))
    assert not np.array_equal(commanded(corrected_episode), naive)
    monkeypatch.setattr(simulated, "read_head", lambda policy: head(last=0.0))
    idle = episode_messages("async_a2c2", seconds=0.8, margin=0, **LEARNED)  # which nothing reads here
    assert np.array_equal(commanded(idle), naive)
    with pytest.raises(ValueError, match="and expert has none"):
        Simulated(Settings(**EXPERT), "async_a2c2")


def test_the_executor_commands_the_robot_exactly_as_in_lockstep(corrected_episode, monkeypatch):
    inputs = {topic: topic for topic in ("episode", "proprio", "features", "request", "action_chunk")}
    wired = {"inputs": inputs}
    monkeypatch.setattr(executor, "read_head", lambda policy: head())
    node = replay_node(events(corrected_episode, inputs), node_config=wired)
    executor.run(node, Settings(clock="rig"))
    assert_same(sent(node, "command"), told(corrected_episode, "command"))


def test_without_a_head_or_an_encoder_the_nodes_end_at_once_and_say_why(tmp_path):
    node = replay_node([], node_config={"inputs": {"features": ""}})
    with pytest.raises(SystemExit, match=r"a2c2_expert\.safetensors: expected a checkpoint"):
        executor.run(node, Settings(**EXPERT, clock="rig"))
    node = replay_node([], node_config={"inputs": {"request": ""}, "outputs": ["chunk", "features", "fault"]})
    with pytest.raises(SystemExit, match=r"and expert has none: use async_rtr\.yml"):
        policy.run(node, Settings(**EXPERT), make_policy(Settings(**EXPERT)))


def test_each_wrist_picture_is_encoded_once_with_the_newest_of_the_front():
    looked: list[list[str]] = []

    class Seeing:
        cameras, on_arm = ("front", "wrist"), "wrist"

        def features(self, proprio, frames, after):
            looked.append(sorted(frames))
            return np.full(3, frames["wrist"].t_ns, np.float32)

    sees: Any = Seeing()
    policy, told_of = Inferring(Settings(), sees, sees), []
    gave(policy, Episode(0, 0, 0, "start", 1, "", "", "", "", False))
    for tick in range(10):
        gave(policy, measured(tick)._replace(t_ns=tick))
    shown = [(2, "front"), (2, "wrist"), (2, "wrist"), (4, "front"), (4, "wrist"), (6, "front"), (8, "wrist")]
    for tick, camera in shown:
        for work in gave(policy, Frame(np.zeros((4, 4, 3), np.uint8), 0, 0, tick), f"frame_{camera}"):
            told_of += gave(policy, Done(work.call(), 0, 1.0), work.port)
    assert [(each.tick, list(each.values)) for each in told_of] == [(2, [2] * 3), (4, [4] * 3), (8, [8] * 3)]
    assert looked == [["front", "wrist"]] * 3
