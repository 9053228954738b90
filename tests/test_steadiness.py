"""Steadiness: each figure judged by laws as an eye would judge the motion."""

import numpy as np
import pytest

from operators.measure.steadiness import NOTHING, paced, places, sparc, steadiness
from operators.messages import HZ

HORIZON_S = 0.2
SURGE_HZ = 2.5  # two execution horizons


def along(speed_mm_s: np.ndarray, corner_at: float = 0.15) -> np.ndarray:
    """Positions (n, 3) m, one a cycle, of a path with a right-angled corner, passed at these speeds."""
    way = np.concatenate([[0.0], np.cumsum(speed_mm_s)])[:-1] / 1e3 / HZ
    return np.stack([np.minimum(way, corner_at), np.maximum(way - corner_at, 0), 0 * way], -1)


def smooth(speed: np.ndarray) -> np.ndarray:
    ramp = np.hanning(31)
    return np.convolve(np.pad(speed, 15, mode="edge"), ramp / ramp.sum(), "valid")


def usual(seconds: float = 4.0) -> np.ndarray:
    """75 mm/s from rest to rest."""
    return smooth(np.concatenate([np.zeros(20), np.full(round(seconds * HZ), 75.0), np.zeros(20)]))


REFERENCE = along(usual())
STEADY = steadiness(REFERENCE, REFERENCE, HORIZON_S)


def judged(speed: np.ndarray, reference: np.ndarray = REFERENCE) -> dict[str, float]:
    return steadiness(along(speed), reference, HORIZON_S)


def surging(share: float, seconds: float = 4.0) -> np.ndarray:
    speed = usual(seconds)
    return speed * (1 + share * np.sin(2 * np.pi * SURGE_HZ * np.arange(len(speed)) / HZ))


def test_the_teacher_is_steady():
    assert STEADY["speed_ripple"] < 1e-3 and STEADY["speed_drops_per_s"] == 0
    assert STEADY["mean_speed_mm_s"] == pytest.approx(71, abs=3)


@pytest.mark.parametrize("reference", [REFERENCE, np.zeros((0, 3))], ids=["with", "without"])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
def test_a_surge_is_seen_in_proportion(share, reference):
    found = judged(surging(share), reference)
    assert found["speed_ripple"] == pytest.approx(share / np.sqrt(2), rel=0.25)
    expected = 75 * share * 2 * np.pi * SURGE_HZ / np.sqrt(2)
    assert found["acceleration_rms_mm_s2"] == pytest.approx(
        np.hypot(expected, STEADY["acceleration_rms_mm_s2"]), rel=0.15
    )
    assert found["speed_drops_per_s"] == 0


def test_sparc_does_not_see_a_surge_of_less_than_a_tenth():
    assert judged(surging(0.09))["sparc"] == pytest.approx(STEADY["sparc"], abs=0.15)
    assert judged(surging(0.6))["sparc"] < STEADY["sparc"] - 0.2


def test_half_the_speed_is_as_steady_and_earns_nothing():
    slow = np.repeat(usual(), 2) / 2
    found = judged(slow)
    assert found["speed_ripple"] < 0.01 and found["speed_drops_per_s"] == 0
    surge = slow * (1 + 0.1 * np.sin(2 * np.pi * SURGE_HZ * np.arange(len(slow)) / HZ))
    assert judged(surge)["speed_ripple"] == pytest.approx(0.1 / np.sqrt(2), rel=0.25)


@pytest.mark.parametrize("reference", [REFERENCE, np.zeros((0, 3))], ids=["with", "without"])
def test_standing_at_the_ends_changes_nothing(reference):
    position = along(surging(0.1))
    stood = np.concatenate([np.repeat(position[:1], 90, 0), position, np.repeat(position[-1:], 200, 0)])
    found, alone = steadiness(stood, reference, HORIZON_S), steadiness(position, reference, HORIZON_S)
    assert found == pytest.approx(alone, rel=0.02, abs=1e-3)


def test_a_15_hz_hold_is_acceleration_and_drops():
    position = along(usual())
    held = position[np.arange(len(position)) // 4 * 4]
    found = steadiness(held, REFERENCE, HORIZON_S)
    assert found["speed_drops_per_s"] > 10
    assert found["acceleration_rms_mm_s2"] > 20 * STEADY["acceleration_rms_mm_s2"]


def test_waiting_for_chunks_is_ripple_and_drops():
    """20 rows, then 13 cycles of standing, with a braking ramp: sync."""
    position = along(usual())
    at = np.concatenate(
        [np.append(np.arange(i, i + 20), np.full(13, i + 19)) for i in range(0, len(position) - 20, 20)]
    )
    found = steadiness(position[at], REFERENCE, HORIZON_S)
    assert found["speed_ripple"] > 0.4
    assert found["speed_drops_per_s"] == pytest.approx(HZ / 33, rel=0.25)


def test_a_smooth_stop_at_a_corner_where_the_teacher_stops_is_steady():
    stop = smooth(np.concatenate([np.zeros(20), np.full(120, 75.0), np.zeros(30), np.full(120, 75.0), np.zeros(20)]))
    reference = along(stop)
    found = steadiness(reference, reference, HORIZON_S)
    assert found["speed_ripple"] < 0.01 and found["speed_drops_per_s"] == 0
    straight_on = steadiness(along(usual()), reference, HORIZON_S)
    assert straight_on["speed_ripple"] > 0.05  # and one that does not stop there differs


def test_a_low_pass_of_100_ms_hides_no_surge():
    def low_passed(position: np.ndarray) -> np.ndarray:
        padded = np.concatenate([np.repeat(position[:1], 3, 0), position, np.repeat(position[-1:], 3, 0)])
        return np.stack([np.convolve(axis, np.ones(6) / 6, "valid") for axis in padded.T], -1)

    steady = steadiness(low_passed(REFERENCE), REFERENCE, HORIZON_S)
    assert steady["speed_ripple"] < 0.04 and steady["speed_drops_per_s"] == 0
    surge = steadiness(low_passed(along(surging(0.3))), REFERENCE, HORIZON_S)
    assert surge["speed_ripple"] > 0.85 * judged(surging(0.3))["speed_ripple"]


def test_figures_do_not_depend_on_axes_and_scale_with_the_motion():
    position = along(surging(0.2))
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    turned = steadiness(position @ turn + 0.3, REFERENCE @ turn + 0.3, HORIZON_S)
    assert turned == pytest.approx(judged(surging(0.2)), rel=1e-2)
    larger = steadiness(2 * position, 2 * REFERENCE, HORIZON_S)
    assert larger["speed_ripple"] == pytest.approx(turned["speed_ripple"], rel=1e-2)
    assert larger["acceleration_rms_mm_s2"] == pytest.approx(2 * turned["acceleration_rms_mm_s2"], rel=1e-2)
    assert larger["acceleration_per_speed_1_s"] == pytest.approx(turned["acceleration_per_speed_1_s"], rel=1e-2)


def test_at_a_crossing_and_on_the_way_back_the_place_goes_on():
    time = np.linspace(0, 2 * np.pi, 300)
    eight = 0.03 * np.stack([np.sin(time), np.sin(2 * time), 0 * time], -1)
    assert np.abs(places(eight, eight) - np.arange(300)).max() <= 1
    there = np.concatenate([np.linspace(0, 0.1, 80), np.linspace(0.1, 0, 80)])
    back = np.stack([there, 0 * there, 0 * there], -1)
    found = places(back + 1e-4 * np.random.default_rng(0).normal(size=back.shape), back)
    assert np.abs(found - np.arange(160)).max() <= 2 and (np.diff(found) >= 0).all()


def test_what_is_too_short_or_stands_is_not_measured():
    for position in (np.zeros((0, 3)), np.zeros((1, 3)), np.zeros((50, 3))):
        for reference in (REFERENCE, np.zeros((0, 3)), np.zeros((50, 3))):
            found = steadiness(position, reference, HORIZON_S)
            assert set(found) == set(NOTHING) and np.isnan(found["speed_ripple"])
    assert np.isnan(sparc(np.zeros(100)))


def test_the_speed_chart_can_show_what_was_wanted():
    pace = paced(along(surging(0.2)), REFERENCE, HORIZON_S)
    assert len(pace.speed) == len(pace.wanted) and np.abs(pace.wanted[60:-60] - 75).max() < 1
