"""Answer requests with chunks. One worker thread infers while the main thread keeps the newest of every input."""

import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event

from dora import Node

from models.registry import make_policy
from nodes._clock import POLICY, realtime
from nodes._encoding import Encoding
from nodes._wire import Wire, settings
from operators.actors.seen import Seen
from operators.chunks.latency import latency_ms
from operators.frame import Frame
from operators.messages import Episode, Plan, Proprio, Request
from operators.policy import Observation, Policy, camera_on_arm, check_features, check_guide
from operators.settings import Settings

INPUTS = {
    "frame_*": Frame,
    "proprio": Proprio,
    "request": Request,
    "executed": Plan,
    "episode": Episode,
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
    wire = Wire(node, "policy", INPUTS)
    try:
        if "executed" in wire.inputs:
            check_guide(policy, config.policy, config.guide)
        sees = check_features(policy, config.policy) if "features" in wire.outputs else None
    except ValueError as error:
        sys.exit(str(error))
    encoding = Encoding(wire, sees) if sees else None
    realtime(POLICY)
    seen, inference = Seen(policy.cameras, config, camera_on_arm(policy)), Inference(wire, config, policy)
    with ThreadPoolExecutor(max_workers=1) as worker:
        running: Future | None = None
        try:
            for source, message in wire.messages():
                seen.receive(source, message)
                if encoding and isinstance(message, Frame):
                    encoding.look(seen.recent, seen.frames)
                if running and running.done():
                    running.result()  # an error in the worker ends the process
                    running = None
                job = None if running else wire.attempt("stale frame", seen.take)
                if job:
                    running = worker.submit(inference.run, *job)
        finally:
            inference.stopping.set()  # or leaving would wait for the emulated latency
            if encoding:
                encoding.close()


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
        self.stopping.wait(max(0.0, latency / 1e3 - (time.monotonic_ns() - begun) / 1e9))
        if self.stopping.is_set() or self._wire.episode != episode.episode:
            return
        tick, pose = observation.proprio.tick, observation.proprio.tcp_pose
        about = request.chunk_id, tick, prediction.space, prediction.rate_hz, prediction.codec, pose, prediction.seed
        seen = *observation.numbers(self._policy.cameras), observation.proprio.t_ns, begun
        aligned = prediction.shift_ticks is not None, prediction.shift_ticks or 0.0
        self._wire.send("chunk", *about, inference_ms, prediction.values, *seen, *aligned)


if __name__ == "__main__":
    main()
