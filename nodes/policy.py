"""Answer requests with chunks. One worker thread infers while the main thread keeps the newest of every input."""

import sys
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from dora import Node

from models.registry import make_policy
from nodes._clock import POLICY, realtime
from nodes._encoding import Encoding
from nodes._wire import Wire, settings
from operators.frame import Frame
from operators.latency import latency_ms
from operators.messages import Episode, Plan, Proprio, Request, Turn
from operators.policy import Observation, Policy, check_features, check_guide, observe, state_in_pictures
from operators.settings import Settings

FRESH_NS = 2_000_000_000  # a request waits so long for pictures that are missing or too old
RECENT = 32  # states kept to find the one a picture shows
INPUTS = {
    "frame_front": Frame,
    "frame_wrist": Frame,
    "proprio": Proprio,
    "request": Request,
    "executed": Plan,
    "episode": Episode,
    "turn": Turn,
}


def main() -> None:
    config = settings()
    try:
        policy = make_policy(config)
    except ValueError as error:
        sys.exit(str(error))
    if policy.cameras and "simulation" in sys.modules:
        sys.exit(f"expected POLICY={config.policy} to know the task from pictures alone, but it loads the simulation")
    run(Node(), config, policy)


def run(node: Node, config: Settings, policy: Policy) -> None:
    wire = Wire(node, "policy", INPUTS, config.lockstep)
    encodes = "features" in wire.outputs
    try:
        if "executed" in wire.inputs:
            check_guide(policy, config.policy, config.guide)
        if encodes:
            check_features(policy, config.policy)
    except ValueError as error:
        sys.exit(str(error))
    encoding = Encoding(wire, policy) if encodes else None
    realtime(POLICY)
    seen, inference = Seen(policy.cameras, config), Inference(wire, config, policy)
    with ThreadPoolExecutor(max_workers=1) as worker:
        running: Future | None = None
        for source, message in wire.messages():
            seen.receive(source, message)
            if encoding and isinstance(message, Frame):
                encoding.look(seen.recent, seen.frames)
            if running and (running.done() or (config.lockstep and seen.request)):
                running.result()  # an error in the worker ends the process
                running = None
            job = None if running else wire.attempt("stale frame", seen.take, seen.now_ns(config.clock))
            if job:
                running = worker.submit(inference.run, *job)
        inference.stopping.set()
        if encoding:
            encoding.close()


class Seen:
    """The newest of every input; of requests that wait for the worker, only the newest."""

    def __init__(self, cameras: tuple[str, ...], config: Settings):
        self._cameras, self._stale_ms, self._guide = cameras, config.stale_ms, config.guide
        self._patience_ns = FRESH_NS if config.clock == "own" else 0  # the time of a recording may stand still
        self._clear(None)

    def receive(self, source: str, message: object) -> None:
        if isinstance(message, Episode):
            self._clear(message if message.phase == "start" else None)
        elif isinstance(message, Proprio):
            self.recent.append(message)
        elif isinstance(message, Request):
            self.request, self._since_ns = message, None
        elif isinstance(message, Plan):
            self.plan = message
        elif isinstance(message, Frame):
            self.frames[source.removeprefix("frame_")] = message

    def now_ns(self, clock: str) -> int:
        """The time against which frames are old: in a recording that of the newest measurement."""
        return self.recent[-1].t_ns if clock == "rig" and self.recent else time.monotonic_ns()

    def take(self, now_ns: int) -> tuple[Episode, Request, Observation] | None:
        """The job for the worker if there is one; its request is then answered.

        It waits a while for pictures that are not there yet or too old: refused, it would be asked again seconds later.

        Raises:
            ValueError: a frame it needs is missing or too old; the request is refused.
        """
        if self.episode is None or self.request is None or not self.recent:
            return None
        self._since_ns = now_ns if self._since_ns is None else self._since_ns
        old = next((camera for camera in self._cameras if self._age_ms(camera, now_ns) > self._stale_ms), None)
        if old and now_ns - self._since_ns < self._patience_ns:
            return None
        request, self.request = self.request, None
        if old:
            age_ms = self._age_ms(old, now_ns)
            raise ValueError(f"expected a frame of {old} under {self._stale_ms:.0f} ms old, got {age_ms:.0f} ms")
        state = state_in_pictures(self.recent, {camera: self.frames[camera] for camera in self._cameras})
        return self.episode, request, observe(request, state, dict(self.frames), self.plan, self._guide)

    def _age_ms(self, camera: str, now_ns: int) -> float:
        return (now_ns - self.frames[camera].t_ns) / 1e6 if camera in self.frames else float("inf")

    def _clear(self, episode: Episode | None) -> None:
        self.episode, self.request, self.plan = episode, None, None
        self._since_ns: int | None = None  # when the request was first looked at
        self.recent: deque[Proprio] = deque(maxlen=RECENT)
        self.frames: dict[str, Frame] = {}


class Inference:
    """What the worker does for one request: predict, wait out the emulated latency, send."""

    def __init__(self, wire: Wire, config: Settings, policy: Policy):
        self._wire, self._config, self._policy = wire, config, policy
        self._episode = -1
        self.stopping = Event()

    def run(self, episode: Episode, request: Request, observation: Observation) -> None:
        begun = time.monotonic_ns()
        if episode.episode != self._episode:
            self._policy.start(episode)
            self._episode = episode.episode
        prediction = self._policy.predict(observation)
        inference_ms = (time.monotonic_ns() - begun) / 1e6  # the emulated latency is no inference
        trace, usual = self._config.latency_trace, self._config.latency_ms
        latency = latency_ms(trace, usual, episode.seed, episode.episode, request.chunk_id)
        self.stopping.wait(max(0.0, latency / 1e3 - (time.monotonic_ns() - request.t_ns) / 1e9))
        if self.stopping.is_set() or self._wire.episode != episode.episode:
            return
        tick, pose = observation.proprio.tick, observation.proprio.tcp_pose
        about = request.chunk_id, tick, prediction.space, prediction.rate_hz, prediction.codec, pose, prediction.seed
        seen = observation.numbers(self._policy.cameras)
        self._wire.send("chunk", *about, inference_ms, prediction.values, *seen)


if __name__ == "__main__":
    main()
