"""What the expert of a simulated task would do, for logs and reports."""

import numpy as np

from operators.messages import Episode
from simulation.tasks import TASKS, make_task


def reference(start: Episode) -> dict[str, np.ndarray]:
    """Fields of an `EpisodeLog`: the expert's path and the rotation it keeps; none of a task that is not simulated."""
    if start.task not in TASKS:
        return {}
    task = make_task(start.task, start.seed, start.variant)
    return {"reference": task.reference_path, "reference_rotation": task.reference_rotation}
