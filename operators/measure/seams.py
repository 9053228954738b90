"""How hard chunks meet: velocity jumps, gaps and overlaps at switches, against the same measure inside chunks."""

from collections.abc import Iterable
from itertools import pairwise

import numpy as np

from operators.measure.intervals import largest, mean
from operators.measure.jerk import second_difference_mm, step_mm
from operators.measure.log import ChunkRecord, EpisodeLog, PlanTime
from operators.measure.plan_time import owned_rows, plan_time, sent_in_plan_time, switches

WINDOW = 16  # rows after the first of a new chunk in which a seam still counts
STEP_LIMIT_MM = 2.0  # 120 mm/s, the servo limit of arXiv 2605.24931
FLOOR_DRAWS = 4  # random windows a chunk


def seam_jumps_mm(plan: PlanTime) -> np.ndarray:
    """Largest second difference in the window of each switch [mm/tick]; (switches,), NaN where no row is known.

    The window is 17 rows, or ends at the next switch. A jump that is put off by up to 16 ticks is still in it.
    """
    second = second_difference_mm(plan.action)
    return np.array([largest(second[at : min(at + WINDOW + 1, end)]) for at, end in switches(plan)])


def jump_floor_mm(chunks: Iterable[np.ndarray], seed: int) -> np.ndarray:
    """The window statistic at random places inside chunks [mm/tick]: what a seam would score if there were none.

    Places begin at least 17 rows after the first of their chunk; in a chunk too short for that, its last window.

    Args:
        chunks: rows of one chunk each, (n, 10); those shorter than a window are passed over.
        seed: of the places.
    """
    random = np.random.default_rng(seed)
    found = []
    for rows in chunks:
        second = second_difference_mm(rows)
        latest = len(second) - (WINDOW + 1)
        if latest >= 2:
            places = random.integers(min(WINDOW + 3, latest), latest + 1, FLOOR_DRAWS)
            found += [largest(second[place : place + WINDOW + 1]) for place in places]
    return np.array(found)


def overlap_difference_mm(old: ChunkRecord, new: ChunkRecord) -> float:
    """Mean over axes of abs(old - new) over the ticks both cover, as handed; NaN if they share none."""
    if old.handed is None or new.handed is None:
        return np.nan
    start, end = max(old.handed.tick, new.handed.tick), min(old.handed.end, new.handed.end)
    left, right = old.handed.between(start, end).action, new.handed.between(start, end).action
    return mean(1e3 * np.abs(left[:, :3].astype(np.float64) - right[:, :3])) if start < end else np.nan


def seam_metrics(log: EpisodeLog, seed: int) -> dict[str, float]:
    plan, sent = plan_time(log), sent_in_plan_time(log)
    at = [switch.start for switch in switches(plan)]
    jumps = seam_jumps_mm(plan)
    step = 1e3 * np.diff(plan.action[:, :3].astype(np.float64), axis=0, prepend=np.nan)[at]
    arrived = _handed(log)
    inside = [chunk.handed.action for chunk in arrived if chunk.handed is not None] or owned_rows(plan)
    return {
        "switches": len(at),
        "velocity_jump": mean(jumps),
        "velocity_jump_max": largest(jumps),
        "velocity_jump_at_switch": mean(second_difference_mm(plan.action)[at]),
        "velocity_jump_floor": mean(jump_floor_mm(inside, seed)),
        "velocity_jump_sent": mean(seam_jumps_mm(sent)),
        "boundary_gap_mm": mean(np.linalg.norm(step, axis=-1)),
        "boundary_gap_l1_mm": mean(np.sum(np.abs(step), -1)),
        "overlap_difference_mm": mean(np.array([overlap_difference_mm(old, new) for old, new in pairwise(arrived)])),
        "exceed": int(np.sum(step_mm(plan.action) > STEP_LIMIT_MM)),
        "exceed_sent": int(np.sum(step_mm(sent.action) > STEP_LIMIT_MM)),
    }


def _handed(log: EpisodeLog) -> list[ChunkRecord]:
    """The chunks that reached the executor, in the order in which they did."""
    arrived = [chunk for chunk in log.chunks if chunk.arrival_tick is not None]
    return sorted(arrived, key=lambda chunk: (chunk.arrival_tick, chunk.chunk_id))
