"""A graph in simulated time: its own actors and edges, the simulated robot, and delays that are drawn, not measured."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import yaml

from models.registry import make_codec, make_policy
from models.stored import read_head
from nodes.drivers import make_robot
from nodes.drivers.camera_sim import SimulatedCamera
from nodes.drivers.robot_sim import SimulatedRobot
from operators.actor import Actor, Outputs, Work
from operators.actors.decoding import Decoding
from operators.actors.evaluating import Evaluating
from operators.actors.executing import Executing
from operators.actors.following import Following
from operators.actors.inferring import ENCODING, Inferring
from operators.actors.moving import Moving
from operators.actors.scheduling import Scheduling
from operators.chunks.decode import decode
from operators.frame import Frame
from operators.measure.log import EpisodeLog
from operators.messages import HZ, Episode, Request, Scene
from operators.policy import Sees, check_features, check_guide
from operators.settings import Settings
from operators.wiring import inputs_of, mode, wiring
from robots import read_robot
from simulation.tasks import named, reference_of, text_of
from studies.sight import Sight, make_sight
from studies.stage import LINK_NS, Link, Stage

GRAPHS = Path(__file__).parents[1] / "dataflows"
PERIOD_NS = 1_000_000_000 // HZ
EXECUTOR_NS = PERIOD_NS // 2  # the executor's beat lies in the middle between two of the robot's
SEEN_AFTER = 2  # cycles from a picture to its features (A2C2)
PLAYED = "robot", "scheduler", "policy", "decoder", "executor", "evaluator"  # without which a graph is none
KEPT = "task", "variant", "policy", "codec", "refine", "margin", "join", "align", "smooth", "guide"
KEPT += "noise", "execution_horizon"  # settings that a log tells

Delay = Callable[[int], int]  # chunk id -> cycles from the exposure of its picture to its takeover, at full feed
Listen = Callable[[str, str, Any], None]  # sender, output, message


class Optics(NamedTuple):
    """How pictures reach the policy."""

    age_ms: float  # from the exposure to the policy
    period_cycles: int  # from one picture to the next that nobody asked for


OPTICS = Optics(9.0, 2)  # as measured in live runs (docs/design.md)


class Filming:
    """A simulated camera whose pictures are drawn when somebody looks at them."""

    INPUTS: ClassVar[dict[str, type]] = {"scene": Scene, "request": Request, "episode": Episode}
    wake_ns: int | None = None

    def __init__(self, camera: SimulatedCamera, sight: Sight, black: np.ndarray):
        self._camera, self._sight, self._black = camera, sight, black

    def receive(self, port: str, message: object, now_ns: int) -> Outputs:
        scene = self._camera.exposed(message)
        if scene:
            yield Drawn(lambda: self._draw(scene), -1, -1, scene.t_ns)  # pyright: ignore[reportArgumentType]

    def wake(self, now_ns: int) -> Outputs:
        return ()

    def _draw(self, true: Scene) -> np.ndarray:
        scene = self._sight.scene(true)
        return self._camera.drawn(scene) if scene else self._black


class Drawn(Frame):
    """A frame that holds how to draw it, in the place of its pixels."""

    @property
    def pixels(self) -> np.ndarray:  # pyright: ignore[reportIncompatibleVariableOverride]
        if "drawn" not in self.__dict__:
            draw: Any = self[0]
            self.__dict__["drawn"] = draw()
        return self.__dict__["drawn"]


class OtherGoal(SimulatedRobot):
    """The simulated robot with another goal than the seed's."""

    def task_of(self, start: Episode) -> Any:
        return super().task_of(start).other_goal()


class Simulated:
    """What plays episodes of a graph, one after the other.

    Args:
        graph: a file of a dataflow, or the name of one in dataflows/.
        sight: one of SIGHTS: what the policy's pictures show.
        clock: nanoseconds; without it, computation takes no time and none is told.
        link: how messages travel, but for pictures.

    Raises:
        ValueError: the policy cannot do what the graph asks for; says why.
    """

    def __init__(
        self,
        config: Settings,
        graph: Path | str,
        sight: str = "true",
        clock: Callable[[], int] = int,
        optics: Optics = OPTICS,
        link: Link | None = None,
    ):
        path = GRAPHS / f"{graph}.yml" if isinstance(graph, str) else graph
        described = yaml.safe_load(path.read_text())
        self.config, self.mode, self.sight, self._clock, self._optics = config, mode(described), sight, clock, optics
        self._ports = {node["id"]: set(inputs_of(node)) for node in described["nodes"]}
        if missing := [name for name in PLAYED if name not in self._ports]:
            raise ValueError(f"{path}: expected a graph with the nodes {', '.join(PLAYED)}, {missing[0]} is missing")
        at_the_end = "evaluator", "scene"  # where it is looked at once
        edges = wiring(described)
        self._wiring = {source: [each for each in hear if each != at_the_end] for source, hear in edges.items()}
        self._link = link
        self.policy, self._codec = make_policy(config), cache(make_codec)
        model = read_robot(config.robot_model)
        self.envelope = model.envelope
        self.driver: Any = OtherGoal(config, model, "") if sight == "other_target" else make_robot(config, model)
        if not isinstance(self.driver, SimulatedRobot):
            raise ValueError(f"ROBOT: expected a simulated one, which has its own time, got {config.robot!r}")
        self._sees: Sees | None = None
        self._head = None
        if "executed" in self._ports["policy"]:
            check_guide(self.policy, config.policy, config.guide)
        if "features" in self._ports["executor"]:
            self._sees, self._head = check_features(self.policy, config.policy), read_head(config.policy)
        for name in set(self.policy.cameras) - {node.removeprefix("camera_") for node in self._ports}:
            self._add_camera(name)
        every = optics.period_cycles
        self._cameras = {name: SimulatedCamera(config, name, "", every) for name in self.policy.cameras}

    def run(
        self,
        number: int,
        seed: int,
        delay: Delay,
        listen: Listen = lambda sender, output, message: None,
        time_limit_s: float | None = None,
    ) -> EpisodeLog:
        """Play one episode to its end or time limit.

        Args:
            number: of the episode; draws of noise and latency depend on it and on the seed.
            seed: of the task.
            delay: cycles each chunk takes.
            listen: hears every message when it is sent.
        """
        evaluating = self._evaluating(number, seed, time_limit_s or self.config.time_limit_s)
        stage = self.stage({**self._actors(seed), "evaluator": evaluating}, delay, listen)
        stage.processes["evaluator"].edge.episode = number
        stage.run(lambda: bool(evaluating.ending))
        *_, goal, marks, begins = self.driver.scene()
        return replace(evaluating.journal.log(reference_of(self.driver.task)), goal=goal, marks=marks, begins=begins)

    def stage(self, actors: Mapping[str, Actor], delay: Delay, listen: Listen) -> Stage:
        """The stage they play on."""
        age_ns = max(0, round(1e6 * self._optics.age_ms) - LINK_NS)  # the scene was on its way to the camera before

        def travel(sender: str, hearer: str, port: str, message: Any) -> list[int]:
            return [age_ns] if isinstance(message, Frame) else [LINK_NS]

        def done_ns(node: str, work: Work, now_ns: int) -> int:
            cycles = SEEN_AFTER if work.port == ENCODING else delay(work.number) - 1  # which the command still takes
            return work.since_ns + cycles * PERIOD_NS

        begins_ns = {"executor": EXECUTOR_NS}
        return Stage(self._wiring, actors, begins_ns, done_ns, self._link or travel, self._clock, listen)

    def _actors(self, seed: int) -> dict[str, Actor]:
        config = self.config
        sync = "chunk_done" in self._ports["scheduler"]
        actors: dict[str, Actor] = {
            "robot": Moving(self.driver, Following(self.envelope)),
            "scheduler": Scheduling(config, sync),
            "policy": Inferring(replace(config, latency_ms=0.0), self.policy, self._sees),  # the delay is drawn
            "decoder": Decoding(config, self._codec, self._clock),
            "executor": Executing(config, self.envelope, self._head),
        }
        sight = make_sight(self.sight, config.task, seed, config.variant)
        black = np.zeros((config.image_height, config.image_width, 3), np.uint8)
        for name, camera in self._cameras.items():
            actors[f"camera_{name}"] = Filming(camera, sight, black)
        return actors

    def _add_camera(self, name: str) -> None:
        """Wire a camera that the policy needs and the graph lacks, as one would do by hand."""
        node, output = f"camera_{name}", f"frame_{name}"
        for source, port in (("robot", "scene"), ("scheduler", "request"), ("evaluator", "episode")):
            self._wiring.setdefault((source, port), []).append((node, port))
        self._wiring[node, output] = [("policy", output)]

    def _evaluating(self, number: int, seed: int, time_limit_s: float) -> Evaluating:
        config, codec = self.config, self._codec(self.config.codec)
        told = named(config.task), config.variant, text_of(config.task, config.prompt)
        start = Episode(0, number, 0, "start", seed, *told, "", False)
        about = {"name": f"episode_{number}", "mode": self.mode} | {name: getattr(config, name) for name in KEPT}
        return Evaluating(start, about, "own", time_limit_s, False, lambda chunk: decode(chunk, codec))
