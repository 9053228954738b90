"""Learned policies with small random weights: every kind and space runs, continues a plan, and says what it lacks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.checkpoint import BadCheckpoint, write
from models.encoders.vision import CONDITION, Vision
from models.policies import learned as dp_policy
from models.policies.flow import FlowActionPolicy, FlowLatentPolicy, RtcFlowActionPolicy
from models.policies.learned import ActionPolicy, DpPolicy, LatentPolicy, Network
from models.registry import POLICIES, make_codec
from models.samplers.guidance import LONGEST_PREFIX
from operators.chunks.prefix import prefix
from operators.frame import Frame
from operators.messages import HORIZON, Episode, Proprio
from operators.motion.rotation import to_absolute, to_relative
from operators.motion.rows import Rows
from operators.policy import Observation
from operators.settings import Settings
from tests.test_models import expert_chunks

torch.set_num_threads(1)
LEARNED = [LatentPolicy, ActionPolicy, FlowLatentPolicy, FlowActionPolicy, RtcFlowActionPolicy]
START = Episode(0, 0, 0, "start", 7, "a task", "random", "", "", False)
POSE = np.array([0.5, 0.1, 0.15, 3.1, 0.2, -0.1])
T0, DELAY = 100, 8
SIZE = np.array([0.016] * 3 + [0.1] * 6 + [0.5])  # in which rows are compared


@pytest.fixture(scope="module")
def chunks() -> np.ndarray:
    return expert_chunks(9984)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, chunks) -> Path:
    """Checkpoints of an untrained encoder and of untrained policies, whose ranges are those of the expert's chunks."""
    torch.manual_seed(0)
    out, codec = tmp_path_factory.mktemp("checkpoints"), make_codec("vae")
    vision = Vision(32)
    encoder = f"vision:{write(out / 'vision', vision.state_dict(), {'kind': 'vision', 'architecture': {'width': 32}})}"
    for policy in LEARNED:
        latent = "latent" in policy.name
        values = torch.tensor(codec.encode(chunks) if latent else chunks)
        network = Network(values.shape[1], CONDITION, policy.name.split("_")[0])
        network.low.copy_(values.amin((0, 1)))
        network.high.copy_(values.amax((0, 1)))
        (last,) = (weight for name, weight in network.named_parameters() if name.endswith(".last.weight"))
        torch.nn.init.normal_(last, std=0.02)  # it begins with zeros, which see nothing
        about = {
            "kind": policy.name,
            "space": policy.name.split("_")[1],
            "encoder": encoder,
            "samples": 5,
            "temperature": 1.0,
        }
        write(out / policy.name, network.state_dict(), {**about, "codec": codec.name if latent else ""})
    return out


@pytest.fixture(params=LEARNED, ids=lambda policy: policy.name)
def make(request, folder):
    def made(guide: str = "rtc") -> DpPolicy:
        policy = request.param(Settings(policy=request.param.name, codec="vae", guide=guide), folder)
        policy.start(START)
        return policy

    return made


def observation(plan: Rows | None = None) -> Observation:
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 255, (120, 160, 3)).astype(np.uint8)
    frames = {camera: Frame(pixels, 0, 0, T0, 0) for camera in ("front", "wrist")}
    proprio = Proprio(0, 0, 0, T0, T0, np.zeros(6), POSE, np.full(6, 0.02), np.zeros(6), 0.0)
    return Observation(3, proprio, frames, plan, T0 + DELAY)


def planned(chunks: np.ndarray) -> Rows:
    """An expert's chunk that was asked for 12 ticks ago; the robot is 2 mm beside it."""
    path = chunks[20].copy()
    path[:, :3] += [0.002, 0, 0] - path[12, :3]
    return Rows(T0 - 12, to_absolute(path, POSE).astype(np.float32))


def predicted(policy: DpPolicy, seen: Observation) -> np.ndarray:
    """Rows (48, 10) relative to the pose."""
    prediction = policy.predict(seen)
    return make_codec("vae").decode(prediction.values) if prediction.space == "latent" else prediction.values


def miss(chunk: np.ndarray, plan: Rows) -> float:
    """How far the chunk is from what it must agree with, mean over such rows."""
    bound = prefix(plan, T0, T0 + DELAY, HORIZON)
    assert bound is not None
    distance = np.linalg.norm((chunk - to_relative(bound.action, POSE)) / SIZE, axis=1)
    return float((bound.weight * distance).sum() / bound.weight.sum())


def test_it_answers_with_finite_chunks_of_its_space(make):
    policy = make()
    prediction = policy.predict(observation())
    assert prediction.values.dtype == np.float32 and np.isfinite(prediction.values).all()
    assert prediction.space == policy.name.split("_")[1].removesuffix("60")
    assert prediction.values.shape == ((12, 10) if prediction.space == "latent" else (48, 10))
    assert np.array_equal(prediction.values, make().predict(observation()).values)


def test_without_a_plan_every_guide_gives_the_same_chunk(make):
    plain = make().predict(observation()).values
    for guide in make().guides:
        assert np.array_equal(make(guide).predict(observation()).values, plain)


def test_each_guide_brings_the_chunk_nearer_to_the_plan(make, chunks, monkeypatch):
    monkeypatch.setattr(dp_policy, "LATENT_GAIN", 1.0)  # an untrained network has no narrow distribution
    plan = planned(chunks)
    plain = miss(predicted(make(), observation()), plan)
    nearer = {"rtc": 0.8, "rtc_trained": 0.8, "bid": 0.9, "paint": 0.8}
    for guide in make().guides:
        guided = miss(predicted(make(guide), observation(plan)), plan)
        assert guided == plain if guide == "vlash" else guided < nearer[guide] * plain


@pytest.mark.parametrize("delay", [DELAY, LONGEST_PREFIX + 6])
def test_trained_to_continue_it_keeps_the_rows_that_cannot_change(folder, chunks, delay):
    policy = RtcFlowActionPolicy(Settings(policy="rtcflow_action60", guide="rtc_trained"), folder)
    policy.start(START)
    network, plan = policy._network, planned(chunks)  # pyright: ignore[reportPrivateUsage]
    rows = torch.tensor(to_relative(plan.between(T0, T0 + delay).action, POSE), dtype=torch.float32)
    expected = network.restored(network.scaled(rows).clamp(-1, 1)).numpy()  # as far as the data reach
    found = policy.predict(observation(plan)._replace(takeover=T0 + delay)).values[:delay]
    same = np.abs(found[:, :3] - expected[:, :3]).max(1) < 1e-6
    assert same[:LONGEST_PREFIX].all() and not same[LONGEST_PREFIX:].any()  # of more clean rows it has seen none


def test_a_plan_that_binds_nothing_changes_nothing(make, chunks):
    plan = planned(chunks)
    used_up = Rows(plan.tick - 40, plan.action)
    plain = make().predict(observation()).values
    assert np.array_equal(make().predict(observation(used_up)).values, plain)


def test_a_policy_that_was_never_trained_is_one_clear_line(tmp_path):
    for policy in LEARNED:
        with pytest.raises(
            BadCheckpoint, match=rf"^.*{policy.name}\.safetensors: expected a checkpoint .* train it .*$"
        ):
            policy(Settings(policy=policy.name), tmp_path)


def test_the_checkpoint_of_another_policy_is_refused(folder, tmp_path):
    for name in ("vision", "dp_action60"):
        for path in folder.glob(f"{name}.*"):
            (tmp_path / path.name.replace("dp", "flow")).write_bytes(path.read_bytes())
    with pytest.raises(BadCheckpoint, match="made for kind dp_action60, but kind is flow_action60"):
        FlowActionPolicy(Settings(policy="flow_action60"), tmp_path)


def test_names_of_policies_are_those_of_their_checkpoints():
    learned = {policy.name: f"{policy.__module__}:{policy.__name__}" for policy in LEARNED}
    assert learned.items() <= POLICIES.items()
