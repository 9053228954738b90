"""Delays and chunk errors to try a system with: repeatable in any order, and as large as they say."""

from functools import cache

import numpy as np
import pytest

from operators.chunks.latency import OUTAGE_CHUNK, OUTAGE_MS, TRACES, latency_ms
from operators.chunks.noise import noisy
from operators.motion.rotation import action_from_pose

IDS = [(seed, episode, chunk) for seed in (0, 20000) for episode in (0, 1) for chunk in range(30)]
ACTION = action_from_pose(np.tile([0.4, 0.1, 0.2, 0, 3.0, 0], (48, 1)), 0.5)


@cache
def errors_mm(scale: float = 1.0, n: int = 2000, rows: int = 48) -> np.ndarray:
    """Errors of n chunks at the origin, where float32 is fine: (n, rows, 3)."""
    still = action_from_pose(np.zeros((rows, 6)))
    return 1e3 * np.stack([noisy(still, scale, 20000, 0, chunk)[:, :3] for chunk in range(n)])


# --- Latency ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("trace", TRACES)
def test_a_delay_depends_on_seed_episode_and_chunk_alone(trace):
    forward = {ids: latency_ms(trace, 100.0, *ids) for ids in IDS}
    assert all(latency_ms(trace, 100.0, *ids) == forward[ids] for ids in reversed(IDS))


def test_each_of_seed_episode_and_chunk_matters():
    drawn = {latency_ms("lognormal", 100.0, *ids) for ids in IDS}
    assert len(drawn) == len(IDS)


def test_constant_is_constant():
    assert {latency_ms("constant", 70.0, *ids) for ids in IDS} == {70.0}


def test_lognormal_has_its_median_and_its_sigma():
    logs = np.log([latency_ms("lognormal", 100.0, 1, 0, chunk) for chunk in range(4000)])
    assert np.median(logs) == pytest.approx(np.log(100), abs=0.02) and logs.std() == pytest.approx(0.35, rel=0.05)


def test_one_chunk_in_ten_takes_three_times_as_long():
    drawn = np.array([latency_ms("spikes", 100.0, 1, 0, chunk) for chunk in range(4000)])
    assert set(drawn) == {100.0, 300.0} and np.mean(drawn == 300) == pytest.approx(0.1, abs=0.015)


def test_an_outage_hits_one_chunk_of_each_episode():
    for episode in range(3):
        late = {chunk: latency_ms("outage", 100.0, 1, episode, chunk) - 100 for chunk in range(20)}
        assert {chunk for chunk, extra in late.items() if extra} == {OUTAGE_CHUNK}
        assert late[OUTAGE_CHUNK] == OUTAGE_MS == 3000


def test_an_unknown_trace_is_refused_and_the_choices_named():
    with pytest.raises(ValueError, match="constant, lognormal, spikes, outage, got weekly"):
        latency_ms("weekly", 100.0, 0, 0, 0)


# --- Chunk errors -------------------------------------------------------------------------------------------------


def test_an_error_depends_on_seed_episode_and_chunk_alone():
    forward = {ids: noisy(ACTION, 1.0, *ids) for ids in IDS}
    assert all(np.array_equal(noisy(ACTION, 1.0, *ids), forward[ids]) for ids in reversed(IDS))
    assert len({chunk.tobytes() for chunk in forward.values()}) == len(IDS)


def test_scale_0_is_the_chunk_itself_and_scales_are_in_proportion():
    assert noisy(ACTION, 0.0, 1, 2, 3) is ACTION
    single, double = errors_mm(1.0, n=5), errors_mm(2.0, n=5)
    assert np.allclose(double, 2 * single, atol=1e-6) and np.abs(single).max() > 0.1


def test_rotation_and_gripper_are_left_alone():
    found = noisy(ACTION, 1.0, 1, 2, 3)
    assert found.dtype == np.float32 and np.array_equal(found[:, 3:], ACTION[:, 3:])
    assert not np.array_equal(found[:, :3], ACTION[:, :3])


@pytest.mark.parametrize("rows", [48, 24])
def test_the_error_grows_along_the_chunk_as_documented(rows):
    errors = errors_mm(rows=rows)
    spread = np.sqrt((errors**2).mean((0, 2)))  # (rows,) mm, over chunks and axes
    assert np.abs(errors.mean(0)).max() < 0.15
    assert spread[0] == pytest.approx(np.hypot(0.25, 0.04), rel=0.05)
    assert spread[-1] == pytest.approx(np.hypot(1.65, 0.04), rel=0.05)
    assert (np.diff(spread) > 0).all()


def test_the_jitter_is_white_and_as_large_as_documented():
    """A third difference leaves nothing of the smooth part: 1, -3, 3, -1 of white noise is sqrt(20) of it."""
    jerk = np.diff(errors_mm(), 3, axis=1)
    assert jerk.std() == pytest.approx(0.04 * np.sqrt(20), rel=0.05)


def test_chunks_and_axes_err_independently():
    errors = errors_mm()[:, 40]
    assert np.abs(np.corrcoef(errors.T) - np.eye(3)).max() < 0.1
    assert abs(np.corrcoef(errors[:-1, 0], errors[1:, 0])[0, 1]) < 0.1
