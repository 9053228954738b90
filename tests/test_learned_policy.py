"""Learned policies with small random weights: every kind and space runs, continues a plan, and says what it lacks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.checkpoint import FOLDER, BadCheckpoint, read, write
from models.encoders.vision import CONDITION, Vision
from models.policies import learned as dp_policy
from models.policies.learned import LearnedPolicy, Network
from models.registry import POLICIES, make_codec, make_policy
from models.samplers.guidance import LONGEST_PREFIX
from operators.chunks.prefix import GUIDES, prefix
from operators.frame import Frame
from operators.messages import HORIZON, Episode, Proprio
from operators.motion.rotation import to_absolute, to_relative
from operators.motion.rows import Rows
from operators.policy import Observation
from operators.settings import Settings
from recordings.dataset.facts import Facts
from tests.test_models import expert_chunks

torch.set_num_threads(1)
LEARNED = ["dp_latent60", "dp_action60", "flow_latent60", "flow_action60", "rtcflow_action60"]
START = Episode(0, 0, 0, "start", 7, "a task", "", "", "", False)
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
    facts = read(FOLDER / "vision").about["facts"]
    vision, about = Vision(Facts.of(facts, "vision"), 32), {"architecture": {"width": 32}, "facts": facts}
    encoder = f"vision:{write(out / 'vision', vision.state_dict(), {'kind': 'vision', **about})}"
    for policy in LEARNED:
        (kind, space), latent = policy.split("_"), "latent" in policy
        values = torch.tensor(codec.encode(chunks) if latent else chunks)
        network = Network(values.shape[1], CONDITION, kind)
        network.low.copy_(values.amin((0, 1)))
        network.high.copy_(values.amax((0, 1)))
        (last,) = (weight for name, weight in network.named_parameters() if name.endswith(".last.weight"))
        torch.nn.init.normal_(last, std=0.02)  # it begins with zeros, which see nothing
        about = {
            "kind": kind,
            "tasks": ["write_board"],
            "space": space,
            "encoder": encoder,
            "samples": 5,
            "temperature": 1.0,
        }
        write(out / policy, network.state_dict(), {**about, "codec": codec.name if latent else ""})
    return out


@pytest.fixture(params=LEARNED)
def make(request, folder):
    def made(guide: str = "rtc") -> LearnedPolicy:
        policy = make_policy(Settings(policy=str(folder / request.param), codec="vae", guide=guide))
        assert isinstance(policy, LearnedPolicy)
        policy.start(START)
        return policy

    return made


def observation(plan: Rows | None = None) -> Observation:
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 255, (120, 160, 3)).astype(np.uint8)
    frames = {camera: Frame(pixels, 0, 0, 0) for camera in ("front", "wrist")}
    proprio = Proprio(0, 0, 0, T0, T0, np.zeros(6), POSE, np.full(6, 0.02), np.zeros(6), 0.0)
    return Observation(3, proprio, frames, plan, T0 + DELAY)


def planned(chunks: np.ndarray) -> Rows:
    """An expert's chunk that was asked for 12 ticks ago; the robot is 2 mm beside it."""
    path = chunks[20].copy()
    path[:, :3] += [0.002, 0, 0] - path[12, :3]
    return Rows(T0 - 12, to_absolute(path, POSE).astype(np.float32))


def predicted(policy: LearnedPolicy, seen: Observation) -> np.ndarray:
    """Rows (48, 10) relative to the pose."""
    prediction = policy.predict(seen)
    return make_codec("vae").decode(prediction.values) if prediction.space == "latent" else prediction.values


def miss(chunk: np.ndarray, plan: Rows) -> float:
    """How far the chunk is from what it must agree with, mean over such rows."""
    bound = prefix(plan, T0, T0 + DELAY, HORIZON)
    assert bound is not None
    distance = np.linalg.norm((chunk - to_relative(bound.action, POSE)) / SIZE, axis=1)
    return float((bound.weight * distance).sum() / bound.weight.sum())


def test_it_answers_with_finite_chunks_of_its_space(make, request):
    policy = make()
    prediction = policy.predict(observation())
    assert prediction.values.dtype == np.float32 and np.isfinite(prediction.values).all()
    assert prediction.space == request.node.callspec.params["make"].split("_")[1].removesuffix("60")
    assert prediction.values.shape == ((12, 10) if prediction.space == "latent" else (48, 10))
    assert np.array_equal(prediction.values, make().predict(observation()).values)


def test_without_a_plan_every_guide_gives_the_same_chunk(make):
    """Also one that the policy could not be guided by."""
    plain = make().predict(observation()).values
    for guide in GUIDES:
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
    policy = LearnedPolicy(Settings(policy=str(folder / "rtcflow_action60"), guide="rtc_trained"))
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
        with pytest.raises(BadCheckpoint, match=rf"^.*{policy}\.safetensors: expected a checkpoint .* train it .*$"):
            make_policy(Settings(policy=str(tmp_path / policy)))


def test_a_checkpoint_of_another_kind_is_no_policy(folder):
    with pytest.raises(ValueError, match=r"^POLICY: expected one of .*, got '.*vision'$"):
        make_policy(Settings(policy=str(folder / "vision")))
    with pytest.raises(ValueError, match=r"^CODEC: expected one of .*, got '.*dp_action60'$"):
        make_codec(str(folder / "dp_action60"))


def test_a_copy_under_another_name_is_the_same_policy(folder, tmp_path):
    """What it is, its checkpoint says; the name is only a name."""
    for name in ("vision", "dp_action60"):
        for path in folder.glob(f"{name}.*"):
            (tmp_path / path.name.replace("dp_action60", "flow_mine")).write_bytes(path.read_bytes())
    one, other = (make_policy(Settings(policy=str(path))) for path in (folder / "dp_action60", tmp_path / "flow_mine"))
    for policy in (one, other):
        policy.start(START)
    assert np.array_equal(one.predict(observation()).values, other.predict(observation()).values)


def test_a_policy_of_another_encoder_or_task_is_refused(folder, tmp_path):
    for path in folder.glob("dp_action60.*"):  # without its own encoder beside it the shipped one counts
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(BadCheckpoint, match=r"made for encoder vision:\w+, but encoder is vision:\w+"):
        make_policy(Settings(policy=str(tmp_path / "dp_action60")))
    with pytest.raises(ValueError, match=r"expected one trained for TASK=juggle, got one for write_board$"):
        make_policy(Settings(policy="dp_action60", task="juggle"))


def test_the_shipped_policies_are_known_by_their_names():
    assert {*LEARNED, "expert", "expert_flow", "replay"} == set(POLICIES.all())
