"""Frames: drawn from scenes, sent with dora-hub's metadata, refused when they are not what they say."""

import numpy as np
import pyarrow as pa
import pytest

from nodes import camera as process
from operators.actors.seen import Seen
from operators.edge import Edge
from operators.frame import Frame, frame_metadata, read_frame
from operators.policy import state_in_frames
from operators.schema import BadMessage, pack
from operators.settings import Settings
from tests.replay import episode_messages, replay_node, told
from tests.test_robot import SEED, start

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


@pytest.mark.parametrize("camera", ["front", "wrist"])
def test_a_camera_draws_the_scene_it_receives(camera):
    from operators.messages import Scene
    from simulation.tasks import make_task

    task = make_task("", SEED, "random")
    qpos, no_ink = np.append(task.home_q, 0.0), (np.zeros((0, 2)), np.zeros(0, int))
    scene = Scene(0, 0, 123, 7, qpos, task.piece_pose, task.goal, *no_ink)
    node = replay_node(
        [("episode", pack(start())), ("scene", pack(scene))],
        node_config={"inputs": dict.fromkeys(process.INPUTS, ""), "outputs": [f"frame_{camera}", "fault"]},
    )
    process.run(node, Settings(image_width=64, image_height=48), {})
    [(pixels, metadata)] = node.outputs[f"frame_{camera}"]
    frame = read_frame(pa.array(pixels), metadata)
    assert frame.pixels.shape == (48, 64, 3) and frame.t_ns == 123
    assert frame.pixels.std() > 10  # a picture, not a blank


def test_a_frame_is_a_view_of_what_was_received():
    array = pa.array(PIXELS.reshape(-1))
    frame = read_frame(array, frame_metadata(6, 4, 0, 0, 0))
    assert frame.pixels.ctypes.data == array.buffers()[1].address and not frame.pixels.flags.writeable


WRONG = {
    "size": {"width": 7},
    "metadata": {"width": "6"},
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_frame_that_lies_is_refused(kind):
    metadata = {**frame_metadata(6, 4, 0, 0, 0), **WRONG[kind]}
    with pytest.raises(BadMessage) as refused:
        read_frame(pa.array(PIXELS.reshape(-1)), metadata)
    assert refused.value.kind == kind


def test_floats_are_no_pixels_and_the_edge_counts_them():
    edge = Edge("policy", {"frame_front": Frame})
    assert edge.read("frame_front", pa.array([0.5] * 72), frame_metadata(6, 4, 0, -1, 0)) is None
    assert edge.counts == {"frame_front schema": 1}


def test_the_state_is_that_of_the_moment_the_arms_own_frame_shows():
    state = told(episode_messages("async_rtr"), "proprio")[0]
    states = [state._replace(tick=tick, t_ns=100 * seq) for seq, tick in enumerate((4, 5, 5, 6))]
    for front in (0, 300):
        frames = {name: Frame(PIXELS, 0, 0, t_ns) for name, t_ns in (("front", front), ("wrist", 100))}
        assert state_in_frames(states, frames, "wrist") is states[1]  # of two states of one tick the one that is seen
    frames = {name: Frame(PIXELS, 0, 0, t_ns) for name, t_ns in (("front", 299), ("side", 300))}
    assert state_in_frames(states, frames) is state_in_frames(states, frames, "wrist") is states[2]
    assert state_in_frames(states, {}) is states[3]
    assert state_in_frames(states[3:], frames) is states[3]


def test_a_policy_that_needs_frames_refuses_stale_ones():
    messages = episode_messages("async_rtr")
    seen = Seen(("front",), Settings(stale_ms=200))
    for topic in ("episode", "proprio", "request"):
        seen.receive(topic, told(messages, topic)[0])
    assert seen.take() is None  # it waits for pictures, but not for ever
    later = told(messages, "proprio")[0]._replace(t_ns=21 * 10**8)
    seen.receive("proprio", later)
    with pytest.raises(ValueError, match="expected a frame of front under 200 ms old, got inf ms"):
        seen.take()
    seen.receive("request", told(messages, "request")[0])
    seen.receive("frame_front", Frame(PIXELS, 0, 0, t_ns=2 * 10**9))
    assert seen.take() is not None
