"""Graphs in simulated time under faults: lost, late, doubled and overtaking messages, processes that crash and return.

    python -m tests.fuzz --runs 10000            # resumable: what passed is in out/fuzz.json
    python -m tests.fuzz --seed 4711             # one run again, with all that was sent

All of a run follows from its seed. The arm follows its targets at once and the policy goes round a circle for ever, so
that a robot which stands is stuck. For the last part of a run nothing goes wrong any more.
"""

import json
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tyro
import yaml
from rich.progress import track

from operators.actor import Actor, Work
from operators.actors.decoding import Decoding
from operators.actors.evaluating import Evaluating
from operators.actors.executing import Executing
from operators.actors.following import Following
from operators.actors.inferring import ENCODING, Inferring
from operators.actors.moving import Moving
from operators.actors.scheduling import Scheduling
from operators.actors.supervising import Supervising
from operators.chunks.codec import DctCodec
from operators.chunks.correct import Head
from operators.drivers import Reading
from operators.frame import Frame
from operators.messages import HORIZON, HZ, Command, Episode, Plan, Proprio
from operators.motion.plan import HISTORY
from operators.motion.rotation import action_from_pose, pose_from_action, to_relative
from operators.motion.rows import Rows
from operators.policy import Observation, Prediction
from operators.robot_model import RobotModel
from operators.settings import Settings
from operators.wiring import inputs_of, wiring
from studies.check import GRAPHS
from studies.stage import LINK_NS, Stage
from tests.envelope import ENVELOPE, UR5E
from tests.test_limits import assert_inside

PERIOD_NS = 1_000_000_000 // HZ
RUN_S, CALM_S = 5.0, 2.5  # of a run, and its end in which nothing goes wrong
TIMEOUT_MS = 800.0  # after which a lost chunk is asked for again
CRASHING = "robot", "scheduler", "policy", "decoder", "executor", "supervisor"
GRAPH_NAMES = "sync", "async_naive", "async_rtr", "async_rtc", "async_a2c2"
CENTRE, RADIUS, TURN_S = np.array([0.45, 0.0, 0.3]), 0.05, 6.0
DOWN = np.array([0.0, math.pi, 0.0])
FEATURES = 4


def place(turn: float) -> np.ndarray:
    """A pose (6,) on the circle."""
    at = CENTRE + RADIUS * np.array([math.cos(turn), math.sin(turn), 0.0])
    return np.concatenate([at, DOWN])


class Arm:
    """A robot that is where it was told to be."""

    def __init__(self, config: Settings, model: RobotModel, which: str) -> None:
        self.action = action_from_pose(place(0.0))
        self.targets = [[self.action]]  # of each life of its process, beginning where it then stood

    def read(self) -> Reading:
        zero = np.zeros(6)
        return Reading(zero, pose_from_action(self.action), zero, zero, float(self.action[9]))

    def servo(self, action: np.ndarray) -> None:
        self.action = action
        self.targets[-1].append(action)

    def home(self) -> None:
        """It is wherever it is."""

    def stop(self) -> None:
        """It has no speed of its own."""

    def close(self) -> None:
        """There is nothing to let go of."""


class Circle:
    """Goes round and round from wherever it is, a little differently each time it is asked."""

    guides = ("vlash",)
    on_arm = "wrist"

    def __init__(self, cameras: tuple[str, ...], seed: int):
        self.cameras, self._seed = cameras, seed

    def start(self, episode: Episode) -> None:
        """It remembers nothing."""

    def predict(self, observation: Observation) -> Prediction:
        pose = observation.proprio.tcp_pose
        draw = np.random.default_rng((self._seed, observation.chunk_id))
        turn = math.atan2(pose[1] - CENTRE[1], pose[0] - CENTRE[0]) + draw.normal(0, 0.03)
        turns = turn + 2 * math.pi * np.arange(HORIZON) / HZ / TURN_S
        actions = action_from_pose(np.array([place(each) for each in turns]))
        return Prediction(to_relative(actions, pose).astype(np.float32))

    def features(self, proprio: Proprio, frames: Any, after: int) -> np.ndarray:
        return np.zeros(FEATURES, np.float32)


class Eye:
    """A camera whose pictures are black."""

    INPUTS: ClassVar[dict[str, type]] = {"proprio": Proprio, "episode": Episode}
    wake_ns: int | None = None

    def receive(self, port: str, message: Any, now_ns: int) -> Iterator[Frame]:
        if isinstance(message, Proprio):  # stands for the scene, which this arm has none of
            yield Frame(np.zeros((2, 2, 3), np.uint8), -1, -1, message.t_ns)

    def wake(self, now_ns: int) -> tuple:
        return ()


@dataclass(frozen=True)
class Faults:
    """What goes wrong in one run, drawn from its seed."""

    graph: str
    settings: dict[str, Any]
    lost: float  # share of the messages
    doubled: float
    late: float
    latest_s: float
    delay: tuple[int, int]  # cycles a chunk takes, from and below
    outage: float  # share of the chunks that take a second more
    crashes: tuple[tuple[float, str, float], ...]  # when [s], which process, for how long [s]


def drawn(seed: int) -> Faults:
    """The faults of a seed."""
    draw = np.random.default_rng((seed, 1))
    graph = str(draw.choice(GRAPH_NAMES))
    settings = {"join": str(draw.choice(["newest", "fade", "blend", "ensemble"]))}
    settings["align"] = str(draw.choice(["tick", "phase"]))
    settings["guide"] = "vlash"
    first = int(draw.integers(1, 24))
    crashes = tuple(
        (float(draw.uniform(0.3, RUN_S - CALM_S - 0.6)), str(draw.choice(CRASHING)), float(draw.uniform(0.05, 0.5)))
        for _ in range(draw.integers(0, 3))
    )
    return Faults(
        graph,
        settings,
        lost=float(draw.choice([0, 0.02, 0.3])),
        doubled=float(draw.choice([0, 0.05])),
        late=float(draw.choice([0, 0.1, 0.5])),
        latest_s=float(draw.choice([0.02, 0.3])),
        delay=(first, first + int(draw.integers(1, 24))),
        outage=float(draw.choice([0, 0.1])),
        crashes=crashes,
    )


class Run:
    """One run, and what it must hold to."""

    def __init__(self, seed: int, listen: Callable[[str, str, Any], None] = lambda sender, output, message: None):
        self.faults, self._draw, self._also = drawn(seed), np.random.default_rng((seed, 2)), listen
        graph = yaml.safe_load((GRAPHS / f"{self.faults.graph}.yml").read_text())
        self._ports = {node["id"]: set(inputs_of(node)) for node in graph["nodes"]}
        self.config = Settings(codec="dct", request_timeout_ms=TIMEOUT_MS, **self.faults.settings)
        self.arm, self._seed = Arm(self.config, UR5E, ""), seed
        self._lives: dict[int, list[Command]] = {}  # of the executor: what it commanded in each
        self._life, self._row = 0, dict[int, np.ndarray]()
        self._newest: Plan
        edges = wiring(graph)
        edges["robot", "proprio"] += [(camera, "proprio") for camera in ("camera_front", "camera_wrist")]
        names = (*CRASHING, "camera_front", "camera_wrist")
        start = Episode(0, 0, 0, "start", 0, "", "", "", "", False)
        actors = {name: self._made(name) for name in names}
        actors["evaluator"] = Evaluating(start, {"name": "fuzz"}, "own", 100.0, False)
        begins = {"executor": PERIOD_NS // 2}
        self.stage = Stage(edges, actors, begins, self._done_ns, self._travel, listen=self._listen)
        self.stage.processes["evaluator"].edge.episode = 0

    def play(self) -> None:
        """To its end; AssertionError where something does not hold."""
        down: list[tuple[float, str, bool]] = []
        for at_s, name, for_s in self.faults.crashes:
            down += [(at_s, name, False), (at_s + for_s, name, True)]
        for at_s, name, up in sorted(down):
            self._until(at_s)
            if up and name not in self.stage.processes:
                self._life += name == "executor"
                self._row = {} if name == "executor" else self._row
                if name == "robot":  # the arm stands meanwhile
                    self.arm.targets.append([self.arm.action])
                self.stage.restart(name, self._made(name))
            elif not up and name in self.stage.processes:
                self.stage.fail(name)
        self._until(RUN_S - 1.0)
        before = pose_from_action(self.arm.action)
        self._until(RUN_S)
        self._check(before)

    def _until(self, at_s: float) -> None:
        self.stage.put(round(at_s * 1e9), "", "", None)  # nobody hears it, but time gets there
        self.stage.run(lambda: self.stage.now_ns >= at_s * 1e9)

    def _check(self, before: np.ndarray) -> None:
        """Limits kept, nothing stuck, and nothing grown."""
        commanded = [[command.action for command in told] for told in self._lives.values()]
        for sent in (*self.arm.targets, *commanded):
            if sent:
                assert_inside(np.array(sent), ENVELOPE)
        moved_mm = 1e3 * float(np.linalg.norm(pose_from_action(self.arm.action)[:3] - before[:3]))
        assert moved_mm > 2, f"stuck: {moved_mm:.2f} mm in the last second"
        assert self.stage.coming < 2000, f"{self.stage.coming} messages under way"
        assert len(self._newest.executed) <= HISTORY and len(self._newest.planned) <= HISTORY + 2 * HORIZON

    def _made(self, name: str) -> Actor:
        if name.startswith("camera"):
            return Eye()
        sees = "features" in self._ports["executor"]
        policy: Any = Circle(("front", "wrist") if sees else (), self._seed)
        width = FEATURES + 15
        head = Head(np.zeros(width), np.ones(width), ((np.zeros((3, width)), np.zeros(3)),))
        makers: dict[str, Callable[[], Actor]] = {
            "robot": lambda: Moving(self.arm, Following(ENVELOPE)),
            "scheduler": lambda: Scheduling(self.config, "chunk_done" in self._ports["scheduler"]),
            "policy": lambda: Inferring(self.config, policy, policy if sees else None),
            "decoder": lambda: Decoding(self.config, lambda _: DctCodec()),
            "executor": lambda: Executing(self.config, ENVELOPE, head if sees else None),
            "supervisor": lambda: Supervising(self.config.rate_scale),
        }
        return makers[name]()

    @property
    def _calm(self) -> bool:
        return self.stage.now_ns > (RUN_S - CALM_S) * 1e9

    def _travel(self, sender: str, hearer: str, port: str, message: Any) -> list[int]:
        if self._calm:
            return [LINK_NS]
        copies = 0 if self._draw.random() < self.faults.lost else 1 + (self._draw.random() < self.faults.doubled)
        late = [self._draw.random() < self.faults.late for _ in range(copies)]
        return [LINK_NS + round(each * self._draw.uniform(0, self.faults.latest_s) * 1e9) for each in late]

    def _done_ns(self, name: str, work: Work, now_ns: int) -> int:
        cycles = int(self._draw.integers(*self.faults.delay)) if work.port != ENCODING else 2
        outage = not self._calm and self._draw.random() < self.faults.outage
        return work.since_ns + cycles * PERIOD_NS + outage * 1_000_000_000

    def _listen(self, sender: str, output: str, message: Any) -> None:
        self._also(sender, output, message)
        if output == "command":
            self._lives.setdefault(self._life, []).append(message)
        elif output == "plan":
            self._newest, executed = message, Rows(message.tick - len(message.executed), message.executed)
            self._unchanged(executed, self._lives[self._life][-1].tick)

    def _unchanged(self, executed: Rows, reached: int) -> None:
        """A row that was passed never becomes another; the one that is being approached may yet be limited."""
        for tick in range(executed.tick, min(executed.end, reached + 1)):
            row = executed.at(tick)
            known = self._row.setdefault(tick, row)
            assert np.array_equal(known, row), f"row {tick} was changed after it was passed"
        for tick in [tick for tick in self._row if tick < executed.tick]:
            del self._row[tick]


def failure(seed: int) -> str:
    """What a run broke; empty where it holds."""
    try:
        Run(seed).play()
    except Exception as error:  # whatever it is, it is a finding
        return f"seed {seed}: {type(error).__name__}: {error} ({drawn(seed)})"
    return ""


@dataclass(frozen=True)
class Fuzz:
    """Play graphs under faults until one breaks a law."""

    runs: int = 10_000
    first: int = 0
    seed: int | None = None
    """One run alone."""
    workers: int = 2
    out: Path = Path("out/fuzz.json")
    """How far it came; the same command goes on there."""

    def main(self) -> int:
        if self.seed is not None:
            told = failure(self.seed)
            print(told or f"seed {self.seed} holds: {drawn(self.seed)}")
            return bool(told)
        known = json.loads(self.out.read_text()) if self.out.exists() else {}
        begin = known.get("passed", 0) if known.get("first") == self.first else 0
        self.out.parent.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(self.workers, get_context("spawn")) as pool:
            found = pool.map(failure, range(self.first + begin, self.first + self.runs), chunksize=16)
            for passed, told in enumerate(track(found, "runs", self.runs - begin), begin):
                if told:
                    print(told)
                    pool.shutdown(cancel_futures=True)
                    return 1
                if passed % 100 == 99:
                    self.out.write_text(json.dumps({"first": self.first, "passed": passed + 1}))
        print(f"{self.runs} runs hold")
        return 0


if __name__ == "__main__":
    raise SystemExit(tyro.cli(Fuzz).main())
