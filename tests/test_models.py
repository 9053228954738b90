"""Codecs, diffusion, training loop and checkpoints; the shipped checkpoints keep their promises."""

import json
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from models.checkpoint import FOLDER, BadCheckpoint, read, require, write
from models.codecs.vae import Vae
from models.policies.learned import Network
from models.registry import CODECS, make_codec
from models.samplers.diffusion import UNet, loss, sample, schedule
from models.samplers.guidance import KINDS
from models.stored import read_head
from models.training import loop
from models.training.a2c2 import HeadNetwork, Rows, TrainA2c2
from models.training.loop import Diverged, Loop
from models.training.policy import TrainPolicy
from models.training.samples import Samples, varied
from models.training.vae import TrainVae, reconstruction, turned
from models.training.vision import TrainVision
from operators.chunks.codec import TIME_FACTOR
from operators.chunks.correct import Head, corrected
from operators.messages import HORIZON, Features, Proprio
from operators.motion.rotation import angle_between, is_orthonormal, to_absolute, to_relative, vector_from_matrix
from operators.schema import ACTION_WIDTH
from recordings.dataset.facts import Facts
from simulation.tasks.write_board.task import SERVO_LAG, WriteBoard
from studies.collect import Collect

torch.set_num_threads(1)  # two threads wait for each other where other processes use the cores
HELD_OUT_SEEDS = range(9990, 9996)  # of the collecting range, but of no data set
LEARNED = ["pca", "vae"]
FACTS = Facts.of(read(FOLDER / "vision").about["facts"], "vision")  # of this task


def expert_chunks(seed: int, every: int = 12) -> np.ndarray:
    """Relative chunks along one episode, the arm up to 3 mm beside its path, (n, 48, 10) float32."""
    task, rng, found = WriteBoard(seed), np.random.default_rng(seed), []
    for tick in range(0, task.duration_ticks, every):
        offset = np.append(rng.uniform(-0.002, 0.002, 2), rng.uniform(-0.0005, 0.0005))
        place = task.to_base(task.reference(np.array([tick - SERVO_LAG]))[0] + offset)
        pose = np.concatenate([place, task.reference_rotation])
        found.append(to_relative(task.expert_chunk(tick, pose, np.zeros(6)), pose))
    return np.stack(found).astype(np.float32)


@pytest.fixture(scope="module")
def held_out() -> np.ndarray:
    return np.concatenate([expert_chunks(seed) for seed in HELD_OUT_SEEDS])


# -- codecs


@pytest.mark.parametrize("name", LEARNED)
def test_a_learned_codec_keeps_chunks_it_never_saw(name, held_out):
    codec = make_codec(name)
    latent = np.stack([codec.encode(chunk) for chunk in held_out])
    rebuilt = np.stack([codec.decode(one) for one in latent])
    assert latent.shape[1:] == (HORIZON // TIME_FACTOR, ACTION_WIDTH)
    distance = 1e3 * np.linalg.norm(rebuilt[..., :3] - held_out[..., :3], axis=-1)
    assert distance.mean() <= 0.3 and np.quantile(distance, 0.99) <= 1.0
    assert np.degrees(np.quantile(angle_between(rebuilt, held_out), 0.99)) <= 0.2
    assert is_orthonormal(rebuilt[..., 3:9])


@pytest.mark.parametrize("name", CODECS.all())
def test_swapping_latents_swaps_chunks(name, held_out):
    codec, (one, other) = make_codec(name), held_out[[3, 40]]
    latents = codec.encode(one), codec.encode(other)
    swapped = [codec.decode(latent) for latent in latents[::-1]]
    assert np.abs(swapped[0] - other).max() < 3e-3 < np.abs(swapped[0] - one).max()
    assert np.abs(swapped[1] - one).max() < 3e-3


@pytest.mark.parametrize("name", LEARNED)
def test_a_codec_is_deterministic_named_and_strict(name, held_out):
    codec = make_codec(name)
    assert codec.name == make_codec(name).name and codec.name.split(":")[0] == name
    assert np.array_equal(codec.encode(held_out[0]), codec.encode(held_out[0]))
    for wrong in (47, 12):
        with pytest.raises(ValueError, match="expected rows"):
            codec.encode(held_out[0][:wrong])
    with pytest.raises(ValueError, match="expected rows"):
        codec.decode(np.zeros((11, 10), np.float32))


def test_turned_chunks_stay_rotations():
    chunks = torch.from_numpy(expert_chunks(9981))
    changed = turned(chunks, torch.Generator().manual_seed(0))
    assert is_orthonormal(changed[..., 3:9].numpy()) and torch.equal(changed[..., :3], chunks[..., :3])
    assert changed[..., 9].min() >= 0 and changed[..., 9].max() <= 1


def test_a_vae_can_be_fitted_in_seconds():
    torch.manual_seed(0)
    chunks, vae = torch.from_numpy(expert_chunks(9982)), Vae()
    vae.scale.copy_(torch.tensor([0.02] * 3 + [0.1] * 6 + [0.5]))
    vae.shift.copy_(torch.tensor([0, 0, 0, 1, 0, 0, 0, 1, 0, 0]))
    optimiser = torch.optim.AdamW(vae.parameters(), 2e-3, fused=True)
    for _ in range(100):
        optimiser.zero_grad()
        ((vae.decode(vae.posterior(chunks)[0]) - chunks) / vae.scale).abs().mean().backward()
        optimiser.step()
    assert reconstruction(vae, chunks)["mean_mm"] < 6


# -- diffusion


def two_modes(x: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
    """The best possible v where data are all +0.6 or all -0.6, in closed form."""
    alpha, sigma = schedule(time)
    clean = 0.6 * torch.tanh(0.6 * alpha * x.sum((1, 2), keepdim=True) / sigma**2)
    return (alpha * x - clean) / sigma


@pytest.mark.parametrize("steps", [10, 30])
def test_ddim_finds_both_modes_and_nothing_between(steps):
    noise = torch.randn(400, 4, 2, generator=torch.Generator().manual_seed(0))
    found = sample(two_modes, noise, steps)
    assert (found.abs() - 0.6).abs().max() < 0.05
    assert 0.4 < (found[:, 0, 0] > 0).float().mean() < 0.6


def test_ddim_clips_what_is_predicted():
    wild = sample(lambda x, time: 10 * x, torch.ones(2, 4, 2), 10)
    assert wild.abs().max() <= 1 + 1e-5


def test_a_trained_network_finds_both_modes_of_a_condition():
    """Condition 0: data at +-0.6; condition 1: data at 0."""
    torch.manual_seed(0)
    net, draw = UNet(12, 2, 1, widths=(32, 32), mixed=64), torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(net.parameters(), 5e-3, fused=True)
    for step in range(300):
        optimiser.param_groups[0]["lr"] = 5e-3 * loop.schedule(step, 300)
        condition = torch.randint(2, (64, 1), generator=draw).float()
        sign = 2.0 * torch.randint(2, (64, 1, 1), generator=draw) - 1
        clean = (0.6 * sign * (1 - condition[..., None])).expand(-1, 12, 2)
        optimiser.zero_grad()
        loss(lambda x, t, c=condition: net(x, t, c), clean, draw).backward()
        optimiser.step()
    with torch.inference_mode():
        noise = torch.randn(200, 12, 2, generator=draw)
        apart, single = (sample(lambda x, t, c=c: net(x, t, torch.full((200, 1), c)), noise, 10) for c in (0.0, 1.0))
    means = apart.mean((1, 2))
    assert ((means.abs() - 0.6).abs() < 0.2).float().mean() > 0.8 and 0.25 < (means > 0).float().mean() < 0.75
    assert single.abs().mean() < 0.15


@pytest.mark.parametrize(("space", "kind"), [("action", "dp"), ("latent", "dp"), ("latent", "flow")])
def test_one_batch_is_overfitted(space, kind):
    torch.manual_seed(0)
    chunks = expert_chunks(9983, every=60)[:4]
    codec = make_codec("vae")
    values = torch.from_numpy(codec.encode(chunks) if space == "latent" else chunks).float()
    features, draw = torch.randn(len(values), 16), torch.Generator().manual_seed(1)
    net = Network(values.shape[1], 16, kind)
    net.low.copy_(values.amin((0, 1)))
    net.high.copy_(values.amax((0, 1)))
    given, clean = features.repeat(4, 1), net.scaled(values).repeat(4, 1, 1)
    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, fused=True)
    for step in range(250):
        optimiser.param_groups[0]["lr"] = 2e-3 * loop.schedule(step, 250)
        optimiser.zero_grad()
        KINDS[kind].loss(lambda x, t: net.unet(x, t, given), clean, draw).backward()
        optimiser.step()
    with torch.inference_mode():
        found = net(features, torch.randn(values.shape, generator=draw), 10).numpy()
    rebuilt = np.asarray(codec.decode(found) if space == "latent" else found)
    distance = np.linalg.norm(rebuilt[:, None, :, :3] - chunks[None, ..., :3], axis=-1).mean(-1)  # of each to each
    assert np.diagonal(distance).mean() < 0.2 * distance[~np.eye(len(chunks), dtype=bool)].mean()


# -- training loop


def line(state: Path, minutes: float = 1e9, spoil_at: int = -1) -> tuple[nn.Module, Loop]:
    """A training that fits y = 2x."""
    torch.manual_seed(0)
    net = nn.Linear(1, 1)

    def step(number: int, generator: torch.Generator) -> torch.Tensor:
        x = torch.randn(8, 1, generator=generator)
        return (net(x) - 2 * x).square().mean() * (float("nan") if number == spoil_at else 1)

    optimiser = torch.optim.AdamW(net.parameters(), 0.05)
    return net, Loop("line", 60, state, {"net": net}, optimiser, step, {"what": "line"}, 3, minutes)


@pytest.fixture
def slow_clock(monkeypatch):
    """A second passes at every look at the clock."""
    seconds = count()
    monkeypatch.setattr(loop.time, "monotonic", lambda: float(next(seconds)))


def test_resumed_equals_uninterrupted(tmp_path, slow_clock):
    whole, uninterrupted = line(tmp_path / "a.safetensors")
    assert uninterrupted.run()
    pieces = 0
    while True:
        net, piece = line(tmp_path / "b.safetensors", minutes=1)
        pieces += 1
        if piece.run():
            break
        assert piece.done < 60
    assert pieces > 2
    for left, right in zip(whole.parameters(), net.parameters(), strict=True):
        assert torch.allclose(left, right, atol=1e-6)


def test_a_training_that_diverges_stops_and_keeps_its_last_good_state(tmp_path, slow_clock):
    _, spoiled = line(tmp_path / "a.safetensors", spoil_at=50)
    with pytest.raises(Diverged, match="step 50"):
        spoiled.run()
    net, again = line(tmp_path / "a.safetensors")
    assert again.run() and 0 < spoiled.done <= 50
    assert all(torch.isfinite(weight).all() for weight in net.parameters())


def test_the_state_of_another_training_is_refused(tmp_path):
    line(tmp_path / "a.safetensors", minutes=0)[1].run()
    _, other = line(tmp_path / "a.safetensors")
    other.configuration = {"what": "circle"}
    with pytest.raises(BadCheckpoint, match=r"expected a training of .*circle.*got .*line.*remove it"):
        other.run()
    (tmp_path / "a.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(BadCheckpoint, match="expected the state of a training"):
        line(tmp_path / "a.safetensors")[1].run()


# -- samples and trainings


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A data set of two episodes."""
    out = tmp_path_factory.mktemp("data") / "set"
    Collect(episodes=2, out=out, workers=1).run()
    FACTS.write(out)
    return out


def test_pressing_harder_raises_the_chunk_and_nothing_else(data):
    samples = Samples(data)
    rows = samples.trained[samples.states[samples.trained, 14] == 1][:64]
    plain = samples.batch(rows, torch.zeros(len(rows), dtype=torch.bool))
    other = varied(FACTS, plain, torch.Generator().manual_seed(0))
    force = other.state[:, 13] - plain.state[:, 13]
    shift = (other.chunk - plain.chunk)[..., 2]
    assert (force > 0.3).any() and (shift[force > 0.3, -1] < -0.0005).all()
    assert torch.equal(other.chunk[..., :2], plain.chunk[..., :2]) and torch.equal(other.finished, plain.finished)
    assert other.wrist.min() >= 0 and other.wrist.max() <= 255 and other.wrist.shape == plain.wrist.shape


def test_mirrored_samples_are_mirrored(data):
    samples = Samples(data)
    rows, yes = samples.trained[:4], torch.ones(4, dtype=torch.bool)
    plain, mirrored = samples.batch(rows, ~yes), samples.batch(rows, yes)
    assert torch.equal(mirrored.wrist.flip(2), plain.wrist) and torch.equal(mirrored.front.flip(2), plain.front)
    assert torch.allclose(mirrored.chunk[..., 1], -plain.chunk[..., 1]) and torch.equal(
        mirrored.chunk[..., 0], plain.chunk[..., 0]
    )


def test_held_out_rows_are_of_other_episodes(data):
    samples = Samples(data)
    assert not set(samples.trained) & set(samples.held_out) and len(samples.held_out) < len(samples)


def test_every_training_runs_in_pieces_and_saves_nothing_before_its_end(data, tmp_path):
    place = {"data": (data,), "out": tmp_path / "out", "state": tmp_path / "state", "threads": 1}
    trainings = [
        (TrainVae(**place, kind="pca"), "pca"),
        (TrainVision(**place, steps=2, batch=4), "vision"),
        (TrainPolicy(**place, space="latent60", steps=4, batch=8), "dp_latent60"),
        (TrainPolicy(**place, space="action60", steps=4, batch=8), "dp_action60"),
        (TrainPolicy(**place, space="latent60", kind="flow", steps=4, batch=8), "flow_latent60"),
        (TrainA2c2(**place, policy="dp_action60", steps=3, batch=4), "a2c2_dp_action60"),
    ]
    for training, name in trainings:
        if name != "pca":
            assert not replace(training, minutes=0).run() and not (place["out"] / f"{name}.json").exists()
        assert training.run()
        about = read(place["out"] / name).about
        assert about["kind"] == name.split("_")[0] and about["configuration"]["seed"] == 0
    assert {path.stem for path in place["state"].glob("*.json")} == {
        f"{name}_{part}" for name in ("dp_latent60", "dp_action60", "flow_latent60") for part in (25, 50)
    }


def test_a_correction_head_is_told_the_same_in_training_and_at_run_time(data):
    samples = Samples(data)
    rows, chunk, features = Rows(samples, (data,)), samples.chunks[:, :, :3], np.arange(5.0)
    t0 = np.array([samples.trained[30]])
    t = rows.at(t0, np.array([20]))
    seen = rows.at(t, np.array([-4]))
    sight = rows.sight(t0, t, seen, chunk[t0])
    (t0,), (t,), (seen,), now = t0, t, seen, rows.tick - rows.tick[t0] + 100
    age, lag = now[t] - 100, now[t] - now[seen]
    assert 12 < age <= 20 and 4 <= lag < 12 and age != t - t0  # there is a row every six ticks

    def pose(row: int) -> np.ndarray:
        return np.concatenate([rows.place[row], vector_from_matrix(rows.frame[row])])

    heard = []
    head = Head(np.zeros(20), np.ones(20), ((np.zeros((3, 20)), np.zeros(3)),))
    spy = SimpleNamespace(residual=lambda numbers: heard.append(numbers) or head.residual(numbers))
    velocity, wrench = (np.append(part, np.zeros(6 - len(part))) for part in (rows.velocity[t], [0, 0, rows.force[t]]))
    measured = Proprio(0, 0, 0, int(now[t]), 0, np.zeros(6), pose(t), velocity, wrench, 0.0)
    action, ahead = to_absolute(samples.chunks[t0], pose(t0))[[age, age + 1]].astype(np.float64)
    picture = Features(0, 0, 0, int(now[seen]), pose(seen), features, 0, -1, [], np.zeros(0, int))
    due = int(now[t]), 100
    assert np.allclose(corrected(spy, action, ahead, *due, picture, measured), action)  # pyright: ignore[reportArgumentType]
    assert np.allclose(heard[0], sight.numbers(features[None])[0], atol=2e-3)


def test_rows_are_found_by_their_ticks_and_within_their_episode(data):
    samples = Samples(data)
    rows = Rows(samples, (data,))
    for row in (0, 7, int(rows.first[-1]), len(samples) - 1):
        for ticks in (-1000, -7, -6, 0, 5, 6, 13, 1000):
            inside = np.flatnonzero(samples.episode == samples.episode[row])
            there = inside[rows.tick[inside] <= rows.tick[row] + ticks]
            assert rows.at(np.array([row]), np.array([ticks])) == (there[-1] if len(there) else inside[0])


def test_a_correction_head_is_the_same_in_torch_and_numpy(tmp_path):
    torch.manual_seed(0)
    network = HeadNetwork(7, 16)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    network.get_buffer("mean").uniform_()
    write(tmp_path / "dp_x", {}, {"kind": "dp_x"})
    policy = read(tmp_path / "dp_x").name
    write(tmp_path / "a2c2_dp_x", network.state_dict(), {"kind": "a2c2_dp_x", "policy": policy}, half=False)
    head, numbers = read_head(str(tmp_path / "dp_x")), torch.randn(7)
    assert np.allclose(head.residual(numbers.numpy()), network(numbers).detach().numpy(), atol=1e-6)
    write(tmp_path / "dp_x", {"other": torch.ones(1)}, {"kind": "dp_x"})
    with pytest.raises(BadCheckpoint, match=rf"a2c2_dp_x: made for policy {policy}, but policy is dp_x:\w+"):
        read_head(str(tmp_path / "dp_x"))
    write(tmp_path / "a2c2_dp_x", {"mean": torch.ones(1)}, {"kind": "a", "policy": read(tmp_path / "dp_x").name})
    with pytest.raises(BadCheckpoint, match="expected mean, spread and layers of a correction head"):
        read_head(str(tmp_path / "dp_x"))


@pytest.mark.parametrize(
    "training",
    [TrainVae(kind="gan"), TrainPolicy(space="pixels"), TrainPolicy(kind="gan")],
    ids=["kind of codec", "space of policy", "kind of policy"],
)
def test_a_training_of_nothing_known_is_refused(training):
    with pytest.raises(ValueError, match=r"expected a (kind|space) of"):
        training.run()


# -- checkpoints


@pytest.fixture
def saved(tmp_path) -> Path:
    write(tmp_path / "net", nn.Linear(2, 1).state_dict(), {"kind": "net", "codec": "vae:00000000"})
    return tmp_path / "net"


def test_a_checkpoint_comes_back(saved):
    checkpoint, net = read(saved), nn.Linear(2, 1)
    checkpoint.fill(net)
    assert checkpoint.name.startswith("net:") and len(checkpoint.name) == len("net:") + 8
    with pytest.raises(BadCheckpoint, match=r"net\.safetensors: expected bias of shape \(3,\), got \(1,\)"):
        checkpoint.fill(nn.Linear(2, 3))


def test_what_is_wrong_with_a_checkpoint_is_said(saved, tmp_path):
    with pytest.raises(BadCheckpoint, match=r"other\.safetensors: expected a checkpoint of .*, found none"):
        read(tmp_path / "other")
    whole, described = saved.with_suffix(".safetensors"), saved.with_suffix(".json")
    good = whole.read_bytes()
    whole.write_bytes(good[:-1])
    with pytest.raises(BadCheckpoint, match="expected weights of hash"):
        read(saved)
    whole.write_bytes(good)
    described.write_text('{"kind": "net"}')
    with pytest.raises(BadCheckpoint, match="hash is missing"):
        read(saved)
    described.write_text("{")
    with pytest.raises(BadCheckpoint, match=r"net\.json: expected a JSON object"):
        read(saved)


def test_a_codec_that_does_not_fit_is_refused_with_both_names(saved):
    with pytest.raises(BadCheckpoint, match=r"made for codec vae:00000000, but codec is dct:"):
        require(read(saved), "codec", make_codec("dct").name)


def test_shipped_checkpoints_fit_each_other_and_are_small():
    made = {path.stem: read(path) for path in FOLDER.glob("*.safetensors")}
    assert {"vae", "pca", "vision", "dp_latent60"} <= set(made)
    policies = [name for name in made if name.startswith("dp_")]
    assert all(made[name].about["encoder"] == made["vision"].name for name in policies)
    assert made["dp_latent60"].about["codec"] == made["vae"].name
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 12e6
    for name in made:
        assert (FOLDER / f"{name}.md").read_text().startswith("# ")
        assert json.loads((FOLDER / f"{name}.json").read_text())["hash"] == made[name].about["hash"]
