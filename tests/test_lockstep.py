"""Lockstep episodes: reproducible, honest about seams, and true to the rules of sync and async."""

from dataclasses import replace

import numpy as np
import pytest

from operators.measure.metrics import episode_metrics
from operators.motion.kinematics import Unreachable
from operators.settings import Settings
from studies.evaluate import Evaluate, delay_cycles, evaluate
from studies.simulated import GRAPHS, Simulated
from studies.stage import LINK_NS
from tests.replay import EXPERT

SEED = 10_001


def played(mode, delay=8, **settings):
    return Simulated(Settings(**{**EXPERT, **settings}), mode).run(0, SEED, lambda chunk: delay)


def raw(chunk):
    assert chunk.raw is not None
    return chunk.raw.action.tobytes()


def test_same_seed_same_bits():
    left, right = played("async_rtr"), played("async_rtr")
    assert np.array_equal(left.cycles.action, right.cycles.action) and np.array_equal(left.marks, right.marks)


def test_naive_and_rtr_see_the_same_chunks_up_to_the_first_switch():
    naive, rtr = played("async_naive"), played("async_rtr")
    for left, right in zip(naive.chunks[:3], rtr.chunks[:3], strict=True):  # the third is asked for before it
        assert raw(left) == raw(right)
    assert raw(naive.chunks[3]) != raw(rtr.chunks[3])


@pytest.mark.parametrize("delay", [8, 16])
def test_rtr_softens_the_seams_of_noisy_chunks(delay):
    naive, rtr = (episode_metrics(played(mode, delay)) for mode in ("async_naive", "async_rtr"))
    assert rtr["velocity_jump"] < 0.4 * naive["velocity_jump"]
    assert rtr["velocity_jump_at_switch"] < 0.25 * naive["velocity_jump_at_switch"]


def test_sync_chunks_start_where_the_robot_stands():
    log = played("sync", noise=0)
    for chunk in log.chunks[1:-1]:
        assert chunk.handed is not None
        before, first = log.cycles.action[log.cycles.tick < chunk.t0][-1], chunk.handed.action[0]
        assert np.linalg.norm(first[:3] - before[:3]) < 2e-3
        assert chunk.arrival_tick == chunk.t0
    metrics = episode_metrics(log)
    assert metrics["starved_percent"] == 0 and metrics["waiting_percent"] > 10 and metrics["success"] == 1


def test_a_slow_policy_slows_the_robot_instead_of_starving_it():
    metrics = episode_metrics(played("async_rtr", delay=36, noise=0))
    assert metrics["starved_percent"] == 0 and 40 < metrics["feed_percent"] < 90 and metrics["success"] == 1


@pytest.mark.parametrize("delay", [4, 8, 12, 16, 20, 24, 30, 36])
@pytest.mark.parametrize("align", ["tick", "phase"])
def test_the_takeover_is_told_within_a_tick_however_slow_the_feed(delay, align):
    log = played("async_naive", delay, noise=0, align=align, time_limit_s=9)
    told = [(chunk.arrival_tick, chunk.expected_tick) for chunk in log.chunks[6:-1]]  # once it knows
    assert len(told) > 4 and np.ptp(np.array(told, float), axis=1).max() <= 1


def test_a_hopeless_policy_starves_brakes_and_goes_on():
    log = played("async_rtr", delay=120, noise=0)
    state = log.cycles.state
    assert episode_metrics(log)["starved_percent"] > 10 and {"braking", "holding"} <= set(state)
    starts = np.count_nonzero((state[1:] == "playing") & (state[:-1] == "holding"))
    assert starts >= 2 and log.cycles.tick[-1] > 60


def test_a_lost_chunk_is_asked_for_again():
    def lossy(sender, hearer, port, message):
        return [] if port == "chunk" and message.chunk_id == 3 else [LINK_NS]

    log = Simulated(Settings(**EXPERT, request_timeout_ms=1000), "async_rtr", link=lossy).run(0, SEED, lambda chunk: 8)
    assert log.score["done"] and log.chunks[3].handed is None and log.chunks[4].handed is not None


def test_where_the_arm_cannot_go_it_stands_and_says_so(monkeypatch):
    rig = Simulated(Settings(**EXPERT, time_limit_s=1), "async_rtr")
    step, bad = rig.driver.world.step, []

    def short(action):
        if len(bad) < 5:
            bad.append(action)
            raise Unreachable("expected a pose within reach of the guess")
        return step(action)

    monkeypatch.setattr(rig.driver.world, "step", short)
    log = rig.run(0, SEED, lambda chunk: 8)
    told = [fault[1:3] for fault in log.faults]
    assert len(bad) == 5 and told == [("robot", "unreachable")] * 3  # told at the 1st, 2nd and 4th time
    assert len(log.cycles.tick) > 50


def test_sent_equals_planned_for_the_expert_without_noise():
    log = played("async_rtr", noise=0)
    assert np.mean(log.cycles.clamped != 0) < 1e-3


def test_evaluate_writes_intervals_and_resumes_from_traces(tmp_path):
    options = Evaluate(
        policy="expert", episodes=2, seed=SEED, json=tmp_path / "a.json", trace=tmp_path / "trace", workers=1
    )
    first = evaluate(options)
    written = sorted(path.stat().st_mtime_ns for path in (tmp_path / "trace").glob("*_cycles.parquet"))
    assert set(first["velocity_jump"]) == {"mean", "ci95", "n"} and first["velocity_jump"]["n"] == 2
    assert "NaN" not in (tmp_path / "a.json").read_text() and len(written) == 2
    again = evaluate(replace(options, json=None))
    assert again["velocity_jump"] == first["velocity_jump"]


@pytest.mark.parametrize("delay", ["", "eight", "lognormal", "hurricane:8", "-1"])
def test_a_delay_that_is_none_is_refused(delay):
    with pytest.raises(ValueError, match="--delay: expected"):
        delay_cycles(delay, 0, 0, 0)


@pytest.mark.parametrize("delay", [2, 3, 4, 6, 8, 13])
def test_a_chunk_takes_over_as_many_ticks_after_its_picture_as_the_delay_says(delay):
    for config in (Settings(**EXPERT), Settings(policy="dp_latent60", image_width=64, image_height=64)):
        log = Simulated(replace(config, time_limit_s=2.5), "async_naive").run(0, SEED, lambda chunk: delay)
        assert {chunk.arrival_tick - chunk.t0 for chunk in log.chunks[3:-2] if chunk.arrival_tick is not None} == {
            delay
        }


@pytest.mark.parametrize("guide", ["rtc", "bid", "paint", "vlash"])
def test_a_guided_sampler_softens_the_seams(guide):
    naive = episode_metrics(played("async_naive", policy="expert_flow"))
    guided = played("async_rtc", policy="expert_flow", guide=guide)
    metrics = episode_metrics(guided)
    assert not guided.faults and metrics["success"] == 1
    assert metrics["velocity_jump"] < {"vlash": 0.8, "bid": 0.85}.get(guide, 0.6) * naive["velocity_jump"]


def test_a_graph_that_cannot_be_played_in_simulated_time_is_refused():
    with pytest.raises(ValueError, match=r"playback\.yml: expected a graph with the nodes .*, robot is missing"):
        evaluate(Evaluate(policy="expert", mode="playback", episodes=1, workers=1))
    with pytest.raises(ValueError, match=r"expected a graph: async_a2c2, .*, or the path of one of your own"):
        evaluate(Evaluate(policy="expert", mode="magic", episodes=1))


def test_a_graph_of_ones_own_is_played_like_a_shipped_one(tmp_path):
    (tmp_path / "mine.yml").write_text((GRAPHS / "async_naive.yml").read_text())
    mine = Evaluate(policy="expert", graph=tmp_path / "mine.yml", episodes=1, seed=SEED, workers=1)
    shipped = replace(mine, graph=None, mode="async_naive")
    assert evaluate(mine)["velocity_jump"]["mean"] == evaluate(shipped)["velocity_jump"]["mean"]


def test_a_policy_that_cannot_be_guided_is_refused_and_says_why():
    with pytest.raises(ValueError, match=r"^GUIDE=rtc: it steers the sampling .* expert can be guided by vlash$"):
        Simulated(Settings(**EXPERT), "async_rtc")
    with pytest.raises(ValueError, match=r"^GUIDE=rtc_trained: .* by rtc, bid, paint, vlash$"):
        Simulated(Settings(policy="expert_flow", guide="rtc_trained"), "async_rtc")


def test_with_vlash_chunks_begin_where_the_robot_will_be():
    log, late = (played(mode, guide="vlash", delay=16) for mode in ("async_rtc", "async_naive"))
    assert not log.faults and log.score["success"] == 1
    for chunk in log.chunks[3:-1]:  # the first is for a robot that stands, the next are asked for as it sets out
        assert chunk.arrival_tick == chunk.t0  # asked 16 ticks before
    assert episode_metrics(log)["velocity_jump"] < 0.5 * episode_metrics(late)["velocity_jump"]


@pytest.mark.parametrize("guide", ["rtc", "vlash"])
def test_guided_chunks_are_aligned_once_and_softer_than_naive_ones(guide):
    log = played("async_rtc", policy="expert_flow", guide=guide, align="phase")
    metrics, naive = episode_metrics(log), episode_metrics(played("async_naive", policy="expert_flow"))
    assert not log.faults and metrics["success"] == 1
    assert (metrics["shift_ticks_rms"] > 0.1) == (guide == "rtc")  # with vlash a chunk begins at the takeover
    assert metrics["velocity_jump"] < 0.8 * naive["velocity_jump"]
