"""Collecting demonstrations: reproducible, resumable, on its own seeds, with labels that lead back to the stroke."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.stored import FOLDER
from operators.motion.rotation import matrix_from_vector
from recordings.dataset.facts import Facts
from recordings.dataset.features import LAGS
from recordings.dataset.reader import Dataset
from simulation.tasks import make_task
from studies import disturbed
from studies.collect import Collect, collect
from studies.disturbed import HOLD, REST

FIRST = 15  # two short strokes


def options(out: Path, episodes: int = 1, **changes) -> Collect:
    small = {"fps": 5, "image": 24, "render": 48, "workers": 1, "drift": 0.0, "pause": 0.0}
    return Collect(episodes=episodes, seed=FIRST, out=out, **{**small, **changes})


def files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def collected(tmp_path_factory) -> Path:
    """Two episodes in one run, with many pushes."""
    out = tmp_path_factory.mktemp("collected")
    collect(options(out, 2, recovery=0.6))
    return out


def test_a_resumed_run_gives_the_same_files_as_an_uninterrupted_one(collected, tmp_path, capsys):
    out = tmp_path / "resumed"
    collect(options(out, 1, recovery=0.6))
    collect(options(out, 2, recovery=0.6))
    assert files(out) == files(collected)
    collect(options(out, 2, recovery=0.6))
    assert "2 episodes" in capsys.readouterr().out.splitlines()[-1]


def test_what_training_needs_to_know_is_in_the_data_set(collected):
    shipped = json.loads((FOLDER / "vision.json").read_text())["facts"]
    assert Facts.read(collected) == Facts.of(shipped, "the shipped encoder")


def test_rows_are_states_before_their_tick_and_reach_beyond_the_lift(collected):
    dataset = Dataset.open(collected)
    assert [episode.about["seed"] for episode in dataset.episodes] == [FIRST, FIRST + 1]
    assert all(episode.about["success"] == 1 for episode in dataset.episodes)
    assert dataset.cameras == ("front", "wrist") and dataset.frames(0, "wrist").shape[1:] == (24, 24, 3)
    rows, task = dataset.rows(0), make_task("write_board", FIRST)
    assert rows["tick"].tolist() == list(range(0, task.duration_ticks + REST, 12))
    assert rows["label.ticks_left"][[0, -1]].tolist() == [task.duration_ticks, 0]
    np.testing.assert_allclose(rows["observation.past"][2:, LAGS.index(24)], rows["observation.state"][:-2])
    np.testing.assert_allclose(rows["observation.past"][0], np.tile(rows["observation.state"][0], (4, 1)))
    np.testing.assert_allclose(rows["observation.state"][0, :3], task.home_pose[:3], atol=1e-4)


def off_path(rows: dict, task) -> np.ndarray:
    """How far each row of each label is beside the expert's path, wherever along it, (n, 48) m in the board plane."""
    chunk = (rows["action_chunk"][:, :, :3] - task.piece_pose[:3]) @ matrix_from_vector(task.piece_pose[3:])
    path = task.reference(np.arange(0, task.duration_ticks, 0.25))[:, :2]
    return np.stack([np.linalg.norm(one[:, None] - path, axis=2).min(1) for one in chunk[:, :, :2]])


def test_labels_lead_from_the_measured_state_back_to_the_stroke(collected):
    dataset, pushed = Dataset.open(collected), []
    for number in range(2):
        rows, task = dataset.rows(number), make_task("write_board", FIRST + number)
        off = off_path(rows, task)
        assert off.max() < 0.005 and np.all(off[:, -1] < 0.0005)
        pushed.append(off[rows["since_push"] == 0, 0].max())
        np.testing.assert_allclose(rows["label.board_pose"][0], task.piece_pose, atol=1e-6)
        assert rows["label.board_pose"].std(0).max() < 1e-6
    assert min(pushed) > 0.0015


def test_a_pressed_chunk_is_off_along_the_normal_and_its_label_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(disturbed, "PRESS_SHARE", 1.0)
    collect(options(tmp_path / "set", recovery=0.6, fps=10))
    rows, task = Dataset.open(tmp_path / "set").rows(0), make_task("write_board", FIRST)
    writing = (rows["tick"] > 130) & (rows["label.ticks_left"] > 60)
    apart = (rows["action"] - rows["action_chunk"][:, 0])[writing, :3] @ matrix_from_vector(task.piece_pose[3:])
    assert 0.0003 < np.abs(apart[:, 2]).max() < 0.0008 and np.abs(apart[:, :2]).max() < 0.0005


def test_a_drifting_demonstration_is_far_off_and_its_labels_lead_back(tmp_path):
    collect(options(tmp_path / "set", recovery=0.0, drift=0.7, fps=10))
    rows, task = Dataset.open(tmp_path / "set").rows(0), make_task("write_board", FIRST)
    off = off_path(rows, task)
    assert off[:, 0].max() > 0.004, "no drift was seen"
    assert np.all(off[:, -1] < 0.12 * off[:, 0].max()), "a label does not lead back"
    np.testing.assert_allclose(rows["label.start"][0], task.to_base(np.append(task.goal[0], 0)), atol=1e-6)
    np.testing.assert_allclose(rows["label.end"][-1], task.to_base(np.append(task.goal[-1], 0)), atol=1e-6)


def test_in_a_pause_the_tick_and_the_robot_stand(tmp_path):
    collect(options(tmp_path / "set", recovery=0.0, pause=0.5, fps=20))
    rows, task = Dataset.open(tmp_path / "set").rows(0), make_task("write_board", FIRST)
    ticks = rows["tick"][rows["tick"] < task.duration_ticks]
    held = np.flatnonzero(np.diff(ticks) == 0)
    assert len(held) >= 2 * (HOLD // 3 - 1) and np.all(np.diff(ticks) >= 0)
    speed = np.linalg.norm(rows["observation.velocity"][:, :3], axis=1)
    assert speed[held[np.diff(held, append=held[-1] + 9) > 1] + 1].max() < 0.003, "it moves at the end of a pause"


def test_where_a_policy_moves_the_arm_the_expert_labels_its_states(tmp_path):
    collect(options(tmp_path / "set", policy="dp_latent60", fps=10, ticks=200))
    rows, task = Dataset.open(tmp_path / "set").rows(0), make_task("write_board", FIRST)
    assert len(rows["tick"]) == 33 and np.all(np.diff(rows["tick"]) >= 0)
    assert (rows["label.ticks_left"][-1] < task.duration_ticks - 100) and np.all(rows["since_push"] == -1)
    off = off_path(rows, task)
    assert np.all(off[24:, -1] < 0.001), "a label does not lead back"  # of rows on the board
    commanded = np.linalg.norm(rows["action"][24:, :3] - rows["action_chunk"][24:, 0, :3], axis=1)
    assert 0.0002 < commanded.max() < 0.02, "it is the expert who moves the arm"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 10_000}, "expected seeds 0 to 9999 .*got 10000 to 10000"),
        ({"seed": 9_999, "episodes": 2}, "got 9999 to 10000"),
        ({"seed": 20_000}, "expected seeds"),
        ({"seed": -1}, "expected seeds"),
        ({"fps": 7}, "--fps: expected a divisor of 60"),
        ({"recovery": 1.5}, "--recovery: expected a share"),
        ({"drift": -0.1}, "--drift: expected a share"),
        ({"pause": 2}, "--pause: expected a share"),
        ({"task": "juggle"}, "TASK: expected one of write_board, got .juggle"),
        ({"policy": "replay"}, "--policy: expected expert or a policy that goes by pictures, got replay"),
        ({"variant": "none"}, "VARIANT: expected one of random, lasa, got .none"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        collect(Collect(**{"episodes": 1, "out": tmp_path / "x", **changes}))
    assert not (tmp_path / "x").exists()


def test_a_data_set_is_not_mixed_with_other_settings(collected):
    with pytest.raises(ValueError, match="another --out"):
        collect(options(collected, 3, recovery=0.1))
    assert len(Dataset.open(collected).episodes) == 2
