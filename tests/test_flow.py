"""Flow matching on distributions whose velocity is known: sampling, inversion, clean prefixes, guides."""

import pytest
import torch
from torch import Tensor, nn

from models.policies.expert_flow import NormalFlow
from models.samplers.diffusion import UNet
from models.samplers.flow import RowTimes, invert, loss, prefixed_loss, prefixed_sample, sample
from models.samplers.guidance import DDIM_GUIDES, FLOW_GUIDES, KINDS, best, draws, paint
from models.samplers.rtc import Target
from operators.chunks.prefix import prefix_weights
from tests.test_rtc import variance_denoiser

torch.set_num_threads(1)
ROWS, RHO = 8, 0.9
INDEX = torch.arange(ROWS, dtype=torch.float64)
COVARIANCE = 0.25 * RHO ** (INDEX[:, None] - INDEX).abs()[None]  # neighbours go together, as rows of a chunk do
MEAN = torch.linspace(-1, 1, ROWS, dtype=torch.float64)[:, None]
FLOW = NormalFlow(MEAN, COVARIANCE)
STEPS = 50


def noise(n: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, ROWS, 1, generator=draw, dtype=torch.float64)


def chunks(n: int, seed: int = 1) -> Tensor:
    return MEAN + torch.linalg.cholesky(COVARIANCE[0]) @ noise(n, seed)


def test_samples_have_the_distribution_of_the_data():
    found = sample(FLOW, noise(4000), STEPS)[..., 0]
    assert torch.allclose(found.mean(0), MEAN[:, 0], atol=0.03)
    assert torch.allclose(found.T.cov(), COVARIANCE[0], atol=0.03)


def test_the_true_velocity_has_the_least_loss():
    data = chunks(2000)

    def other(share: float):
        return lambda x, time: share * FLOW(x, time)

    least = loss(FLOW, data, torch.Generator().manual_seed(0))
    assert all(loss(other(share), data, torch.Generator().manual_seed(0)) > least for share in (0.9, 1.1))


@pytest.mark.parametrize("steps", [5, 20])
def test_inversion_finds_the_noise(steps):
    wide = NormalFlow(MEAN, COVARIANCE + torch.eye(ROWS).double())
    start = noise(16)
    assert torch.allclose(invert(wide, sample(wide, start, steps), steps, rounds=40), start, atol=1e-3)


def test_inversion_of_one_round_is_explicit():
    data = chunks(4)
    step = data - FLOW(data, torch.full((4,), 0.5)) / 2
    expected = step - FLOW(step, torch.zeros(4)) / 2
    assert torch.allclose(invert(FLOW, data, 2, rounds=1), expected)


# --- Training-time real-time chunking -----------------------------------------------------------------------------


def test_a_clean_prefix_is_kept_and_what_follows_is_what_follows_from_it():
    rows = chunks(1, 5) + 0.5
    found = prefixed_sample(FLOW, noise(4000), rows, 3, STEPS)
    assert torch.equal(found[:, :3], rows[:, :3].expand(4000, -1, -1))
    expected = MEAN[3] + RHO * (rows[0, 2] - MEAN[2])  # of such chains only the last known row counts
    assert float(found[:, 3].mean()) == pytest.approx(float(expected), abs=0.02)
    assert float(found[:, 3].var()) == pytest.approx(0.25 * (1 - RHO**2), rel=0.1)


def test_without_prefix_it_is_the_plain_sampler():
    assert torch.allclose(prefixed_sample(FLOW, noise(3), chunks(3), 0, 7), sample(FLOW, noise(3), 7))


def test_clean_rows_do_not_count_and_the_velocity_is_told_which_they_are():
    seen = []

    def wrong_where_clean(x: Tensor, time: Tensor) -> Tensor:
        seen.append((x, time))
        return FLOW(x, time) + 1e3 * (time == 1)[..., None]

    data = chunks(500)
    right, wrong = (prefixed_loss(v, data, 4, torch.Generator().manual_seed(0)) for v in (FLOW, wrong_where_clean))
    assert right == wrong and right < 2
    ((x, time),) = seen
    clean = time == 1
    assert torch.equal(x[clean], data[clean]) and time.shape == (500, ROWS)
    assert sorted(set(clean.sum(1).tolist())) == [0, 1, 2, 3, 4] and (clean[:, :-1] >= clean[:, 1:]).all()
    assert not torch.isclose(x[~clean], data[~clean]).all()


def test_a_network_with_a_time_for_each_row_learns_to_continue_a_prefix():
    """Chunks are all 0.5 or all -0.5: which, only the prefix tells."""
    torch.manual_seed(0)
    network = RowTimes(UNet(ROWS, 2, 1, widths=(16, 16), mixed=16))
    optimizer, draw = torch.optim.AdamW(network.parameters(), 4e-3), torch.Generator().manual_seed(0)
    nothing = torch.zeros(64, 1)
    for _ in range(80):
        data = (torch.randint(2, (64, 1, 1), generator=draw) - 0.5).expand(-1, ROWS, 1)
        optimizer.zero_grad()
        prefixed_loss(lambda x, time: network(x, time, nothing), data, 4, draw).backward()
        optimizer.step()
    with torch.no_grad():
        for side in (0.5, -0.5):
            rows = torch.full((1, ROWS, 1), side)
            found = prefixed_sample(lambda x, time: network(x, time, nothing), noise(64).float(), rows, 3, 10)
            assert ((found[:, 3:] * side > 0).float().mean()) > 0.97
        plain = sample(lambda x, time: network(x, time, nothing), noise(64).float(), 10)
    assert 10 < int((plain.mean((1, 2)) > 0).sum()) < 54


def test_row_times_hands_on_the_time_of_the_rows_to_be_found():
    class Spy(nn.Module):
        def forward(self, x, time, condition):
            self.seen = x, time, condition
            return x

    spy = Spy()
    network, x = RowTimes(spy), noise(2)
    time = torch.tensor([[1.0, 1.0, *[0.3] * 6], [0.6] * 8])
    assert torch.equal(network(x, time, torch.zeros(2, 1)), x)
    inner, told, _ = spy.seen
    assert inner.shape == (2, ROWS, 2) and torch.equal(inner[..., 1], time.double())
    assert told.tolist() == pytest.approx([0.3, 0.6])
    assert torch.equal(network(x, torch.tensor([0.3, 0.6]), torch.zeros(2, 1)), x)


# --- Guides -------------------------------------------------------------------------------------------------------


def target(offset: float = 0.3) -> Target:
    weight = torch.tensor(prefix_weights(3, 6, ROWS), dtype=torch.float64)
    return Target(MEAN + offset, weight)


def miss(found: Tensor, wished: Target) -> float:
    return float((wished.weight[:, None] * (found - wished.rows)).norm(dim=-1).sum(-1).mean())


@pytest.mark.parametrize("guide", ["rtc", "bid", "paint", "rtc_trained"])
def test_each_guide_brings_a_flow_nearer_to_the_plan(guide):
    wished, count = target(), draws(guide)
    plain, guided = [], []
    for seed in range(20):
        start = noise(count, seed)
        plain.append(KINDS["flow"].chunk(guide, FLOW, start, None, 10))
        guided.append(KINDS["flow"].chunk(guide, FLOW, start, wished, 10))
        assert guided[-1].shape == (1, ROWS, 1)
    assert miss(torch.cat(guided), wished) < 0.6 * miss(torch.cat(plain), wished)


@pytest.mark.parametrize("guide", ["rtc", "bid"])
def test_each_guide_brings_ddim_nearer_to_the_plan(guide):
    denoise, wished = variance_denoiser(0.2), Target(torch.full((ROWS, 1), 0.3), target().weight.float())
    starts = [noise(draws(guide), seed).float() for seed in range(20)]
    plain = torch.cat([KINDS["dp"].chunk(guide, denoise, start, None, 10) for start in starts])
    guided = torch.cat([KINDS["dp"].chunk(guide, denoise, start, wished, 10) for start in starts])
    assert miss(guided, wished) < 0.7 * miss(plain, wished)


def test_vlash_samples_as_if_nothing_was_to_be_continued():
    assert torch.equal(KINDS["flow"].chunk("vlash", FLOW, noise(1), target(), 5), sample(FLOW, noise(1), 5))
    assert set(DDIM_GUIDES) < set(FLOW_GUIDES)


def test_bid_chooses_the_nearest():
    wished = target()
    samples = chunks(16)
    costs = [(wished.weight * (one - wished.rows).norm(dim=-1)).sum() for one in samples]
    assert torch.equal(best(samples, wished)[0], samples[int(torch.stack(costs).argmin())])


def test_painting_leaves_the_distribution_of_what_the_plan_does_not_bind():
    free = Target(MEAN + 5, torch.zeros(ROWS, dtype=torch.float64))
    assert torch.allclose(paint(FLOW, noise(5), free, 10), sample(FLOW, noise(5), 10))
    far = paint(FLOW, noise(64), target(50.0), 10)  # a plan that the flow could never follow
    assert float((far - MEAN).abs().max()) < 5
