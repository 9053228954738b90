"""The surge and its cause: figures of traces, pictures of large shifts, and that alignment takes the surge away."""

from dataclasses import replace

import numpy as np
import pytest

from operators.measure.metrics import episode_metrics
from operators.measure.shifts import at_two_horizons, lag_1, takeovers
from operators.settings import Settings
from recordings.trace import save
from studies.shifts import Shifts, figures
from studies.simulated import Simulated
from studies.speed import Speed
from tests.replay import EXPERT

SEED = 10_002


def played(align: str, delay: int = 12, **settings):
    config = Settings(**{**EXPERT, "join": "fade", "refine_codec": "dct", "align": align, **settings})
    return Simulated(config, "async_rtr").run(0, SEED, lambda chunk: delay)


@pytest.fixture(scope="module")
def logs():
    return {align: played(align) for align in ("tick", "phase")}


def test_a_noisy_policy_is_steadier_by_phase(logs):
    tick, phase = (episode_metrics(logs[align]) for align in ("tick", "phase"))
    assert phase["acceleration_rms_mm_s2"] < 0.92 * tick["acceleration_rms_mm_s2"]
    assert phase["speed_ripple"] < 0.8 * tick["speed_ripple"] and phase["success"] == tick["success"] == 1
    assert phase["shift_ticks_rms"] > 0.3 and tick["shift_ticks_rms"] == 0


def test_takeovers_tell_by_how_much_chunks_are_out_of_step(logs):
    found = takeovers(logs["phase"])
    assert len(found) > 10
    estimated = np.array([taken.estimate.ticks for taken in found])
    applied = np.array([taken.chunk.shift_ticks for taken in found])
    assert np.corrcoef(estimated, applied)[0, 1] > 0.8  # one from what was played, the other from plan and all
    assert all(taken.played.end == taken.chunk.arrival_tick for taken in found)


def test_two_chains_have_a_correlation_of_minus_one_and_independent_errors_none():
    assert lag_1(np.array([1.0, -1] * 20)) == pytest.approx(-1, abs=0.03)
    assert abs(lag_1(np.random.default_rng(0).normal(size=2000))) < 0.06
    assert np.isnan(lag_1(np.zeros(10))) and np.isnan(lag_1(np.arange(3)))


def test_the_swing_at_two_horizons_is_found(logs):
    frequency, share = at_two_horizons(logs["phase"])
    assert frequency == pytest.approx(60 / 24, abs=0.05) and 0 < share < 1
    assert set(figures(logs["tick"])) == set(figures(logs["phase"]))


def test_large_shifts_are_drawn_and_folders_without_traces_named(logs, tmp_path, capsys):
    for name, log in logs.items():
        save(tmp_path / "trace", replace(log, meta={**log.meta, "name": name}))
    Shifts(tmp_path / "trace", least=1.0, out=tmp_path / "pages").run()
    assert "lag-1 correlation" in capsys.readouterr().out
    assert list((tmp_path / "pages").glob("shifts_*.png"))
    with pytest.raises(ValueError, match=r"expected traces in .*nowhere, there are none"):
        Shifts(tmp_path / "nowhere").run()


def test_speeds_are_drawn_beside_the_experts(tmp_path):
    Speed(policy="expert", methods="naive,rtr_fade_phase", seed=SEED, out=tmp_path / "x.png").run()
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="expected some of"):
        Speed(methods="magic", out=tmp_path / "x.png").run()
