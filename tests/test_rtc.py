"""Real-time chunking against numbers of the authors' own code, finite differences and itself in other coordinates."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from models.samplers import rtc
from models.samplers.diffusion import sample as ddim
from models.samplers.diffusion import schedule
from models.samplers.flow import sample
from models.samplers.rtc import Target, ddim_rtc, flow_rtc, gain, strength
from operators.chunks.prefix import SCHEDULES, prefix, prefix_weights
from operators.motion.rows import Rows, nothing, rows

with np.load(Path(__file__).parent / "data" / "rtc_reference.npz") as stored:
    GOLDEN = {name: torch.tensor(stored[name]) for name in stored}
STEPS = 5


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def linear(x: Tensor, name: str) -> Tensor:
    bias = GOLDEN.get(f"param:{name}/bias", torch.zeros(()))
    return x @ GOLDEN[f"param:{name}/kernel"].to(x) + bias.to(x)


def normed(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6)


def network(x: Tensor, time: Tensor) -> Tensor:
    """The little mixer whose weights stand in the golden file; x (2, 16, 4), time (2,)."""
    periods = 4e-3 * (4 / 4e-3) ** torch.linspace(0, 1, 8, dtype=x.dtype)
    phase = 2 * torch.pi * time.to(x)[:, None] / periods
    embedded = torch.cat([phase.sin(), phase.cos()], -1)
    for layer in "02":
        embedded = F.silu(linear(embedded, f"time_mlp/layers/{layer}"))
    seen = GOLDEN["obs"].to(x)[:, None].expand(-1, x.shape[1], -1)
    x = linear(torch.cat([x, seen], -1), "in_proj")
    for block in ("mlp_stack/0", "mlp_stack/1"):
        for norm, mix in (("adaln_1", "token_mix"), ("adaln_2", "channel_mix")):
            scale, shift, gate = linear(embedded, f"{block}/{norm}")[:, None].chunk(3, -1)
            inner = normed(x) * (1 + scale) + shift
            inner = inner.mT if mix == "token_mix" else inner
            inner = linear(F.gelu(linear(inner, f"{block}/{mix}_in"), approximate="tanh"), f"{block}/{mix}_out")
            x = x + gate * (inner.mT if mix == "token_mix" else inner)
    scale, shift = linear(embedded, "final_adaln")[:, None].chunk(2, -1)
    return linear(normed(x) * (1 + scale) + shift, "out_proj")


CASES = {"rtc_d0_w5.0": (0, 5.0), "rtc_d3_w5.0": (3, 5.0), "rtc_d6_w10.0": (6, 10.0)}


def weights(start: int, end: int = 8, schedule: str = "exp") -> Tensor:
    return torch.tensor(prefix_weights(start, end, 16, schedule), dtype=torch.float32)


def guided(case: str, share: float = 1.0) -> Tensor:
    start, beta = CASES[case]
    return flow_rtc(network, GOLDEN["noise"], Target(GOLDEN["prev"], weights(start)), STEPS, share * beta)


def distance(chunk: Tensor, case: str) -> float:
    return float((chunk - GOLDEN[case]).abs().max())


# --- Prefix weights -----------------------------------------------------------------------------------------------


def test_weights_are_the_authors():
    assert prefix_weights(3, 10, 16, "linear") == pytest.approx(GOLDEN["w_linear"].numpy(), abs=1e-6)
    assert prefix_weights(3, 10, 16, "exp") == pytest.approx(GOLDEN["w_exp"].numpy(), abs=1e-6)
    assert list(prefix_weights(3, 10, 16, "ones")) == [1] * 10 + [0] * 6
    assert list(prefix_weights(3, 10, 16, "zeros")) == [1] * 3 + [0] * 13


@given(st.sampled_from(SCHEDULES), st.integers(0, 60), st.integers(0, 48))
def test_weights_fall_from_one_to_nothing(schedule, start, end):
    found = prefix_weights(start, end, 48, schedule)
    assert found.shape == (48,) and (np.diff(found) <= 0).all() and ((found >= 0) & (found <= 1)).all()
    assert (found[: min(start, end)] == 1).all() and (found[end:] == 0).all()


def test_an_unknown_schedule_is_refused():
    with pytest.raises(ValueError, match="expected a schedule of exp, linear, ones, zeros, got cosine"):
        prefix_weights(3, 10, 16, "cosine")


def counting(tick: int, n: int) -> Rows:
    return rows(tick, np.arange(tick, tick + n)[:, None] * np.ones(10))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 50), st.integers(0, 10_000))
def test_the_prefix_is_the_plan_from_the_observation_on(history, left, delay, t0):
    plan = counting(t0 - history, history + left)
    found = prefix(plan, t0, t0 + delay, 48)
    if not left:
        assert found is None
        return
    assert found is not None
    known = min(left, 48)
    assert (
        list(found.action[:known, 0]) == list(range(t0, t0 + known)) and (found.action[known:] == t0 + known - 1).all()
    )
    assert found.frozen == min(delay, known)
    assert np.array_equal(found.weight, prefix_weights(found.frozen, known, 48))


def test_a_plan_that_does_not_reach_back_is_refused_and_none_binds_nothing():
    assert prefix(nothing(5), 5, 9, 48) is None
    with pytest.raises(ValueError, match="expected executed rows from tick 5 on, got them from 6 on"):
        prefix(counting(6, 9), 5, 9, 48)


# --- The authors' numbers -----------------------------------------------------------------------------------------


def test_the_unguided_chunk_is_the_authors():
    with torch.no_grad():
        assert distance(sample(network, GOLDEN["noise"], STEPS), "naive") < 1e-4


@pytest.mark.parametrize("case", CASES)
def test_the_guided_chunk_is_the_authors(case):
    assert distance(guided(case), case) < 1e-4


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("share", [0.99, 1.01])
def test_one_percent_of_beta_is_seen(case, share):
    assert distance(guided(case, share), case) > 5e-3


@pytest.mark.parametrize("case", CASES)
def test_taking_the_jacobian_for_the_identity_is_another_method(case, monkeypatch):
    """What comes out if velocities are computed where no gradient is recorded: the pull is the bare error."""

    def shortcut(target, clean, x):
        estimate = clean(x)
        return estimate, target.weight[:, None] * (target.rows - estimate)

    monkeypatch.setattr(rtc.Target, "pull", shortcut)
    assert distance(guided(case), case) > 1e-2


def test_guiding_brings_the_prefix_nearer():
    plain = sample(network, GOLDEN["noise"], STEPS)
    for case, (start, _) in CASES.items():
        weight = weights(start)[:, None]
        assert (weight * (guided(case) - GOLDEN["prev"])).norm() < 0.7 * (weight * (plain - GOLDEN["prev"])).norm()


def test_it_works_within_inference_mode_and_leaves_no_graph():
    with torch.inference_mode():
        chunk = guided("rtc_d3_w5.0")
    assert distance(chunk, "rtc_d3_w5.0") < 1e-4 and not guided("rtc_d3_w5.0").requires_grad


# --- The vector-Jacobian product ----------------------------------------------------------------------------------

MIX = torch.randn(40, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64) / 8


def decoder(latent: Tensor) -> Tensor:
    """(2, 16, 4) -> (2, 8, 5), not linear."""
    return torch.tanh(latent.flatten(1) @ MIX.to(latent).T).unflatten(1, (8, 5))


@pytest.mark.parametrize("decode", [rtc.unchanged, decoder], ids=["action", "latent"])
def test_the_pull_agrees_with_finite_differences(decode):
    x, time = GOLDEN["noise"].double(), torch.full((2,), 0.4)

    def clean(x: Tensor) -> Tensor:
        return x + 0.6 * network(x, time)

    shape = decode(x).shape[1:]
    draw = torch.Generator().manual_seed(2)
    wished = torch.randn(shape, generator=draw, dtype=torch.float64)
    weight = torch.linspace(1, 0, shape[0], dtype=torch.float64)
    estimate, gradient = Target(wished, weight, decode).pull(clean, x)
    assert torch.allclose(estimate, clean(x))
    error = weight[:, None] * (wished - decode(clean(x)))
    for _ in range(20):
        direction = torch.randn(x.shape, generator=draw, dtype=torch.float64)
        ahead, behind = (decode(clean(x + step * direction)) for step in (1e-5, -1e-5))
        slope = (error * (ahead - behind)).sum() / 2e-5
        assert float((gradient * direction).sum()) == pytest.approx(float(slope), rel=1e-6, abs=1e-8)


def test_the_gain_of_a_linear_decoder_is_its_largest_singular_value():
    def grows(latent: Tensor) -> Tensor:
        return (latent.flatten(1) @ MIX.T).unflatten(1, (8, 5))

    largest = float(torch.linalg.svdvals(MIX)[0])
    assert gain(grows, torch.zeros(1, 16, 4, dtype=torch.float64)) == pytest.approx(largest)


# --- In latent space, and by DDIM ---------------------------------------------------------------------------------


def test_a_latent_chunk_is_pulled_to_a_prefix_that_lives_in_action_space():
    share, least = torch.linspace(0, 1, 8)[:, None], torch.zeros(1, 2, 3)

    def upsampled(latent: Tensor) -> Tensor:  # 2 rows -> 8
        return (1 - share) * latent[:, :1] + share * latent[:, 1:]

    def decode(latent: Tensor) -> Tensor:
        return upsampled(latent) / gain(upsampled, least)

    def velocity(x: Tensor, time: Tensor) -> Tensor:  # exact for data N(0, 1)
        time = time[:, None, None]
        return x * (2 * time - 1) / (time**2 + (1 - time) ** 2)

    noise = torch.randn(64, 2, 3, generator=torch.Generator().manual_seed(0))
    wished, weight = torch.full((8, 3), 0.5), torch.tensor(prefix_weights(3, 8, 8), dtype=torch.float32)

    def error(latent: Tensor) -> float:
        return float((weight[:, None] * (decode(latent) - wished)).norm())

    plain = sample(velocity, noise, 10)
    assert error(flow_rtc(velocity, noise, Target(wished, weight, decode), 10)) < 0.5 * error(plain)


def variance_denoiser(spread: float):
    """v-prediction, exact for data N(0.1, spread^2)."""

    def denoise(x: Tensor, time: Tensor) -> Tensor:
        alpha, sigma = schedule(time)
        clean = 0.1 + alpha * spread**2 / (alpha**2 * spread**2 + sigma**2) * (x - alpha * 0.1)
        return (alpha * x - clean) / sigma

    return denoise


def test_ddim_is_the_flow_in_other_coordinates():
    """The guided DDIM step must be the guided Euler step at the same flow times."""
    denoise, steps = variance_denoiser(0.1), 12
    noise = torch.randn(4, 6, 2, generator=torch.Generator().manual_seed(3))
    target = Target(torch.full((6, 2), 0.2), torch.tensor([1, 1, 0.7, 0.3, 0, 0]))
    alpha, sigma = (part.flatten() for part in schedule(torch.linspace(1, 0, steps + 1)))
    flow = noise / (alpha[0] + sigma[0])
    for now, after in pairwise(range(steps + 1)):
        size, tau = alpha[now] + sigma[now], float(alpha[now] / (alpha[now] + sigma[now]))
        step = float(alpha[after] / (alpha[after] + sigma[after])) - tau

        def clean(x: Tensor, size=size, now=now) -> Tensor:
            time = torch.linspace(1, 0, steps + 1)[now].expand(len(x))
            return alpha[now] * size * x - sigma[now] * denoise(size * x, time)

        estimate, gradient = target.pull(clean, flow)
        flow = flow + step * ((estimate - flow) / (1 - tau) + strength(tau, 5.0) * gradient)
    assert torch.allclose(ddim_rtc(denoise, noise, target, steps), flow, atol=1e-5)


def test_ddim_without_weight_is_ddim_and_with_it_nearer_the_prefix():
    denoise = variance_denoiser(0.2)
    noise = torch.randn(16, 6, 2, generator=torch.Generator().manual_seed(3))
    plain, wished = ddim(denoise, noise, 20), torch.full((6, 2), 0.3)
    assert torch.allclose(ddim_rtc(denoise, noise, Target(wished, torch.zeros(6)), 20), plain, atol=1e-5)
    weight = torch.tensor([1, 1, 1, 0.5, 0, 0])
    pulled = ddim_rtc(denoise, noise, Target(wished, weight), 20)
    assert (pulled[:, :3] - wished[:3]).norm() < 0.5 * (plain[:, :3] - wished[:3]).norm()
    assert torch.allclose(pulled[:, 4:], plain[:, 4:], atol=1e-5)  # rows are independent in this distribution
