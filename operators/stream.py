"""The same chunks through every join and refinement: what differs then is the method alone, not where it led the robot.

In closed loop a method changes what is observed next, so after the first switch no two methods see the same chunks.
Here chunks are fixed; only who plays which row is not.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from operators.codec import Codec, reconstruct
from operators.episode_log import EpisodeLog, PlanTime
from operators.join import Join
from operators.refine import LateChunk, refine
from operators.rows import Rows, concat


class Arrival(NamedTuple):
    """One chunk of a stream."""

    tick: int  # at which it is there: the first it may own
    chunk: Rows  # absolute rows from its observation on, before any refinement
    reference_pose: np.ndarray  # (6,) to which codecs relate it


def stream_of(log: EpisodeLog) -> list[Arrival]:
    """The chunks of an episode in the order in which they arrived."""
    poses = {int(tick): pose for tick, pose in zip(log.proprio.tick, log.proprio.tcp_pose, strict=True)}
    arrived = [chunk for chunk in log.chunks if chunk.arrival_tick is not None and chunk.raw is not None]
    arrived.sort(key=lambda chunk: (chunk.arrival_tick, chunk.chunk_id))
    return [Arrival(chunk.arrival_tick, chunk.raw, poses[chunk.t0]) for chunk in arrived]  # pyright: ignore[reportArgumentType]


def delayed(stream: Sequence[Arrival], delay: int) -> list[Arrival]:
    """The same chunks, each `delay` ticks after its observation; the first, for which the robot waits, as it was."""
    return [stream[0], *(arrival._replace(tick=arrival.chunk.tick + delay) for arrival in stream[1:])]


def play(stream: Sequence[Arrival], join: Join, method: str | None, codec: Codec, margin: int) -> PlanTime:
    """What would be commanded, one row a tick, as far as the last chunk's takeover and rows reach.

    Args:
        method: one of operators.refine.METHODS, or None: chunks are joined as they are.
        codec: of the refinement.
        margin: of the refinement.
    """
    rows = stream[0].chunk.since(stream[0].tick)
    first, owner, live = rows.tick, np.zeros(len(rows), np.int64), [rows]
    for number, arrival in enumerate(stream[1:], 1):
        start = max(min(arrival.tick, rows.end), arrival.chunk.tick)
        chunk = arrival.chunk
        if chunk.end <= start or start > rows.end:
            continue
        if method:
            through = _through(codec, arrival.reference_pose)
            try:
                past, ahead = rows.between(chunk.tick, start), rows.since(start)
                chunk = refine(method, chunk, past, ahead, through, margin)
            except LateChunk:
                continue
        live = [other for other in live if other.tick <= start < other.end]
        rows = concat(rows.between(first, start), join(rows, start, chunk, live))
        owner = np.append(owner[: start - first], np.full(rows.end - start, number))
        live.append(chunk)
    return PlanTime(first, rows.action, owner)


def _through(codec: Codec, reference_pose: np.ndarray):
    return lambda splice: reconstruct(splice, reference_pose, codec)
