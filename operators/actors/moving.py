"""A robot's process: on its own 60 Hz it measures the robot and has it follow commands, from an episode's start to its
end. What moves, the driver knows (operators.drivers)."""

from typing import ClassVar

import numpy as np

from operators.actor import UNSENT, Beat, Outputs, Wrong
from operators.actors.following import Following
from operators.drivers import Robot, Simulated
from operators.messages import HZ, Command, Episode, Proprio, Scene, Score

REST_CYCLES, REST_M_S = 3, 1e-3  # at rest: no command for so long, and slower than this
LAST_CYCLES = 90  # after the end of an episode it is let go of, at rest or not


class Moving:
    """Tells what the driver measures, and the driver what to do. After an episode's end the robot comes to rest."""

    INPUTS: ClassVar[dict[str, type]] = {"command": Command, "episode": Episode}

    def __init__(self, driver: Robot, following: Following):
        self.driver, self._following, self._beat = driver, following, Beat(HZ)
        self._simulated = driver if isinstance(driver, Simulated) else None
        self._playing, self._ending, self._left = False, True, LAST_CYCLES

    @property
    def wake_ns(self) -> int | None:
        return self._beat.due_ns

    def receive(self, port: str, message: object, now_ns: int) -> Outputs:
        if isinstance(message, Command):
            self._following.commanded(message)
        elif isinstance(message, Episode):
            if message.phase == "start":
                self._playing, self._ending = True, False
                self._following.restart()
                if self._simulated:
                    self._simulated.episode(message)
                self.driver.home()
            elif message.phase == "end":
                self.leave()
        return ()

    def leave(self) -> bool:
        if not self._ending:
            self._ending, self._left = True, LAST_CYCLES
        return not self._playing

    def wake(self, now_ns: int) -> Outputs:
        """Measure, tell, apply: proprio is the state before the action of its tick."""
        cycle = self._beat.next(now_ns)
        if not self._playing:
            return
        now = self.driver.read()
        header = -1, -1, now_ns if now.t_ns is None else now.t_ns
        yield Proprio(*header, self._following.tick, cycle, *now[:-1])
        if self._simulated:
            yield Scene(*header, self._following.tick, *self._simulated.scene())
        kind = "target refused"
        try:
            target = self._following.cycle(now.state, now.tcp_pose, now.gripper)
            if target and target.fault:
                yield Wrong("watchdog", target.fault)
            kind = "unreachable"
            if target:
                self.driver.servo(target.action)
        except ValueError as error:
            yield Wrong(kind, str(error))
        if self._simulated and (score := self._simulated.score(cycle)):
            yield Score(*UNSENT, self._following.tick, *score)
        if self._ending:
            self._left -= 1
            slow = bool(np.linalg.norm(now.tcp_velocity[:3]) < REST_M_S)
            if (slow and self._following.without >= REST_CYCLES) or self._left == 0:
                self._playing = False
                self.driver.stop()
