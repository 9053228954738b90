"""Open loop: the figures on rows made up for them, and the command on recordings and data sets."""

import json
from typing import Any

import numpy as np
import pytest

from models.registry import POLICIES
from operators.measure.open_loop import open_loop
from operators.messages import HORIZON
from operators.motion.rotation import action_from_pose, to_relative
from operators.motion.rows import Rows
from operators.policy import Prediction
from operators.settings import Settings
from recordings.convert import to_dataset
from recordings.drec.demonstrations import demonstrations
from studies import openloop
from studies.openloop import OpenLoop
from tests.replay import EXPERT
from tests.test_recording import SIZE, picture, write

POSE = np.array([0.5, 0.0, 0.1, 0.0, 3.0, 0.0])


def line(start: int, count: int, shift=(0, 0, 0), turn=0.0) -> Rows:
    """2 mm a tick along x, from the origin at tick 0."""
    poses = np.tile(POSE, (count, 1))
    poses[:, 0] += 2e-3 * np.arange(start, start + count)
    poses[:, :3] += np.array(shift) * 1e-3
    poses[:, 4] += turn
    return Rows(start, action_from_pose(poses))


def near(value: float) -> Any:
    return pytest.approx(value, abs=1e-3)


def test_what_was_done_deviates_by_nothing():
    found = open_loop([line(0, 48), line(24, 48)], line(0, 100))
    assert found.pop("boundary_gap_mm") == near(2) and found.pop("gap_x_mm") == near(2)
    assert max(map(abs, found.values())) < 1e-3


def test_each_axis_has_its_own_figure():
    found = open_loop([line(0, 48, (1, 2, 3), np.radians(2)), line(24, 48, (1, 2, 6))], line(0, 100), delay=8)
    assert found["deviation_y_mm"] == near(2) and found["deviation_z_mm"] == near(4.5)
    assert found["deviation_mm"] == near(2.5)
    assert found["deviation_pitch_deg"] == pytest.approx(1, abs=1e-2) and found["deviation_roll_deg"] < 1e-2
    assert found["overlap_z_mm"] == near(3) and found["overlap_difference_mm"] == near(1)
    assert found["gap_z_mm"] == near(3) and found["boundary_gap_mm"] == near(13**0.5)


def test_jerk_is_that_of_the_chunk():
    rows = line(0, 48)
    rows.action[:, 1] += 1e-3 * (np.arange(48) % 2)  # third differences of 4 mm
    found = open_loop([rows], line(0, 100))
    assert found["jerk_y_mm_per_tick3"] == pytest.approx(4, abs=1e-2) and found["jerk_x_mm_per_tick3"] < 1e-3
    assert found["chunk_jerk_mm_per_tick3"] == pytest.approx(4, abs=1e-2)


def test_what_cannot_be_measured_is_nan():
    found = open_loop([line(500, 48)], line(0, 100))
    assert np.isnan(found["deviation_mm"]) and np.isnan(found["overlap_difference_mm"])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return write(tmp_path_factory.mktemp("open") / "x.drec")


class Watching:
    """A policy with a camera: remembers the pictures it saw and holds its pose."""

    cameras = ("wrist",)

    def __init__(self):
        self.seen = []

    def start(self, episode):
        self.episode = episode

    def predict(self, observation):
        self.seen.append((observation.proprio.cycle, observation.frames["wrist"].pixels))
        pose = action_from_pose(observation.proprio.tcp_pose)
        return Prediction(to_relative(np.tile(pose, (HORIZON, 1)), observation.proprio.tcp_pose).astype(np.float32))


def test_a_policy_sees_the_newest_picture_of_each_moment(recorded):
    (found,), policy = demonstrations(recorded), Watching()
    policies: Any = {"watching": policy}
    chunks = openloop.predict(found, policies, 10, task="a task")["watching"]
    assert len(policy.seen) == len(chunks) > 10 and policy.episode.seed == 10_000
    for cycle, pixels in policy.seen:
        assert np.array_equal(pixels, picture(2 * (cycle // 2 * 2) + 1)) and pixels.shape == (SIZE, SIZE, 3)


def test_a_policy_whose_camera_is_missing_is_refused(tmp_path):
    (found,) = demonstrations(write(tmp_path / "x.drec", pictures=False))
    policies: Any = {"watching": Watching()}
    with pytest.raises(ValueError, match="expected pictures of wrist, got none"):
        openloop.predict(found, policies, 10)


def test_the_command_measures_draws_and_writes(recorded, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NOISE", "0")
    monkeypatch.setitem(POLICIES.own, "noisy", "simulation.expert_policy:ExpertPolicy")
    made = {"noisy": Settings(**EXPERT, noise=1), "expert": Settings(**EXPERT, noise=0)}
    make = openloop.make_policy
    monkeypatch.setattr(openloop, "make_policy", lambda config: make(made[config.policy]))
    OpenLoop(recorded, ("expert", "noisy"), json=tmp_path / "x.json", out=tmp_path).run()
    told = json.loads((tmp_path / "x.json").read_text())
    assert 0 < told["expert"]["deviation_mm"]["mean"] < 3 and 0 < told["noisy"]["deviation_mm"]["mean"] < 3
    assert told["expert"]["chunk_jerk_mm_per_tick3"]["mean"] < told["noisy"]["chunk_jerk_mm_per_tick3"]["mean"]
    assert "deviation_mm" in capsys.readouterr().out
    assert (tmp_path / "noisy.png").read_bytes()[:4] == b"\x89PNG"
    assert "data:image/png;base64" in (tmp_path / "openloop.html").read_text()
    to_dataset(recorded, tmp_path / "set", 15, print)
    found = openloop.compare(OpenLoop(tmp_path / "set", ("expert",), out=tmp_path))
    assert 0 < found["expert"]["deviation_mm"]["mean"] < 3


def test_what_it_cannot_do_is_one_sentence(recorded):
    with pytest.raises(ValueError, match=r"^POLICY: expected one of expert, .*, got 'exprt'$"):
        OpenLoop(recorded, ("exprt",)).run()
    with pytest.raises(ValueError, match="--every and --episodes from 1 up, got 0"):
        OpenLoop(recorded, every=0).run()
