"""Pictures that are asked for: drawn at once, and waited for by the policy."""

import numpy as np
import pytest

from operators.actors.seen import FRESH_NS, YOUNGER_NS, Seen
from operators.frame import Frame
from operators.messages import Request, Scene
from operators.settings import Settings
from simulation.shutter import EVERY, Shutter
from tests.replay import episode_messages, told

PERIOD_NS = 1_000_000_000 // 60
PIXELS = np.zeros((4, 4, 3), np.uint8)
NONE = np.zeros((0, 2), np.float32)


def scene(tick: int) -> Scene:
    return Scene(tick, 0, tick * PERIOD_NS, tick, np.zeros(7), np.zeros(6), NONE, NONE, np.zeros(0, np.int64))


def request(tick: int, chunk_id: int = 0) -> Request:
    return Request(chunk_id, 0, 0, chunk_id, tick, 8, 8, False, -1, -1)


def drawn(shutter: Shutter, *messages: Scene | Request) -> list[int]:
    found = [shutter.receive(message) for message in messages]
    return [scene.tick for scene in found if scene is not None]


def test_without_requests_every_second_scene_is_drawn():
    assert drawn(Shutter(), *(scene(tick) for tick in range(9))) == [0, 2, 4, 6, 8] and EVERY == 2


def test_the_first_scene_that_answers_a_request_is_drawn_and_the_others_follow_from_there():
    shutter = Shutter()
    assert drawn(shutter, scene(0), scene(1), request(4), scene(2), scene(3), scene(4), scene(5), scene(6)) == [
        0,
        2,
        3,
        5,
    ]


def test_a_scene_that_is_here_already_answers_at_once_but_is_drawn_once():
    shutter = Shutter()
    assert drawn(shutter, scene(0), scene(1), request(2)) == [0, 1]
    assert drawn(shutter, request(2, 1), scene(2)) == [] and drawn(shutter, scene(3)) == [3]


def test_a_robot_that_stands_is_seen_as_it_stands():
    shutter = Shutter()
    assert drawn(shutter, scene(0), request(0), scene(0)._replace(t_ns=1), scene(0)._replace(t_ns=2)) == [0, 0]
    shutter.restart()
    assert drawn(shutter, request(1)) == [] and drawn(shutter, scene(0)) == [0]


@pytest.fixture
def seen() -> Seen:
    made = Seen(("front", "wrist"), Settings(), "wrist")
    made.receive("episode", told(episode_messages("async_rtr"), "episode")[0])
    return made


def state(seen: Seen, tick: int, t_ns: int | None = None) -> None:
    proprio = told(episode_messages("async_rtr"), "proprio")[0]
    seen.receive("proprio", proprio._replace(tick=tick, t_ns=tick * PERIOD_NS if t_ns is None else t_ns))


def frames(seen: Seen, tick: int, cameras: tuple[str, ...] = ("front", "wrist")) -> None:
    for camera in cameras:
        seen.receive(f"frame_{camera}", Frame(PIXELS, tick, 0, tick * PERIOD_NS))


def test_a_request_is_answered_from_the_picture_that_is_about_to_come(seen):
    state(seen, 9)
    frames(seen, 8)
    seen.receive("request", request(10))
    assert seen.take() is None
    frames(seen, 9, ("front",))
    assert seen.take() is None  # of every camera
    frames(seen, 9, ("wrist",))
    _, _, observation = seen.take()
    assert observation.proprio.tick == 9 and observation.frames["wrist"].t_ns == 9 * PERIOD_NS


def test_it_does_not_wait_for_ever_for_a_younger_picture(seen):
    state(seen, 9)
    frames(seen, 8)
    seen.receive("request", request(10))
    assert seen.take() is None
    state(seen, 10, 9 * PERIOD_NS + YOUNGER_NS - 1)
    assert seen.take() is None
    state(seen, 10, 9 * PERIOD_NS + YOUNGER_NS)
    assert seen.take() is not None


def test_first_pictures_are_waited_for_in_the_time_of_the_rig(seen):
    state(seen, 0, 5)
    seen.receive("request", request(0))
    assert seen.take() is None
    state(seen, 0, 5 + FRESH_NS - 1)
    assert seen.take() is None  # however long that takes on this machine
    frames(seen, 0)
    seen.receive("frame_front", Frame(PIXELS, 1, 0, FRESH_NS))
    seen.receive("frame_wrist", Frame(PIXELS, 1, 0, FRESH_NS))
    assert seen.take() is not None
