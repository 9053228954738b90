"""Does a policy look? Episodes in which its pictures, or the goal that is painted, are not those of the seed."""

from operators.messages import Scene
from simulation.arm import World
from simulation.tasks import make_task

SIGHTS = ("true", "black", "other_episode", "other_target")
OTHER = 5_000  # added to a seed for another episode
REPLAN = 24  # ticks between two chunks of the other episode's expert


class Sight:
    """What the pictures show in the place of the scene: the scene as it is."""

    def scene(self, true: Scene) -> Scene | None:
        """The scene to draw, once a cycle at most; None for black pictures."""
        return true


class Black(Sight):
    """Nothing."""

    def scene(self, true: Scene) -> Scene | None:
        return None


class OtherEpisode(Sight):
    """Another work piece on which the expert does something else, undisturbed."""

    def __init__(self, task: str, seed: int, variant: str):
        self._task, self._world = make_task(task, seed + OTHER, variant), World()
        self._measured, self._tick = self._world.reset(self._task), 0

    def scene(self, true: Scene) -> Scene | None:
        last = self._task.duration_ticks
        for tick in range(self._tick, min(true.tick, last)):
            if tick % REPLAN == 0:
                self._chunk = self._task.expert_chunk(tick, self._measured.tcp_pose, self._measured.wrench)
            self._measured = self._world.step(self._chunk[tick % REPLAN])
        self._tick = min(true.tick, last)
        return Scene(*true[:4], *self._world.scene())


def make_sight(name: str, task: str, seed: int, variant: str) -> Sight:
    """One of SIGHTS for an episode; other_target is a true sight of a task with another goal (`Task.other_goal`).

    Raises:
        ValueError: there is no such sight.
    """
    if name not in SIGHTS:
        raise ValueError(f"--sight: expected one of {', '.join(SIGHTS)}, got {name}")
    if name == "black":
        return Black()
    return OtherEpisode(task, seed, variant) if name == "other_episode" else Sight()
