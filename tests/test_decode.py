"""From a policy's chunk to rows to play: spaces, rates, refusals, and the edge `executed`."""

from collections.abc import Iterator

import numpy as np
import pytest

from operators.actors.decoding import Decoding
from operators.chunks.codec import DctCodec, reconstruct
from operators.chunks.decode import UnfitChunk, decode, interpolate
from operators.chunks.refine import HANDOVER, LateChunk, refine
from operators.edge import Edge
from operators.messages import ActionChunk, Chunk, Episode, Plan
from operators.motion.rotation import action_from_pose, angle_between, orthonormal_6d, to_relative
from operators.motion.rows import Rows, rows
from operators.schema import pack, unpack
from operators.settings import Settings
from tests.acting import first

CODEC = DctCodec()
REFERENCE = np.array([0.4, -0.1, 0.2, 2.2, 1.8, 0.1])
TOLD = -1, 0, -1, 0, 0  # what a plan says of requests and answers


def absolute(n: int = 48, rate_hz: int = 60, shift: float = 0.0) -> np.ndarray:
    """A chunk (n, 10) that moves and turns smoothly away from the reference pose."""
    time = np.arange(n)[:, None] / rate_hz
    swing = np.sin(2 * time) * [0.05, 0.02, -0.01, 0.3, 0.1, -0.2] + [shift, 0, 0, 0, 0, 0]
    return action_from_pose(REFERENCE + swing, 0.5)


def chunk(values: np.ndarray, tick: int = 30, space: str = "action", rate_hz: float = 60, codec: str = "") -> Chunk:
    return Chunk(
        4, 0, 0, 4, tick, space, rate_hz, codec, REFERENCE, 0, 9.5, np.asarray(values, np.float32), 6, [], np.zeros(0)
    )


RELATIVE = to_relative(absolute(), REFERENCE)


def test_an_action_chunk_becomes_absolute_from_its_observation_on():
    found = decode(chunk(RELATIVE), CODEC)
    assert found.tick == 30 and found.action.dtype == np.float32
    assert np.allclose(found.action, absolute(), atol=1e-6)


def test_a_latent_is_decoded_by_its_own_codec():
    found = decode(chunk(CODEC.encode(RELATIVE), space="latent", codec=CODEC.name), CODEC)
    assert np.allclose(found.action[:, :3], absolute()[:, :3], atol=1e-4)
    assert angle_between(found.action, absolute()).max() < 2e-3
    assert np.allclose(orthonormal_6d(found.action[:, 3:9]), found.action[:, 3:9], atol=1e-6)


def test_a_latent_of_another_codec_is_refused_and_both_are_named():
    latent = chunk(CODEC.encode(RELATIVE), space="latent", codec="vae:12345678")
    with pytest.raises(UnfitChunk, match=f"expected a latent of codec {CODEC.name}, got one of vae:12345678"):
        decode(latent, CODEC)
    assert len(decode(chunk(RELATIVE, codec="vae:12345678"), CODEC)) == 48  # no latent: the codec does not matter


@pytest.mark.parametrize("space", ["", "Latent", "joint"])
def test_an_unknown_space_is_refused(space):
    with pytest.raises(UnfitChunk, match=f"space latent or action, got '{space}'"):
        decode(chunk(RELATIVE, space=space), CODEC)


@pytest.mark.parametrize("rate_hz", [0.0, -15.0, 0.5, 13.0, 59.0, 61.0, 120.0, float("nan"), float("inf")])
def test_a_rate_that_does_not_divide_60_is_refused(rate_hz):
    with pytest.raises(UnfitChunk, match="rate that divides 60 Hz, got 48"):
        decode(chunk(RELATIVE, rate_hz=rate_hz), CODEC)


def test_an_empty_chunk_and_a_latent_of_another_length_are_refused():
    with pytest.raises(UnfitChunk, match="got 0 at"):
        decode(chunk(np.zeros((0, 10))), CODEC)
    with pytest.raises(ValueError):
        decode(chunk(np.zeros((11, 10)), space="latent", codec=CODEC.name), CODEC)


# --- Lower rates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate_hz", "n"), [(15, 12), (30, 24), (20, 16), (7.5, 6), (15, 1)])
def test_interpolation_hits_the_knots_and_rotations_are_exact(rate_hz, n):
    knots = to_relative(absolute(n, rate_hz), REFERENCE)
    factor = round(60 / rate_hz)
    dense = interpolate(knots, rate_hz)
    assert dense.shape == (n * factor, 10)
    assert np.allclose(dense[::factor], knots, atol=1e-9)
    assert np.allclose(dense[-factor:], knots[-1], atol=1e-9)  # the last one is held
    assert np.allclose(orthonormal_6d(dense[:, 3:9]), dense[:, 3:9], atol=1e-9)


def test_a_parabola_is_interpolated_exactly_inside_and_smoothly():
    """Catmull-Rom is exact to second order where both neighbours are there."""
    knots = np.zeros((12, 10))
    knots[:, 3] = knots[:, 7] = 1
    knots[:, 0] = 1e-3 * np.arange(12.0) ** 2
    dense = interpolate(knots, 15)
    assert np.allclose(dense[4:41, 0], 1e-3 * (np.arange(4, 41) / 4) ** 2, atol=1e-12)
    assert (np.diff(dense[:45, 0]) > 0).all()  # no stop and go


def test_constant_velocity_stays_constant_from_the_first_row_to_the_last_knot():
    knots = np.zeros((12, 10))
    knots[:, 3] = knots[:, 7] = 1
    knots[:, 1] = np.arange(12.0)
    assert np.allclose(np.diff(interpolate(knots, 15)[:45, 1]), 0.25, atol=1e-12)


def test_60_hz_is_passed_on_as_it_is():
    assert interpolate(RELATIVE, 60) is RELATIVE


def test_a_15_hz_chunk_is_refined_like_any_other():
    slow = chunk(to_relative(absolute(12, 15), REFERENCE), rate_hz=15)
    assert np.allclose(decode(slow, CODEC).action[:45, :3], absolute()[:45, :3], atol=2e-4)
    decoding = Decoding(Settings(), lambda _: CODEC)
    first(decoding, plan_message(30, 38))
    assert len(decoding.rows(slow)[0]) == 40


# --- What is not a number or no rotation --------------------------------------------------------------------------


@pytest.mark.parametrize("space", ["action", "latent"])
@pytest.mark.parametrize("column", [0, 5, 9])
def test_a_nan_never_passes(space, column):
    values = np.array(RELATIVE if space == "action" else CODEC.encode(RELATIVE), np.float32)
    values[7, column] = np.nan
    bad = chunk(values, space=space, codec=CODEC.name)
    with pytest.raises(ValueError):  # should it ever get past the edge
        decode(bad, CODEC)
    edge = Edge("decoder", Decoding.INPUTS, episode=0)
    assert edge.read("chunk", pack(bad)) is None and edge.faults[0][0] == "chunk not finite"


@pytest.mark.parametrize("six", [[0] * 6, [1, 0, 0, 0, 0, 0], [1, 0, 0, 2, 0, 0]], ids=str)
@pytest.mark.parametrize("executed", [False, True])
def test_rotations_that_are_none_are_refused_and_not_smoothed_over(six, executed):
    values = RELATIVE.copy()
    values[20:30, 3:9] = six
    decoding = Decoding(Settings(), lambda _: CODEC)
    if executed:
        first(decoding, plan_message(30, 38))
    with pytest.raises(UnfitChunk, match="two independent columns"):
        first(decoding, chunk(values))


# --- With and without the edge `executed` -------------------------------------------------------------------------


def plan_message(start: int, tick: int, left: int = 40) -> Plan:
    """Rows of the old plan, 3 mm beside the chunk at tick 30, executed from `start` to before `tick`."""
    old = rows(30, absolute(60, shift=0.003))
    executed, planned = old.between(start, tick), old.between(tick, tick + left)
    owner = np.zeros(len(executed) + len(planned), np.int64)
    return Plan(0, 0, 0, 0, tick, "playing", executed.action, planned.action, owner, *TOLD)


def clock(*times: int):
    ticking: Iterator[int] = iter(times)
    return lambda: next(ticking)


def test_without_executed_rows_it_only_decodes():
    decoding = Decoding(Settings(codec="dct"), lambda name: {"dct": CODEC}[name], clock(1_000_000, 3_500_000))
    found = first(decoding, chunk(RELATIVE))
    assert (found.chunk_id, found.t0, found.tick, found.refine_ms) == (4, 30, 30, 2.5)
    assert np.array_equal(found.action, decode(chunk(RELATIVE), CODEC).action)
    assert unpack(ActionChunk, pack(found)).chunk_id == 4


@pytest.mark.parametrize("method", ["rtr", "rtr_paper", "rtr_released"])
def test_with_executed_rows_it_refines_against_the_newest_plan(method):
    decoding = Decoding(Settings(refine=method, margin=5), lambda _: CODEC)
    for message in (plan_message(30, 34), plan_message(30, 38)):
        assert first(decoding, message) is None
    found = first(decoding, chunk(RELATIVE))
    message = plan_message(30, 38)
    expected = refine(
        method,
        decode(chunk(RELATIVE), CODEC),
        Rows(30, message.executed),
        Rows(38, message.planned),
        lambda splice: reconstruct(splice, REFERENCE, CODEC),
        margin=5,
    )
    assert found is not None and (found.t0, found.tick) == (30, 38) and len(found.action) == 40
    assert np.array_equal(found.action, expected.action)


def test_the_method_and_the_margin_of_the_settings_are_used():
    def first_row(**settings: object) -> float:
        decoding = Decoding(Settings(**settings), lambda _: CODEC)  # pyright: ignore[reportArgumentType]
        first(decoding, plan_message(30, 38))
        return float(decoding.rows(chunk(RELATIVE))[0].action[0, 0])

    old, new = absolute(60, shift=0.003)[8, 0], absolute()[8, 0]
    paper, rtr, wide = first_row(refine="rtr_paper"), first_row(margin=3), first_row(margin=20)
    assert new < paper < old and abs(rtr - old) < abs(paper - old) and abs(wide - old) < 1e-4
    assert HANDOVER == 2 and first_row(margin=0) != rtr != first_row(margin=4)


def test_before_the_first_chunk_the_plan_is_empty_and_it_only_decodes():
    decoding = Decoding(Settings(), lambda _: CODEC)
    none = np.zeros((0, 10), np.float32)
    first(decoding, Plan(0, 0, 0, 0, 0, "holding", none, none, np.zeros(0, np.int64), *TOLD))
    found = first(decoding, chunk(RELATIVE, tick=0))
    assert found is not None and found.tick == 0
    assert np.array_equal(found.action, decode(chunk(RELATIVE), CODEC).action)


def test_a_chunk_that_comes_too_late_is_refused():
    decoding = Decoding(Settings(), lambda _: CODEC)
    first(decoding, plan_message(30, 78, left=5))
    with pytest.raises(LateChunk):
        first(decoding, chunk(RELATIVE))


def test_an_episode_forgets_the_plan():
    decoding = Decoding(Settings(), lambda _: CODEC)
    first(decoding, plan_message(30, 38))
    first(decoding, Episode(0, 1, 0, "start", 1, "a task", "random", "", "", False))
    found = first(decoding, chunk(RELATIVE))
    assert found is not None and found.tick == 30


@pytest.mark.parametrize(("refine_codec", "used"), [("", "dct"), ("pca", "pca")])
def test_refinement_may_use_another_codec_than_latents_do(refine_codec, used):
    names: list[str] = []

    class Named(DctCodec):
        def __init__(self, label: str):
            super().__init__()
            self.label = label

        def encode(self, relative: np.ndarray) -> np.ndarray:
            names.append(self.label)
            return super().encode(relative)

    decoding = Decoding(Settings(codec="dct", refine_codec=refine_codec), Named)
    first(decoding, plan_message(30, 38))
    assert first(decoding, chunk(RELATIVE)) is not None and names == [used]
