"""The simulated robot: on its own 60 Hz it follows commands like a servo, measures itself and keeps the score."""

from collections import deque

from dora import Node

from nodes._clock import ROBOT, cycles, realtime
from nodes._wire import Wire, settings
from operators.messages import HZ, Command, Episode
from operators.motion.kinematics import Unreachable
from operators.motion.limits import Envelope, Limiter
from operators.motion.rotation import action_from_pose
from simulation.arm import World
from simulation.tasks import make_task

INPUTS = {"command": Command, "episode": Episode}
WATCHDOG_CYCLES = 12  # without a command for so long, the robot is stopped
QUEUED = 2  # commands kept when two clocks drift past each other: one a cycle, never two at once


class Robot:
    """World, task and the newest commands of one episode."""

    def __init__(self, wire: Wire):
        self.wire, self.world = wire, World()
        self.task = None
        self.commands: deque[Command] = deque(maxlen=QUEUED)

    def receive(self, message: object) -> None:
        if isinstance(message, Command):
            self.commands.append(message)
        elif isinstance(message, Episode) and message.phase == "start":
            self.task = make_task(message.task, message.seed, message.variant)
            self.judge = self.task.judge()
            self.measured = self.world.reset(self.task)
            self.held = action_from_pose(self.measured.tcp_pose, self.measured.gripper)
            self.limiter = Limiter.start(self.held, Envelope())
            self.commands.clear()
            self.tick, self.without = 0, 0
        elif isinstance(message, Episode):
            self.task = None

    def cycle(self, cycle: int, t_ns: int) -> None:
        """Measure, tell, apply: proprio is the state before the action of its tick."""
        if self.task is None:
            return
        state = self.measured
        self.wire.send("proprio", self.tick, cycle, *state, t_ns=t_ns)
        self.wire.send("scene", self.tick, *self.world.scene(), t_ns=t_ns)
        self._apply()
        self._judge(cycle)

    def _apply(self) -> None:
        if self.commands:
            command = self.commands.popleft()
            self.held, self.tick, self.without = command.action, command.tick + 1, 0
        else:
            self.without += 1
            if self.without == WATCHDOG_CYCLES:
                self.wire.fault("watchdog", f"no command for {WATCHDOG_CYCLES} cycles: the robot holds its last target")
        self.limiter, action, _ = self.limiter.limit(self.held)
        try:
            self.measured = self.world.step(action)
        except Unreachable as error:
            self.wire.fault("unreachable", str(error))

    def _judge(self, cycle: int) -> None:
        self.judge.update(cycle / HZ, self.measured, self.world.marks.points)
        if cycle % 6 == 0:
            score = self.judge.result()
            about = [float(score[name]) for name in score]
            self.wire.send("score", self.tick, bool(score["done"]), bool(score["success"]), list(score), about)


def main() -> None:
    settings()
    run(Node())


def run(node: Node) -> None:
    wire = Wire(node, "robot", INPUTS)
    robot = Robot(wire)
    realtime(ROBOT)
    for cycle, t_ns in cycles(HZ):
        for _, message in wire.drain():
            robot.receive(message)
        if not wire.open:
            return
        robot.cycle(cycle, t_ns)


if __name__ == "__main__":
    main()
