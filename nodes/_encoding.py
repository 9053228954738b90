"""Features of the newest frames, beside the inference of chunks: for the correction head in the executor."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from nodes._wire import Wire
from operators.frame import Frame
from operators.messages import Proprio
from operators.policy import Sees, camera_on_arm, state_in_frames


class Encoding:
    """Encodes each frame of the arm's own camera with the newest of the others; what comes while it is busy is passed
    over. Cameras run side by side and skip what they have no time for: frames of one moment are rare on a busy machine.
    """

    def __init__(self, wire: Wire, policy: Sees):
        self._wire, self._policy = wire, policy
        self._worker = ThreadPoolExecutor(max_workers=1)
        self._running: Future | None = None
        self._newest = -1, -1  # episode of the frames encoded last, and stamp of the state they show

    def look(self, recent: Sequence[Proprio], frames: Mapping[str, Frame]) -> None:
        """Encode these frames unless they are known, one is missing, or the worker is busy."""
        if self._running and not self._running.done():
            return
        if self._running:
            self._running.result()  # an error in the worker ends the process
        wanted = {camera: frames[camera] for camera in self._policy.cameras if camera in frames}
        if not recent or len(wanted) < len(self._policy.cameras):
            return
        state = state_in_frames(recent, wanted, camera_on_arm(self._policy))
        if (self._wire.episode, state.t_ns) != self._newest:
            self._newest = self._wire.episode, state.t_ns
            self._running = self._worker.submit(self._run, state, wanted)

    def close(self) -> None:
        self._worker.shutdown()

    def _run(self, state: Proprio, frames: Mapping[str, Frame]) -> None:
        values = self._policy.features(state, frames)
        if state.episode == self._wire.episode:
            self._wire.send("features", state.tick, state.tcp_pose, values.astype(float))
