"""One episode without dora: the same decisions in simulated time, bit by bit reproducible.

Each cycle: what has arrived is joined, one action is commanded, the world moves on, the scheduler looks at the plan.
A request after cycle c is answered from the state before cycle c + 1, and handed over before cycle c + 1 + delay.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from models.registry import make_codec, make_policy
from models.stored import read_head
from operators.actors.executing import Execution
from operators.actors.scheduling import Ask, Scheduling
from operators.chunks.correct import Head
from operators.chunks.decode import Decoding, decode
from operators.frame import Frame
from operators.measure.log import ChunkRecord, EpisodeLog, cycles_from_commands, measured_from_proprio
from operators.measure.plan_time import PlanTimeBuilder
from operators.messages import (
    HZ,
    ActionChunk,
    Chunk,
    ChunkDone,
    Command,
    Episode,
    Features,
    Plan,
    Proprio,
    Request,
    Scene,
)
from operators.motion.join import JOINS
from operators.motion.kinematics import Unreachable
from operators.motion.plan import RefusedChunk
from operators.motion.rows import Rows
from operators.policy import Sees, check_features, check_guide, observe
from operators.settings import Settings
from robots import read_robot
from simulation.arm import World
from simulation.tasks import make_task, named, reference_of, task_class, text_of
from studies.sight import make_sight

MODES = ("sync", "async_naive", "async_rtr", "async_rtc", "async_a2c2")
PICTURES, SEEN_AFTER = 2, 2  # cycles from picture to picture, and from a picture to its features (A2C2)
PERIOD_NS = 1_000_000_000 // HZ

Delay = Callable[[int], int]  # chunk id -> cycles from request to hand-over
Listen = Callable[[str, tuple], None]  # (topic, message)


@dataclass
class Lockstep:
    """One process's world and policy, used for one episode after the other."""

    config: Settings
    mode: str
    world: World = field(default_factory=World)
    sight: str = "true"  # one of SIGHTS: what the policy's pictures show
    clock: Callable[[], int] | None = None  # nanoseconds; without it, computation takes no time and is not told

    def __post_init__(self):
        if self.mode not in MODES:
            raise ValueError(f"expected a mode of {', '.join(MODES)}, got {self.mode}")
        self.policy = make_policy(self.config)
        if self.mode == "async_rtc":
            check_guide(self.policy, self.config.policy, self.config.guide)
        self.head: Head | None = None
        self.sees: Sees | None = None
        if self.mode == "async_a2c2":
            self.sees = check_features(self.policy, self.config.policy)
            self.head = read_head(self.config.policy)
        self.envelope, self.renderer = read_robot(self.config.robot_model).envelope, None
        if self.policy.cameras:
            from simulation.renderer import Renderer  # needs OpenGL, which not every policy does

            self.renderer = Renderer(task_class(self.config.task), self.config.image_width, self.config.image_height)

    def run(self, number: int, seed: int, delay: Delay, listen: Listen = lambda topic, message: None) -> EpisodeLog:
        """Play one episode to its end or time limit.

        Args:
            number: of the episode; draws of noise and latency depend on it and on the seed.
            seed: of the task.
            delay: cycles each chunk takes.
            listen: hears every message in the order in which processes would receive them.
        """
        return _Episode(self, number, seed, delay, listen).run()


class _Episode:
    def __init__(self, rig: Lockstep, number: int, seed: int, delay: Delay, listen: Listen):
        config = rig.config
        self.rig, self.delay, self.seed, self.listen = rig, delay, seed, listen
        self.number = number
        text = text_of(config.task, config.prompt)
        self.episode = Episode(0, number, 0, "start", seed, named(config.task), config.variant, text, "", False)
        self.task = make_task(config.task, seed, config.variant)
        if rig.sight == "other_target":
            self.task = self.task.other_goal()
        self.sight = make_sight(rig.sight, config.task, seed, config.variant)
        self.judge = self.task.judge()
        self.measured = rig.world.reset(self.task)
        output = config.slowest, rig.envelope, config.smooth
        self.execution = Execution(JOINS[config.join], *output, config.sync_horizon, rig.head, config.align)
        self.scheduling = Scheduling(config, sync=rig.mode == "sync")
        self.decoding = Decoding(config, make_codec)
        rig.policy.start(self.episode)
        self.tick, self.cycle = 0, 0
        self.plan: Plan | None = None  # the newest message
        self.flying: list[tuple[int, Chunk]] = []  # (cycle of arrival, chunk)
        self.expected: dict[int, int] = {}  # chunk_id -> tick at which it was thought to take over
        self.encoding: list[tuple[int, Features]] = []  # the same of features
        self.commands: list[Command] = []
        self.proprio: list[Proprio] = []
        self.chunks: list[ChunkRecord] = []
        self.faults: list[tuple[int, str, str, str]] = []
        self.plan_time = PlanTimeBuilder()

    def run(self) -> EpisodeLog:
        self.listen("episode", self.episode)
        while not self.judge.done and self.cycle < self.rig.config.time_limit_s * HZ:
            self._cycle()
            self.cycle += 1
        config, world = self.rig.config, self.rig.world
        about = {"name": f"episode_{self.number}", "episode": self.number, "seed": self.seed, "mode": self.rig.mode}
        settings = {
            name: getattr(config, name)
            for name in ("task", "variant", "policy", "codec", "refine", "margin", "join", "align", "smooth", "guide")
        }
        return EpisodeLog(
            meta={**about, **settings, "noise": config.noise, "execution_horizon": config.execution_horizon},
            cycles=cycles_from_commands(self.commands),
            chunks=self.chunks,
            proprio=measured_from_proprio(self.proprio),
            score=self.judge.result(),
            goal=self.task.goal,
            marks=world.marks.points,
            begins=np.array(world.marks.begins, np.int64),
            **reference_of(self.task),
            faults=self.faults,
            plan=self.plan_time.build(),
        )

    def _cycle(self) -> None:
        header = self.cycle, self.number, self.cycle * PERIOD_NS
        for _, chunk in [job for job in self.flying if job[0] <= self.cycle]:
            self._hand_over(chunk)
        self.flying = [job for job in self.flying if job[0] > self.cycle]
        self._look()
        self.execution.measured(self._proprio())
        self.listen("proprio", self._proprio())
        done = self.execution.cycle()
        assert done is not None  # a pose was measured above
        due, plan = done.due, done.plan
        self.plan_time.add(due.tick, due.planned, plan.executed, plan.owners())
        about = due.tick, due.state, due.planned, done.action, done.clamped, due.chunk_id
        self.commands.append(Command(*header, self.cycle, *about))
        self.listen("command", self.commands[-1])
        self._move(done.action)
        self.judge.update(self.cycle / HZ, self.measured, self.rig.world.marks.points)
        self.tick = due.tick + 1
        self.proprio.append(self._proprio())
        self._ask(Plan(*header, self.cycle, *done.told()))
        if plan.stood and not len(plan.planned):
            self._ask(ChunkDone(*header, plan.newest_chunk, plan.stood))

    def _move(self, action: np.ndarray) -> None:
        """As the simulated robot does, which stands where it cannot go."""
        try:
            self.measured = self.rig.world.step(action)
        except Unreachable as error:
            self.faults.append((self.cycle * PERIOD_NS, "robot", "unreachable", str(error)))

    def _look(self) -> None:
        """What a correction head is told of the pictures."""
        if self.rig.sees is None:
            return
        while self.encoding and self.encoding[0][0] <= self.cycle:
            _, told = self.encoding.pop(0)
            self.listen("features", told)
            self.execution.seen(told)
        if self.cycle % PICTURES == 0:
            state = self._proprio()
            values = self.rig.sees.features(state, self._frames(state))
            header = self.cycle, self.number, self.cycle * PERIOD_NS
            told = Features(*header, state.tick, state.tcp_pose, values.astype(float))
            self.encoding.append((self.cycle + SEEN_AFTER, told))

    def _ask(self, message: Plan | ChunkDone) -> None:
        self.listen("plan" if isinstance(message, Plan) else "chunk_done", message)
        if isinstance(message, Plan):
            self.plan = message
            if self.rig.mode == "async_rtr":
                self.decoding.receive(message, int)
        ask = self.scheduling.receive(message)
        if ask is None:
            return
        request = Request(ask.chunk_id, self.number, self.cycle * PERIOD_NS, *ask)
        self.listen("request", request)
        self.execution.requested(request)
        self.expected[ask.chunk_id] = ask.tick + ask.delay_ticks
        self.flying.append((self.cycle + 1 + self.delay(ask.chunk_id), self._infer(ask)))

    def _infer(self, ask: Ask) -> Chunk:
        plan = self.plan if self.rig.mode == "async_rtc" else None
        state = self._proprio(self.cycle + 1)
        observation = observe(ask, state, self._frames(state), plan, self.rig.config.guide)
        clock = self.rig.clock or int
        begun = clock()
        prediction, seen = self.rig.policy.predict(observation), observation.proprio
        inference_ms = (clock() - begun) / 1e6
        about = prediction.space, prediction.rate_hz, prediction.codec, seen.tcp_pose, prediction.seed
        header = ask.chunk_id, self.number, self.cycle * PERIOD_NS
        numbers = observation.numbers(self.rig.policy.cameras)
        aligned, shift_ticks = prediction.shift_ticks is not None, prediction.shift_ticks or 0.0
        told = prediction.values, *numbers, seen.t_ns, self.cycle * PERIOD_NS, aligned, shift_ticks
        return Chunk(*header, ask.chunk_id, seen.tick, *about, inference_ms, *told)

    def _hand_over(self, chunk: Chunk) -> None:
        self.listen("chunk", chunk)
        record = ChunkRecord(chunk.chunk_id, chunk.tick, raw=decode(chunk, self.decoding.codec))
        record = replace(record, expected_tick=self.expected[chunk.chunk_id])
        try:
            decoded = self.decoding.receive(chunk, self.rig.clock or int)
            assert decoded is not None and self.execution.plan is not None
            record = replace(record, handed=Rows(decoded.tick, decoded.action))
            if self.rig.clock:
                record = replace(record, refine_ms=decoded.refine_ms, inference_ms=chunk.inference_ms)
            message = ActionChunk(chunk.seq, self.number, chunk.t_ns, *decoded)
            self.listen("action_chunk", message)
            takeover = max(self.execution.plan.next_tick, decoded.tick)
            self.execution.chunk(message)
            record = replace(record, arrival_tick=takeover, shift_ticks=self.execution.plan.shift_ticks)
        except (RefusedChunk, ValueError) as error:
            self.faults.append((self.cycle * PERIOD_NS, "lockstep", "chunk dropped", str(error)))
        self.chunks.append(record)

    def _proprio(self, cycle: int | None = None) -> Proprio:
        cycle = self.cycle if cycle is None else cycle
        return Proprio(cycle, self.number, cycle * PERIOD_NS, self.tick, cycle, *self.measured)

    def _frames(self, state: Proprio) -> dict[str, Frame]:
        """What the policy's cameras show of a state."""
        if self.rig.renderer is None:
            return {}
        true = Scene(*state[:4], *self.rig.world.scene())
        scene, draw = self.sight.scene(true), self.rig.renderer.render
        black = np.zeros((self.rig.config.image_height, self.rig.config.image_width, 3), np.uint8)
        return {
            camera: Frame(draw(scene, camera) if scene else black, *state[:3]) for camera in self.rig.policy.cameras
        }
