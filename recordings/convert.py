"""Recordings to data sets and back. Pictures stream from one file to the other."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from operators.frame import frame_metadata
from operators.measure.demonstration import Demonstration
from operators.messages import HORIZON, HZ, Command
from operators.motion.rotation import action_from_pose
from operators.motion.rows import Rows
from operators.schema import pack
from recordings.dataset.features import LAGS, features
from recordings.dataset.play import demonstrations as played
from recordings.dataset.reader import Columns, Dataset, Feature, feature
from recordings.dataset.writer import Prepared, prepare
from recordings.dataset.writer import Writer as DatasetWriter
from recordings.drec.demonstrations import demonstrations
from recordings.drec.file import Writer, encode, pack_frame

PAUSE_NS = 1_000_000_000  # between two episodes


def to_dataset(path: Path, root: Path, fps: int, tell: Callable[[str], None] = print) -> int:
    """Append a recording's episodes to a data set, new or begun; how many.

    A row is taken every 60 / fps cycles from the first one on for which every camera has a picture: the newest
    measurement, the newest pictures of that moment, and what was commanded then and in the 47 ticks after.

    Raises:
        ValueError: nothing can be made of it, or a rate that is none.
        Damage, DamagedDataset: recording or data set cannot be used.
    """
    if fps < 1 or HZ % fps:
        raise ValueError(f"--fps: expected a divisor of {HZ} such as 10, 15, 20 or 30, got {fps}")
    episodes = [found for found in demonstrations(path) if len(found.commanded)]
    if not episodes:
        raise ValueError(f"{path}: expected an episode with proprio and plan or command, there is none")
    sizes = _sizes(episodes[0])
    wanted = {**features(fps, sizes), "observation.gripper": feature("float32", 1)}
    done = 0
    with DatasetWriter(root, fps, wanted, "ur5e") as writer:
        for found in episodes:
            for note in found.notes:
                tell(f"{path}, episode {found.episode.episode}: {note}")
            if set(found.seen) != set(sizes):
                tell(f"{path}, episode {found.episode.episode}: left out, its cameras are {sorted(found.seen)}")
                continue
            writer.append(_prepared(found, wanted, fps, writer.staging / str(found.episode.episode)))
            done += 1
    return done


def from_dataset(dataset: Dataset, to: Path, episodes: set[int] | None = None, compress: bool = True) -> int:
    """Write a data set's episodes as a recording for playback; how many messages.

    Raises:
        ValueError: an episode that is not there.
        DamagedDataset: the data set lacks a feature, or is damaged.
    """
    unknown = sorted((episodes or set()) - set(range(len(dataset.episodes))))
    if unknown:
        raise ValueError(f"expected episodes 0 to {len(dataset.episodes) - 1}, got {unknown[0]}")
    writer, offset = Writer(to, "nodes: []"), 0
    try:
        for found in played(dataset, episodes):
            offset = _write(writer, found, offset, compress) + PAUSE_NS
    finally:
        writer.close()
    return writer.count


def _sizes(found: Demonstration) -> dict[str, tuple[int, int]]:
    """Height and width of each camera's first picture."""
    sizes: dict[str, tuple[int, int]] = {}
    for camera, _, frame in found.frames():
        sizes.setdefault(camera, (frame.pixels.shape[0], frame.pixels.shape[1]))
        if len(sizes) == len(found.seen):
            break
    return dict(sorted(sizes.items()))


def _prepared(found: Demonstration, wanted: dict[str, Feature], fps: int, staging: Path) -> Prepared:
    at = _row_places(found, fps)
    shown = {
        camera: np.searchsorted(stamped, found.measured.t_ns[at], side="right") - 1
        for camera, stamped in found.seen.items()
    }

    def pictures() -> Iterator[tuple[str, np.ndarray]]:
        for camera, number, frame in found.frames():
            for _ in range(np.searchsorted(shown[camera], number), np.searchsorted(shown[camera], number + 1)):
                yield camera, frame.pixels

    start = found.episode
    about = {"seed": start.seed, "task": start.task, "variant": start.variant}
    return prepare(staging, wanted, fps, _columns(found, at), pictures(), start.text or start.task, about)


def _row_places(found: Demonstration, fps: int) -> np.ndarray:
    """Indices of the measurements that become rows."""
    first = max((stamped[0] for stamped in found.seen.values()), default=found.measured.t_ns[0])
    begin = int(np.searchsorted(found.measured.t_ns, first))
    cycle = found.measured.cycle
    if begin == len(cycle):
        raise ValueError(f"episode {found.episode.episode}: expected measurements after the first pictures, got none")
    wanted = np.arange(cycle[begin], cycle[-1] + 1, HZ // fps)
    return np.searchsorted(cycle, wanted, side="right") - 1


def _columns(found: Demonstration, at: np.ndarray) -> Columns:
    measured, commanded = found.measured, found.commanded
    states = action_from_pose(measured.tcp_pose)[:, :9]
    past = np.stack([states[np.maximum(at - lag, 0)] for lag in LAGS], 1)
    chunk = _at(commanded, measured.tick[at][:, None] + np.arange(HORIZON))
    return {
        "observation.state": states[at],
        "observation.past": past,
        "observation.q": measured.q[at].astype(np.float32),
        "observation.velocity": measured.tcp_velocity[at].astype(np.float32),
        "observation.wrench": measured.wrench[at].astype(np.float32),
        "observation.gripper": measured.gripper[at].astype(np.float32),
        "action": chunk[:, 0],
        "action_chunk": chunk,
        "tick": measured.tick[at],
    }


def _at(rows: Rows, tick: np.ndarray) -> np.ndarray:
    """Rows at ticks of any shape; the first and last are held beyond the ends."""
    return rows.action[np.clip(tick - rows.tick, 0, len(rows) - 1)]


def _write(writer: Writer, found: Demonstration, begin: int, compress: bool) -> int:
    """One episode's messages in the order of their time; when the last was [ns]."""

    def send(node: str, output: str, t_ns: int, array: pa.Array, about: dict | None = None) -> None:
        writer.write(node, output, begin + t_ns, encode(node, output, array, about or {}))

    send("evaluator", "episode", 0, pack(found.episode))
    pictures = found.frames()
    picture = next(pictures, None)
    t_ns = 0
    for at in range(len(found.measured)):
        proprio = found.measured.message(at, found.episode.episode)
        t_ns = proprio.t_ns
        while picture and picture[2].t_ns <= t_ns:
            camera, _, frame = picture
            height, width, _ = frame.pixels.shape
            about = frame_metadata(width, height, frame.seq, frame.episode, frame.t_ns)
            content = pa.array(frame.pixels.reshape(-1)), about
            send(f"camera_{camera}", f"frame_{camera}", t_ns, *(pack_frame(*content) if compress else content))
            picture = next(pictures, None)
        send("robot", "proprio", t_ns, pack(proprio))
        action = _at(found.commanded, np.array(proprio.tick))
        command = Command(at, proprio.episode, t_ns, proprio.cycle, proprio.tick, "playing", action, action, 0, -1)
        send("executor", "command", t_ns, pack(command))
    return begin + t_ns
