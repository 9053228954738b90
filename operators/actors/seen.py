"""What a policy's process has heard, and when that is enough to answer a request."""

from collections import deque

from operators.frame import Frame
from operators.messages import Episode, Plan, Proprio, Request
from operators.policy import Observation, observe, state_in_frames
from operators.settings import Settings

FRESH_NS = 2_000_000_000  # a request waits so long for pictures that are missing or too old
YOUNGER_NS = 50_000_000  # a request waits so long for the pictures that are about to come
RECENT = 32  # states kept to find the one a frame shows


class Seen:
    """The newest of every input; of requests that wait for the worker, only the newest.

    Time is the rig's: frames and waiting are judged by the stamp of the newest measurement, never by the clock of the
    machine that looks at them. A recording of another boot, or one that stands still, is then judged like a live rig.
    """

    def __init__(self, cameras: tuple[str, ...], config: Settings, on_arm: str = ""):
        self._cameras, self._on_arm, self._stale_ms, self._guide = cameras, on_arm, config.stale_ms, config.guide
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

    def take(self) -> tuple[Episode, Request, Observation] | None:
        """The job for the worker if there is one; its request is then answered.

        It waits for the pictures that are about to come, of the first state that is measured after it was asked; and a
        while for pictures that are not there yet or too old: refused, it would be asked again seconds later.

        Raises:
            ValueError: a frame it needs is missing or too old; the request is refused.
        """
        if self.episode is None or self.request is None or not self.recent:
            return None
        now_ns = self.recent[-1].t_ns
        self._since_ns = now_ns if self._since_ns is None else self._since_ns
        old = next((camera for camera in self._cameras if self._age_ms(camera, now_ns) > self._stale_ms), None)
        waited_ns = now_ns - self._since_ns
        if waited_ns < (FRESH_NS if old else YOUNGER_NS) and (old or not self._young(self.request.tick - 1)):
            return None
        request, self.request = self.request, None
        if old:
            age_ms = self._age_ms(old, now_ns)
            raise ValueError(f"expected a frame of {old} under {self._stale_ms:.0f} ms old, got {age_ms:.0f} ms")
        wanted = {camera: self.frames[camera] for camera in self._cameras}
        state = state_in_frames(self.recent, wanted, self._on_arm)
        return self.episode, request, observe(request, state, dict(self.frames), self.plan, self._guide)

    def _young(self, tick: int) -> bool:
        """Whether all frames are of the first measurement that reaches this tick, or of a later one."""
        first_ns = next((state.t_ns for state in self.recent if state.tick >= tick), None)
        return all(first_ns is not None and self.frames[camera].t_ns >= first_ns for camera in self._cameras)

    def _age_ms(self, camera: str, now_ns: int) -> float:
        return (now_ns - self.frames[camera].t_ns) / 1e6 if camera in self.frames else float("inf")

    def _clear(self, episode: Episode | None) -> None:
        self.episode, self.request, self.plan = episode, None, None
        self._since_ns: int | None = None  # when the request was first looked at
        self.recent: deque[Proprio] = deque(maxlen=RECENT)
        self.frames: dict[str, Frame] = {}
