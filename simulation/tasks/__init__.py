"""Tasks: what stands in the scene, what is to be done, who can do it, and how well it was done.

A task is one package and one row of `TASKS`, or a class in a package of yours that its entry point names, in the group
`rtr.tasks`. Nothing else in the project knows a task by name (docs/extending.md).
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

import numpy as np

from operators.messages import HORIZON, Episode, Scene

if TYPE_CHECKING:
    import mujoco

TASKS = {"write_board": "simulation.tasks.write_board.task:WriteBoard"}
GROUP = "rtr.tasks"


class Measured(NamedTuple):
    """Robot state as a controller reports it; base frame unless said otherwise."""

    q: np.ndarray  # (6,) rad
    tcp_pose: np.ndarray  # (6,) m, rotation vector
    tcp_velocity: np.ndarray  # (6,) m/s, rad/s
    wrench: np.ndarray  # (6,) N, Nm on what the tool touches, tool frame, at the TCP; +z presses
    gripper: float


class Judge(Protocol):
    """The score keeper of one episode."""

    done: bool  # nothing is left to do, or time is up

    def update(self, time_s: float, measured: Measured, marks: np.ndarray) -> None:
        """Take in one cycle; nothing changes any more once `done`. Time has any origin, `marks` (n, 2) only grow."""
        ...

    def result(self) -> dict[str, float]:
        """The score so far; it holds `success` and `done`, 0 or 1."""
        ...


class Marks(Protocol):
    """What the tool leaves on the work piece, in the piece's own surface coordinates [m]."""

    begins: list[int]  # indices into `points` at which the tool touched down anew

    @property
    def points(self) -> np.ndarray:
        """(n, 2) float32, in order; read-only, later marks do not change it."""
        ...

    def update(self, data: "mujoco.MjData", measured: Measured) -> None:
        """One cycle of physics is over."""
        ...


class Painter:
    """Draws goal and marks into a texture of the scene's model; this one nothing."""

    texture = -1  # id of the texture

    def paint(self, scene: Scene) -> bool:
        """Bring the texture up to date -> whether it changed."""
        return False


class Task(Protocol):
    """One episode of a task; everything that is random follows from its seed.

    Made by `Class(seed, variant)`. MuJoCo is not to be imported with the class: most processes that need a task draw
    and simulate nothing. A class that names this protocol, or `Taught`, as its base has their defaults.
    """

    SCENE: ClassVar[Path]  # MJCF that includes ur5e.xml, which includes the tool.xml beside it; piece: mocap body 0
    TCP: ClassVar[np.ndarray]  # (4, 4) flange -> tool centre point
    VARIANTS: ClassVar[tuple[str, ...]]  # the first is the default
    TEXTS: ClassVar[tuple[str, ...]]  # how one would ask for it; the first is the default
    LABELS: ClassVar[Mapping[str, tuple[str, int]]] = {}  # what `labels` tells -> type and how many numbers
    FACTS: ClassVar[Mapping[str, Any]] = {}  # what training needs to know to vary its data (recordings.dataset.facts)

    seed: int
    variant: str
    home_q: np.ndarray  # (6,) rad
    home_pose: np.ndarray  # (6,) of the TCP
    piece_pose: np.ndarray  # (6,) of the work piece in the base frame
    goal: np.ndarray  # (n, 2) float32, what is to be done, in the piece's surface coordinates [m]

    @staticmethod
    def painter(model: "mujoco.MjModel") -> Painter:
        """Who shows goal and marks; nobody, where the scene shows by itself what is to be done."""
        return Painter()

    def marks(self) -> Marks:
        """A clean work piece."""
        ...

    def judge(self) -> Judge:
        """A new score keeper."""
        ...

    def other_goal(self) -> "Task":
        """The same scene and start with another goal: for asking whether a policy looks."""
        ...


class Taught(Task, Protocol):
    """A task with a scripted expert. Its time is the tick: an undisturbed expert is at `reference_path[tick]`."""

    duration_ticks: int  # from the first motion to the end of the last
    reference_path: np.ndarray  # (duration_ticks + 1, 3) m, base frame
    reference_rotation: np.ndarray  # (3,) rotation vector that the tool keeps

    def expert_chunk(self, tick: float, tcp_pose: np.ndarray, wrench: np.ndarray, horizon: int = HORIZON) -> np.ndarray:
        """What the expert would do from here: actions (horizon, 10) float32, base frame, row i due at `tick + i`."""
        ...

    def phase(self, tick: int, tcp_pose: np.ndarray, begun: bool) -> float:
        """How far the task is by where the tool is, in ticks near `tick`; `begun`: there are marks."""
        ...

    def surface(self, tick: float) -> np.ndarray:
        """(3, 3) where the expert works at `tick`: two axes along the surface, then out of it, base frame."""
        ...

    def heading(self, tick: float) -> np.ndarray:
        """(2,) m along those axes in four ticks around `tick`; near zero where the expert stands."""
        ...

    def height(self, position: np.ndarray) -> float:
        """How far a position (3,) [m, base frame] is off the work piece [m]."""
        ...

    def labels(self, phase: float) -> dict[str, np.ndarray]:
        """What only a simulation knows of a row of a data set: name -> numbers, as LABELS says."""
        return {}


def named(name: str) -> str:
    """A task's name; empty stands for the first of TASKS."""
    return name or next(iter(TASKS))


def task_names() -> list[str]:
    """All there are, those of other packages too."""
    return [*TASKS, *(entry.name for entry in entry_points(group=GROUP) if entry.name not in TASKS)]


def task_class(name: str) -> type[Task]:
    """The class of a task; the first of TASKS where the name is empty.

    Raises:
        ValueError: there is no such task.
    """
    name = named(name)
    if name in TASKS:
        module, found = TASKS[name].split(":")
        return getattr(import_module(module), found)
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            return entry.load()
    raise ValueError(f"TASK: expected one of {', '.join(task_names())}, got {name!r}")


def make_task(name: str, seed: int, variant: str = "") -> Any:
    """The task of a seed; without a variant, its default. Typed as Any: whether it is Taught, the caller must know.

    Raises:
        ValueError: there is no such task or variant.
    """
    kind = task_class(name)
    return kind(seed, choice("VARIANT", variant, kind.VARIANTS))  # pyright: ignore[reportCallIssue]


def taught(name: str) -> type[Taught]:
    """The class of a task that has an expert.

    Raises:
        ValueError: there is no such task, or nobody can show it.
    """
    kind = task_class(name)
    if not hasattr(kind, "expert_chunk"):
        having = [other for other in task_names() if hasattr(task_class(other), "expert_chunk")]
        raise ValueError(f"TASK: expected one with an expert, that is one of {', '.join(having)}, got {name!r}")
    return kind  # pyright: ignore[reportReturnType]


def text_of(name: str, prompt: str = "") -> str:
    """How a policy is asked for a task: the prompt, else the task's own text, else its name."""
    return prompt or (task_class(name).TEXTS[0] if named(name) in task_names() else name)


def choice(variable: str, value: str, choices: Sequence[str]) -> str:
    """The value, or the first choice where it is empty.

    Raises:
        ValueError: it is no choice.
    """
    if value not in ("", *choices):
        raise ValueError(f"{variable}: expected one of {', '.join(choices)}, got {value!r}")
    return value or choices[0]


def reference_of(task: Any) -> dict[str, np.ndarray]:
    """What a task's expert would do, as an episode's log keeps it; nothing where there is none."""
    if not hasattr(task, "expert_chunk"):
        return {}
    return {"reference_rotation": task.reference_rotation, "reference": task.reference_path}


def reference(start: Episode) -> dict[str, np.ndarray]:
    """What the expert of an episode's task would do, as its log keeps it; nothing where the task is not known here."""
    known = start.task in task_names()
    return reference_of(make_task(start.task, start.seed, start.variant)) if known else {}
