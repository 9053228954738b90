"""The supervisor's decisions: how the run stands, and how fast the plan may be played at most.

Pausing is a feed rate of 0: the robot slows down along its plan, stands on it, and goes on from there.
"""

from typing import ClassVar

from operators.actor import UNSENT, Outputs, Param, Wrong
from operators.messages import READY, TOPICS, Episode, Mode, Plan, Proprio

LOOK_NS = 100_000_000  # from one look at the clock to the next
AGAIN_NS = 1_000_000_000  # a mode is told again
SILENT_PERIODS = 30  # without a message: its sender counts as silent
ASLEEP = 3  # looks missed: this process slept, and could not have heard anybody


class Pulse:
    """How regularly somebody sends. Ages are multiples of the period that is measured, while the hearer was awake."""

    def __init__(self, rate_hz: float):
        self._period_ns, self._newest_ns = 1e9 / rate_hz, 0

    def beat(self, now_ns: int) -> None:
        """A message has come."""
        if self._newest_ns:
            apart = min(now_ns - self._newest_ns, 4 * self._period_ns)  # one gap makes no other rhythm
            self._period_ns += 0.05 * (apart - self._period_ns)
        self._newest_ns = now_ns

    def slept(self, for_ns: int) -> None:
        """The hearer was not awake for so long: that ages nobody."""
        self._newest_ns += for_ns if self._newest_ns else 0

    def age(self, now_ns: int) -> float:
        """Periods since the newest message; 0 before the first."""
        return (now_ns - self._newest_ns) / self._period_ns if self._newest_ns else 0.0


class Supervising:
    """Tells the mode when it changes and once a second.

    Args:
        rate_scale: RATE_SCALE, upper bound of the feed rate while the run is not paused.
    """

    INPUTS: ClassVar[dict[str, type]] = {"proprio": Proprio, "plan": Plan, "episode": Episode}

    def __init__(self, rate_scale: float):
        self._scale, self._paused = rate_scale, False
        self.wake_ns: int | None = 0
        self._looked_ns = self._told_ns = 0
        self._told: tuple[str, float, str] | None = None
        self._phase = "end"  # phase of the episode
        self._restart()

    def receive(self, port: str, message: object, now_ns: int) -> Outputs:
        if isinstance(message, Param):
            self._set(message)
        elif isinstance(message, Episode):
            if message.phase == "start":
                self._restart()
            self._phase = message.phase
        elif isinstance(message, Proprio | Plan):
            port = "proprio" if isinstance(message, Proprio) else "plan"
            self._pulses[port].beat(now_ns)
            self._ready |= isinstance(message, Proprio) and message.state == READY
            self._planned |= isinstance(message, Plan)
        return self._tell(now_ns)

    def wake(self, now_ns: int) -> Outputs:
        gap_ns = now_ns - self._looked_ns
        if self._looked_ns and gap_ns > ASLEEP * LOOK_NS:
            for pulse in self._pulses.values():
                pulse.slept(gap_ns - LOOK_NS)
        self._looked_ns, self.wake_ns = now_ns, now_ns + LOOK_NS
        silent = [name for name, pulse in self._pulses.items() if pulse.age(now_ns) > SILENT_PERIODS]
        if silent and not self._silent and self._phase == "start":
            yield Wrong("silent", f"expected {' and '.join(silent)}, got none for {SILENT_PERIODS} periods")
        self._silent = silent
        yield from self._tell(now_ns)

    def _now(self) -> tuple[str, float, str]:
        """Mode, upper bound of the feed rate, reason."""
        if self._phase == "ending":
            return "braking", 0.0, "the episode is ending"
        if self._phase == "end":
            return "stopped", 0.0, "no episode"
        if self._silent:
            return "braking", 0.0, f"no {' and '.join(self._silent)}"
        if self._paused:
            return "paused", 0.0, "asked for"
        running = self._ready and self._planned
        return ("running" if running else "starting"), self._scale, ""

    def _tell(self, now_ns: int) -> Outputs:
        now = self._now()
        if now != self._told or now_ns - self._told_ns >= AGAIN_NS:
            self._told, self._told_ns = now, now_ns
            yield Mode(*UNSENT, *now)

    def _set(self, param: Param) -> None:
        """`pause` true or false, `rate_scale` above 0 up to 1.

        Raises:
            ValueError: another key or value.
        """
        if param.key == "pause" and isinstance(param.value, bool):
            self._paused = param.value
        elif param.key == "rate_scale" and isinstance(param.value, int | float) and 0 < param.value <= 1:
            self._scale = float(param.value)
        else:
            raise ValueError(f"expected pause (true, false) or rate_scale (0 to 1), got {param.key} {param.value!r}")

    def _restart(self) -> None:
        self._ready, self._planned = False, False
        self._silent: list[str] = []
        self._pulses = {name: Pulse(TOPICS[name].rate_hz) for name in ("proprio", "plan")}
