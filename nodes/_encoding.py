"""Features of the newest pictures, beside the inference of chunks: for the correction head in the executor."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from nodes._wire import Wire
from operators.frame import Frame
from operators.messages import Proprio
from operators.policy import Policy, state_in_pictures


class Encoding:
    """Encodes a pair of pictures of one tick at a time; what comes while it is busy is passed over."""

    def __init__(self, wire: Wire, policy: Policy):
        self._wire, self._policy = wire, policy
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._running: Future | None = None
        self._newest = -1, -1  # episode and tick of the pictures encoded last

    def look(self, recent: Sequence[Proprio], frames: Mapping[str, Frame]) -> None:
        """Encode these pictures unless they are known, not of one tick, or the worker is busy."""
        if self._running and not self._running.done():
            return
        if self._running:
            self._running.result()  # an error in the worker ends the process
        wanted = {camera: frames[camera] for camera in self._policy.cameras if camera in frames}
        ticks = {frame.tick for frame in wanted.values()}
        if not recent or len(wanted) < len(self._policy.cameras) or len(ticks) != 1:
            return
        newest = self._wire.episode, ticks.pop()
        if newest != self._newest:
            self._newest = newest
            self._running = self._worker.submit(self._run, state_in_pictures(recent, wanted), wanted)

    def close(self) -> None:
        self._worker.shutdown()

    def _run(self, state: Proprio, frames: Mapping[str, Frame]) -> None:
        values = self._policy.features(state, frames)  # pyright: ignore[reportAttributeAccessIssue]
        if state.episode == self._wire.episode:
            self._wire.send("features", state.tick, state.tcp_pose, values.astype(float))
