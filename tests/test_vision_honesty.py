"""The learned policy goes by what it sees: no simulation behind it, another picture is another chunk."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.checkpoint import FOLDER, BadCheckpoint, read
from models.encoders.vision import CHUNK_MIRROR, STATE_MIRROR, picture, state_vector
from models.registry import make_codec, make_policy
from operators.frame import Frame
from operators.messages import Episode, Proprio, Scene
from operators.motion.rotation import matrix_from_vector, to_relative, vector_from_matrix
from operators.policy import Observation, Policy
from operators.settings import Settings
from recordings.dataset.facts import Facts
from simulation.arm import Measured, World
from simulation.renderer import Renderer
from simulation.tasks.write_board.task import WriteBoard
from studies.simulated import Simulated

ROOT = Path(__file__).parents[1]
SEED = 10_007
FACTS = Facts.of(read(FOLDER / "vision").about["facts"], "vision")
START = Episode(0, 0, 0, "start", SEED, "", "", "", "", False)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return make_policy(Settings(policy="dp_latent60", codec="vae"))


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(WriteBoard, 240, 240)


class Writing:
    """The expert has written for a while."""

    def __init__(self, seed: int, ticks: int = 192):
        self.task, self.world, self.tick = WriteBoard(seed), World(), ticks
        measured = self.world.reset(self.task)
        for tick in range(0, ticks, 24):
            for action in self.task.expert_chunk(tick, measured.tcp_pose, measured.wrench)[:24]:
                measured = self.world.step(action)
        self.measured: Measured = measured

    def frames(self, renderer: Renderer, target: np.ndarray) -> dict[str, Frame]:
        """What the cameras see with this target painted on the board."""
        scene = Scene(0, 0, 0, self.tick, *self.world.scene())._replace(goal=target)
        return {name: Frame(renderer.render(scene, name), 0, 0, 0) for name in ("front", "wrist")}

    def observation(self, frames: dict[str, Frame], chunk_id: int = 0) -> Observation:
        return Observation(chunk_id, Proprio(0, 0, 0, self.tick, self.tick, *self.measured), frames)


def predicted(policy: Policy, observation: Observation) -> np.ndarray:
    """Positions (48, 3) mm relative to the TCP."""
    policy.start(START)
    prediction = policy.predict(observation)
    assert prediction.space == "latent" and prediction.values.shape == (12, 10)
    assert prediction.values.dtype == np.float32 and prediction.codec == make_codec("vae").name
    return 1e3 * np.asarray(make_codec("vae").decode(prediction.values))[:, :3]


def test_the_policy_never_imports_the_simulation():
    script = """
import sys
from models.checkpoint import BadCheckpoint
from models.registry import make_policy
from operators.settings import Settings
make_policy(Settings(policy="dp_latent60", codec="vae"))
print([name for name in sys.modules if name.split(".")[0] in ("simulation", "mujoco", "studies")])
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=ROOT)
    assert (ran.returncode, ran.stdout.strip()) == (0, "[]"), ran.stderr


def test_the_chunk_follows_the_painted_line(policy, renderer):
    """Half a second ahead it is nearer to the expert's than to one for the line bent the other way."""
    scene = Writing(SEED)
    frames = scene.frames(renderer, scene.task.goal)
    found = predicted(policy, scene.observation(frames))
    pose = scene.measured.tcp_pose
    expert = to_relative(scene.task.expert_chunk(scene.tick, pose, scene.measured.wrench), pose)[:, :3] * 1e3
    assert np.linalg.norm(found - expert, axis=1)[:30].mean() < 5


def test_another_target_is_another_chunk(policy, renderer):
    scene = Writing(SEED)
    now = scene.task.to_base(np.append(scene.task.goal, np.zeros((len(scene.task.goal), 1)), 1))
    at = np.linalg.norm(now - scene.measured.tcp_pose[:3], axis=1).argmin()
    bent = scene.task.goal.copy()
    ahead = bent[at:] - bent[at]
    bent[at:] = bent[at] + ahead @ np.array([[0.5, 0.87], [-0.87, 0.5]])  # turned by 60 degrees from here on
    one, other = (
        predicted(policy, scene.observation(scene.frames(renderer, target))) for target in (scene.task.goal, bent)
    )
    assert np.linalg.norm(one - other, axis=1)[24:].mean() > 8


def test_black_frames_are_another_chunk(policy, renderer):
    scene = Writing(SEED)
    frames = scene.frames(renderer, scene.task.goal)
    black = {name: frame._replace(pixels=np.zeros_like(frame.pixels)) for name, frame in frames.items()}
    seen, blind = (predicted(policy, scene.observation(shown)) for shown in (frames, black))
    assert np.linalg.norm(seen - blind, axis=1).max() > 5


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_same_draw_same_bits_and_another_draw_another_chunk(policy, renderer, monkeypatch, temperature):
    monkeypatch.setattr(policy, "_temperature", temperature)
    scene = Writing(SEED)
    frames = scene.frames(renderer, scene.task.goal)
    one, again, other = (predicted(policy, scene.observation(frames, chunk)) for chunk in (3, 3, 4))
    assert np.array_equal(one, again) and np.array_equal(one, other) == (temperature == 0)


def test_the_tick_does_not_go_in(policy, renderer):
    scene = Writing(SEED)
    observation = scene.observation(scene.frames(renderer, scene.task.goal))
    later = observation._replace(proprio=observation.proprio._replace(tick=9999, cycle=9999))
    assert np.array_equal(predicted(policy, observation), predicted(policy, later))


@pytest.mark.parametrize("sight", ["black", "other_episode"])
def test_without_its_own_pictures_it_does_not_write(sight):
    rig = Simulated(Settings(policy="dp_latent60", codec="vae", time_limit_s=8), "async_rtr", sight=sight)
    assert all(rig.run(number, SEED + number, lambda chunk: 8).score["success"] == 0 for number in range(2))


def test_it_writes_what_is_painted_and_not_what_the_seed_says():
    rig = Simulated(Settings(policy="dp_latent60", codec="vae", time_limit_s=30), "async_rtr", sight="other_target")
    log, own = rig.run(0, SEED, lambda chunk: 8), WriteBoard(SEED).goal
    ink = log.marks.astype(float)
    on_painted, on_own = (
        (np.linalg.norm(target[:, None] - ink, axis=2).min(1) < 0.003).mean() for target in (log.goal, own)
    )
    assert on_painted > 0.6 and on_painted > 2 * on_own


def test_a_latent_policy_with_another_codec_is_refused_with_both_names():
    with pytest.raises(BadCheckpoint, match=r"dp_latent60.* made for codec vae:\w+, but codec is dct:\w+"):
        make_policy(Settings(policy="dp_latent60", codec="dct"))


def test_frames_of_another_size_are_cut_to_the_middle():
    wide = np.zeros((240, 320, 3), np.uint8)
    wide[:, 40:280] = 200
    assert picture(wide).shape == (96, 96, 3) and (picture(wide) == 200).all()
    small = np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8)
    assert picture(small) is small or np.array_equal(picture(small), small)


def test_mirroring_turns_round_state_and_chunk():
    """A scene reflected in the base's xz plane, computed twice."""
    rng, reflect = np.random.default_rng(0), np.diag([1.0, -1.0, 1.0])
    place, velocity = rng.normal(size=(2, 3))
    matrix = matrix_from_vector(np.array([2.9, 0.3, -0.2]))
    one = state_vector(FACTS, place, matrix, velocity, np.array(1.5))
    other = state_vector(FACTS, reflect @ place, reflect @ matrix @ reflect, reflect @ velocity, np.array(1.5))
    assert np.allclose(one * STATE_MIRROR, other, atol=1e-6)
    action = np.concatenate([rng.normal(size=3), matrix[:, 0], matrix[:, 1], [0.4]])
    turned = reflect @ matrix_from_vector(np.array([2.8, 0.1, 0.4])) @ reflect
    pose = np.concatenate([place, vector_from_matrix(reflect @ turned @ reflect)])
    mirrored_pose = np.concatenate([reflect @ place, vector_from_matrix(turned)])
    mirrored = np.concatenate(
        [reflect @ action[:3], (reflect @ matrix @ reflect)[:, 0], (reflect @ matrix @ reflect)[:, 1], [0.4]]
    )
    assert np.allclose(to_relative(action, pose) * CHUNK_MIRROR, to_relative(mirrored, mirrored_pose), atol=1e-6)
