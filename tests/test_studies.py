"""What the other commands of `rtr` make: films, tables of checkpoints, curves; episodes with other pictures."""

import json

import cv2
import numpy as np
import pytest
import torch

from models.checkpoint import write
from operators.messages import Command, Scene
from simulation.tasks.write_board.strokes import REACH
from simulation.tasks.write_board.task import WriteBoard
from studies.collect import COLLECTING_SEEDS
from studies.curve import Curve
from studies.evaluate import EVALUATION_SEEDS
from studies.models import Models
from studies.sight import SIGHTS, make_sight
from studies.video import Tally, Video

SEED = 10_001


def test_seeds_of_collecting_tuning_and_evaluating_are_disjoint():
    assert range(10_000) == COLLECTING_SEEDS and EVALUATION_SEEDS == 20_000


def scene(tick: int) -> Scene:
    task = WriteBoard(SEED)
    return Scene(0, 0, 0, tick, np.append(task.home_q, 0), task.piece_pose, task.goal, np.zeros((0, 2)), np.zeros(0))


def test_what_pictures_may_show():
    true = scene(60)
    assert make_sight("true", "write_board", SEED, "random").scene(true) is true
    assert make_sight("other_target", "write_board", SEED, "random").scene(true) is true
    assert make_sight("black", "write_board", SEED, "random").scene(true) is None
    other = make_sight("other_episode", "write_board", SEED, "random")
    first, later = other.scene(scene(0)), other.scene(true)
    assert first is not None and later is not None and later.tick == 60
    assert not np.array_equal(later.goal, true.goal) and not np.array_equal(first.qpos, later.qpos)
    with pytest.raises(ValueError, match=f"expected one of {', '.join(SIGHTS)}, got none"):
        make_sight("none", "write_board", SEED, "random")


def test_a_painted_target_is_another_stroke_from_the_same_start():
    own, changed = WriteBoard(SEED), WriteBoard(SEED).other_goal()
    other = changed.goal
    assert np.allclose(other[0], own.goal[0], atol=1e-6) and np.abs(other).max() <= REACH
    assert np.array_equal(own.piece_pose, changed.piece_pose) and np.allclose(own.home_pose, changed.home_pose)
    assert len(own.goal) != len(other) or not np.allclose(own.goal, other)


def test_a_tally_counts_standing_and_the_hardest_jump():
    tally = Tally()
    action = np.zeros(10, np.float32)
    for cycle, (tick, x) in enumerate([(0, 0.0), (1, 0.001), (2, 0.002), (3, 0.005), (3, 0.005)]):
        planned = action.copy()
        planned[0] = x
        state = "waiting" if cycle == 4 else "playing"
        tally.add(Command(cycle, 0, 0, cycle, tick, state, planned, planned, 0, 1))
    assert tally.text == "stood 0.0 s, jump 2.0 mm/tick"


def test_a_film_shows_the_modes_side_by_side(tmp_path, monkeypatch):
    monkeypatch.setenv("TIME_LIMIT_S", "1")
    out = tmp_path / "modes.webm"
    Video(out, policy="expert", modes=("async_naive", "async_rtr"), seed=SEED).run()
    film = cv2.VideoCapture(str(out))
    whole, picture = film.read()
    assert whole and picture.shape[1] == 640 and film.get(cv2.CAP_PROP_FRAME_COUNT) >= 30
    Video(out.with_suffix(".webp"), policy="expert", modes=("async_naive",), seed=SEED).run()
    whole, page = cv2.imreadanimation(str(out.with_suffix(".webp")))
    assert whole and len(page.frames) >= 10 and page.frames[0].shape[1] == 320
    assert Video().modes == ("sync", "async_naive", "async_rtr")
    with pytest.raises(ValueError, match="expected some of sync, async_naive, async_rtr, got async_rtc"):
        Video(out, modes=("async_rtc",)).run()
    with pytest.raises(ValueError, match=r"expected a file \.webm"):
        Video(tmp_path / "modes.avi").run()


def test_checkpoints_are_listed_and_damaged_ones_named(tmp_path, capsys):
    with pytest.raises(ValueError, match="expected checkpoints, found none"):
        Models(tmp_path).run()
    interval = {"mean": 1.5, "ci95": [1.25, 1.75]}
    write(
        tmp_path / "net", {"a": torch.ones(2)}, {"kind": "net", "codec": "vae:1", "metrics": {"deviation_mm": interval}}
    )
    (tmp_path / "bad.json").write_text("{}")
    Models(tmp_path).run()
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "vae:1" in shown and "deviation_mm" in shown and "(1.25 .." in shown and "bad" in shown


def test_curves_are_drawn_from_the_checkpoints(tmp_path):
    names = ("deviation_mm", "chunk_jerk_mm_per_tick3")
    metrics = {name: {"mean": 0.5, "ci95": [0.4, 0.6]} for name in (*names, "expert_jerk_mm_per_tick3")}
    metrics |= {f"savgol_{name}": {"mean": 0.25, "ci95": [0.2, 0.3]} for name in names}
    metrics |= {f"drawn_{name}": {"mean": 0.75, "ci95": [0.7, 0.8]} for name in names}
    about = {"metrics": metrics, "curve": {"25%": metrics, "50%": metrics}}
    for kind in ("dp_latent60", "dp_action60"):
        write(tmp_path / kind, {"a": torch.ones(1)}, {"kind": kind, **about})
    Curve(tmp_path / "out", tmp_path).run()
    text = (tmp_path / "out" / "training.md").read_text()
    assert text.count("0.5 (0.4 .. 0.6)") == 6 + 6 and text.count("0.25 (0.2 .. 0.3)") == 6
    assert text.count("0.75 (0.7 .. 0.8)") == 12
    assert (tmp_path / "out" / "training.png").stat().st_size > 5000
    assert json.loads((tmp_path / "dp_latent60.json").read_text())["curve"]["25%"] == metrics
