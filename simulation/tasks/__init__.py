"""The tasks by name. A task places the scene, knows an expert and judges the result."""

from simulation.tasks.write_board.task import WriteBoard

TASKS = {"write_board": WriteBoard}


def make_task(name: str, seed: int, variant: str = "random") -> WriteBoard:
    """The task of a seed.

    Raises:
        ValueError: there is no such task or kind of target.
    """
    if name not in TASKS:
        raise ValueError(f"expected a task of {', '.join(TASKS)}, got {name}")
    return TASKS[name](seed, variant)
