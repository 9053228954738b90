"""The policy's process: which request is answered from what, when the answer counts, and what its encoder looks at."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from operators.actor import UNSENT, Done, Outputs, Work, Wrong
from operators.actors.seen import Seen
from operators.chunks.latency import latency_ms
from operators.frame import Frame
from operators.messages import Chunk, Episode, Features, Plan, Proprio, Request
from operators.policy import Observation, Policy, Prediction, Sees, camera_on_arm, numbers, state_in_frames
from operators.settings import Settings

INFERENCE, ENCODING = "inference", "encoding"  # ports of what takes long
Job = tuple[Episode, Request, Observation, Prediction]
Seeing = tuple[Episode, Proprio, Mapping[str, Frame], int, np.ndarray]


class Inferring:
    """Answers the newest request with a chunk, one inference at a time.

    Where the correction head wants features, every frame of the arm's own camera is encoded too, with the newest of the
    others, unless the encoder is busy: cameras run side by side, and frames of one moment are rare on a busy machine.

    Args:
        sees: the policy again, where its features are wired.
    """

    INPUTS: ClassVar[dict[str, type]] = {
        "frame_*": Frame,
        "proprio": Proprio,
        "request": Request,
        "executed": Plan,
        "episode": Episode,
    }

    def __init__(self, config: Settings, policy: Policy, sees: Sees | None = None):
        self._config, self._policy, self._sees = config, policy, sees
        self._seen = Seen(policy.cameras, config, camera_on_arm(policy))
        self._started: Episode | None = None  # the episode the policy was told of
        self._newest = -1  # chunk that was predicted last
        self._out = {INFERENCE: False, ENCODING: False}
        self._ready: tuple[Job, Done] | None = None  # a chunk that the emulated latency holds back
        self._encoded = -1, -1  # episode of the frames encoded last, and stamp of the state they show
        self.wake_ns: int | None = None

    def receive(self, port: str, message: Any, now_ns: int) -> Outputs:
        if isinstance(message, Done):
            self._out[port] = False
            yield from (self._predicted if port == INFERENCE else self._features)(message, now_ns)
        else:
            self._seen.receive(port, message)
        if isinstance(message, Episode):
            self._newest = -1
        if isinstance(message, Frame) and self._sees and not self._out[ENCODING]:
            yield from self._encode(self._sees)
        if not self._out[INFERENCE] and self._ready is None:
            yield from self._infer()

    def wake(self, now_ns: int) -> Outputs:
        """The latency of a chunk is over."""
        assert self._ready
        ((episode, request, observation, prediction), done), self._ready, self.wake_ns = self._ready, None, None
        if self._seen.episode is episode:
            yield answer(request, observation, prediction, self._policy.cameras, done)
        yield from self._infer()

    def _infer(self) -> Outputs:
        try:
            job = self._seen.take()
        except ValueError as error:
            yield Wrong("stale frame", str(error))
            return
        if job:
            self._out[INFERENCE] = True
            yield Work(INFERENCE, job[1].chunk_id, self._prediction(*job), job[2].proprio.t_ns)

    def _prediction(self, episode: Episode, request: Request, observation: Observation) -> Callable[[], Job]:
        def predict() -> Job:
            if episode is not self._started:
                self._policy.start(episode)
                self._started = episode
            return episode, request, observation, self._policy.predict(observation)

        return predict

    def _predicted(self, done: Done, now_ns: int) -> Outputs:
        """Hold a chunk back until the emulated latency, counted from the start of inference, is over."""
        episode, request, _, _ = done.value
        self._newest = request.chunk_id
        trace, usual = self._config.latency_trace, self._config.latency_ms
        emulated_ms = latency_ms(trace, usual, episode.seed, episode.episode, request.chunk_id)
        self._ready, self.wake_ns = (done.value, done), done.begun_ns + round(emulated_ms * 1e6)
        return self.wake(now_ns) if self.wake_ns <= now_ns else ()

    def _encode(self, sees: Sees) -> Outputs:
        seen = self._seen
        wanted = {camera: seen.frames[camera] for camera in sees.cameras if camera in seen.frames}
        if seen.episode is None or not seen.recent or len(wanted) < len(sees.cameras):
            return
        state, episode = state_in_frames(seen.recent, wanted, camera_on_arm(sees)), seen.episode
        if (episode.episode, state.t_ns) != self._encoded:
            self._encoded, self._out[ENCODING] = (episode.episode, state.t_ns), True
            after = self._newest

            def encode() -> Seeing:
                return episode, state, wanted, after, sees.features(state, wanted, after)

            yield Work(ENCODING, state.seq, encode, state.t_ns)

    def _features(self, done: Done, now_ns: int) -> Outputs:
        episode, state, frames, after, values = done.value
        if self._seen.episode is episode:
            yield sight(state, frames, self._policy.cameras, after, values)


def answer(
    request: Request, observation: Observation, prediction: Prediction, cameras: Sequence[str], done: Done
) -> Chunk:
    """The message that tells a prediction, and what it is based on."""
    state = observation.proprio
    about = prediction.space, prediction.rate_hz, prediction.codec, state.tcp_pose, prediction.seed
    seen = *numbers(state, observation.frames, cameras), state.t_ns, done.begun_ns, observation.plan_number
    aligned = prediction.shift_ticks is not None, prediction.shift_ticks or 0.0
    return Chunk(*UNSENT, request.chunk_id, state.tick, *about, done.took_ms, prediction.values, *seen, *aligned)


def sight(
    state: Proprio, frames: Mapping[str, Frame], cameras: Sequence[str], after: int, values: np.ndarray
) -> Features:
    """The message that tells what an encoder sees, and in what."""
    observed, names, shown = numbers(state, frames, cameras)
    return Features(*UNSENT, state.tick, state.tcp_pose, values.astype(float), observed, after, names, shown)
