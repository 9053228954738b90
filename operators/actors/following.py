"""The half of a robot that is the same whatever moves it: newest commands, one a cycle, limited and watched."""

from collections import deque
from typing import ClassVar, NamedTuple

import numpy as np

from operators.messages import READY, Command, Episode
from operators.motion.limits import Envelope, Limiter
from operators.motion.rotation import action_from_pose

WATCHDOG_CYCLES = 12  # without a command for so long, the robot holds its last target
QUEUED = 2  # commands kept when two clocks drift past each other: one a cycle, never two at once


class Target(NamedTuple):
    """Where a robot shall be at the end of this cycle."""

    action: np.ndarray  # (10,) float32, within the envelope
    fault: str = ""  # what is wrong from this cycle on


class Following:
    """What to do with commands, in one episode after the other.

    A robot that is not ready is left alone: its commands are dropped, and once it is ready it sets out from where it
    then is.

    Attributes:
        tick: of the newest applied command + 1.
        without: cycles since the newest command.
    """

    INPUTS: ClassVar[dict[str, type]] = {"command": Command, "episode": Episode}

    def __init__(self, envelope: Envelope):
        self._envelope = envelope
        self._commands: deque[Command] = deque(maxlen=QUEUED)
        self.restart()

    def restart(self) -> None:
        """A new episode begins."""
        self.tick = 0
        self._release()

    def commanded(self, command: Command) -> None:
        """To be applied in one of the next cycles."""
        self._commands.append(command)

    def cycle(self, state: str, tcp_pose: np.ndarray, gripper: float) -> Target | None:
        """One period of 1/60 s; None while the robot is not ready.

        Args:
            state: as in `Proprio`.
            tcp_pose: (6,) measured.
            gripper: measured.

        Raises:
            ValueError: the robot sets out outside the envelope, or the command is none. It shall stay where it is.
        """
        if state != READY:
            self._release()
            return None
        if self._limiter is None:
            self._held = action_from_pose(tcp_pose, gripper)
            self._limiter = Limiter.start(self._held, self._envelope)
        fault = ""
        if self._commands:
            command = self._commands.popleft()
            self._held, self.tick, self.without = command.action, command.tick + 1, 0
        else:
            self.without += 1
            if self.without == WATCHDOG_CYCLES:
                fault = f"no command for {WATCHDOG_CYCLES} cycles: the robot holds its last target"
        self._limiter, action, _ = self._limiter.limit(self._held)
        return Target(action, fault)

    def _release(self) -> None:
        self._limiter: Limiter | None = None
        self._held = np.zeros(0, np.float32)
        self.without = 0
        self._commands.clear()
