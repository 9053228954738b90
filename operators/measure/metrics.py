"""Every metric of an episode, one definition each; METRICS names them with unit and meaning.

Two series are measured. *Plan time* is one planned row a tick: seams, gaps and jerk within chunks live there, so
cycles in which the robot is held change none of them. The *command* is one entry a cycle, held or not. Differences
are Euclidean norms of xyz in mm, so no figure depends on the choice of axes. What cannot be measured is NaN.
Names that end in `_sent` use the action after the limits, all others the plan before them.
"""

from typing import NamedTuple

import numpy as np

from operators.measure.intervals import mean, percentile
from operators.measure.jerk import jerk_metrics
from operators.measure.log import Cycles, EpisodeLog, active
from operators.measure.seams import seam_metrics
from operators.measure.steadiness import steadiness_metrics
from operators.measure.timing import chunk_metrics, cycle_metrics
from operators.messages import HZ
from operators.motion.rotation import action_from_pose, angle_between


class Metric(NamedTuple):
    """What a name stands for."""

    unit: str
    meaning: str


METRICS = {
    "success": Metric("", "the task's own judgement, 0 or 1"),
    "completion_s": Metric("s", "first played row to task done"),
    "deviation_mm": Metric("mm", "mean distance of the marks to the goal"),
    "deviation_p95_mm": Metric("mm", "the same, 95th percentile over the marks"),
    "deviation_deg": Metric("deg", "mean angle between tool and reference rotation"),
    "velocity_jump": Metric("mm/tick", "largest second difference from a switch to 16 rows on, mean over switches"),
    "velocity_jump_max": Metric("mm/tick", "the same, largest over switches"),
    "velocity_jump_at_switch": Metric("mm/tick", "second difference at the switch tick only"),
    "velocity_jump_floor": Metric("mm/tick", "the same window at random places inside chunks"),
    "velocity_jump_sent": Metric("mm/tick", "velocity_jump after the limits"),
    "boundary_gap_mm": Metric("mm", "last action of the old chunk to first of the new, distance"),
    "boundary_gap_l1_mm": Metric("mm", "the same, sum over axes"),
    "overlap_difference_mm": Metric("mm", "old minus new chunk where both cover a tick, mean over axes, as handed"),
    "chunk_jerk_mm_per_tick3": Metric("mm/tick³", "third difference within chunks, mean"),
    "chunk_jerk_mm_per_tick3_p99": Metric("mm/tick³", "the same, 99th percentile"),
    "chunk_jerk_m_s3": Metric("m/s³", "chunk jerk, mean, in SI units"),
    "command_jerk_mm_per_tick3": Metric("mm/tick³", "third difference along the whole command, mean"),
    "command_jerk_mm_per_tick3_p99": Metric("mm/tick³", "the same, 99th percentile"),
    "command_jerk_m_s3": Metric("m/s³", "command jerk, mean, in SI units"),
    "command_jerk_mm_per_tick3_sent": Metric("mm/tick³", "command jerk after the limits, mean"),
    "command_jerk_mm_per_tick3_p99_sent": Metric("mm/tick³", "the same, 99th percentile"),
    "exceed": Metric("ticks", "planned steps over 2 mm (120 mm/s)"),
    "exceed_sent": Metric("ticks", "the same after the limits"),
    "sent_difference_mm": Metric("mm", "command sent to plan, after smoothing and limits, distance, mean"),
    "mean_speed_mm_s": Metric("mm/s", "of the command, from the first to the last motion of the reference"),
    "acceleration_rms_mm_s2": Metric("mm/s²", "change of the command's speed, root mean square, there"),
    "acceleration_per_speed_1_s": Metric(
        "1/s", "the same over the mean speed: an arm that is merely slower gains less"
    ),
    "speed_ripple": Metric("", "surging: speed against the reference's at the same place, RMS over the mean speed"),
    "speed_drops_per_s": Metric("1/s", "times the speed falls below half of the reference's at the same place"),
    "sparc": Metric("", "spectral arc length of the speed, for comparison with papers: blind to a surge of a tenth"),
    "mean_speed_mm_s_measured": Metric("mm/s", "mean speed of the measured TCP, there"),
    "acceleration_rms_mm_s2_measured": Metric("mm/s²", "acceleration of the measured TCP"),
    "acceleration_per_speed_1_s_measured": Metric("1/s", "the same over its mean speed"),
    "speed_ripple_measured": Metric("", "surging of the measured TCP"),
    "speed_drops_per_s_measured": Metric("1/s", "drops of the measured TCP's speed"),
    "sparc_measured": Metric("", "spectral arc length of the measured TCP's speed"),
    "starved_percent": Metric("% of cycles", "no due row although nothing was waited for: braking or holding"),
    "waiting_percent": Metric("% of cycles", "standing while a synchronous request is out"),
    "clamped_percent": Metric("% of cycles", "the limits changed the command"),
    "jitter_ms_p50": Metric("ms", "error of the command period against 1/60 s, median"),
    "jitter_ms_p99": Metric("ms", "the same, 99th percentile"),
    "jitter_ms_max": Metric("ms", "the same, largest"),
    "delay_ticks": Metric("ticks", "observation to first tick a chunk could own, mean"),
    "delay_ticks_max": Metric("ticks", "the same, largest"),
    "observation_age_ms": Metric("ms", "measurement of what a chunk answers to, to the first command it owns, mean"),
    "picture_age_ms_p50": Metric("ms", "the same measurement to the start of inference, median"),
    "picture_age_ms_p95": Metric("ms", "the same, 95th percentile"),
    "shift_ticks_rms": Metric("ticks", "by which chunks were shifted in time to lie on the plan, root mean square"),
    "shift_ticks_max": Metric("ticks", "the same, largest"),
    "late_handover": Metric("chunks", "chunks that arrived after the tick they were prepared for"),
    "inference_ms_p50": Metric("ms", "computation of a chunk in the policy, median; without the emulated latency"),
    "inference_ms_p99": Metric("ms", "the same, 99th percentile"),
    "refine_ms_p50": Metric("ms", "refinement time, median"),
    "refine_ms_p99": Metric("ms", "the same, 99th percentile"),
    "feed_percent": Metric("%", "ticks passed per cycle: below 100 the robot was slowed, braked or held"),
    "switches": Metric("", "times a new chunk took over"),
    "chunks": Metric("", "chunks that reached the executor"),
}


def episode_metrics(log: EpisodeLog, seed: int = 0) -> dict[str, float]:
    """All of METRICS for one episode, in that order; NaN for what the log does not tell.

    Args:
        log: the episode.
        seed: of the random places of `velocity_jump_floor`.
    """
    found = {
        **_task_metrics(log),
        **seam_metrics(log, seed),
        **jerk_metrics(log),
        **steadiness_metrics(log),
        **cycle_metrics(log),
        **chunk_metrics(log),
    }
    return {name: float(found[name]) for name in METRICS}


def distance_mm(points: np.ndarray, polyline: np.ndarray) -> np.ndarray:
    """Distance of each point (n, k) to a polyline (m, k) of at least one vertex, both [m] -> (n,) mm."""
    start = polyline[:-1] if len(polyline) > 1 else polyline
    along = (polyline[1:] if len(polyline) > 1 else polyline) - start
    squared = np.maximum(np.sum(along**2, -1), 1e-24)
    nearest = np.empty(len(points))
    for i in range(0, len(points), 256):  # keeps the table of points and segments small
        offset = points[i : i + 256, None] - start
        share = np.clip(np.sum(offset * along, -1) / squared, 0.0, 1.0)
        nearest[i : i + 256] = np.linalg.norm(offset - share[..., None] * along, axis=-1).min(1)
    return 1e3 * nearest


def _task_metrics(log: EpisodeLog) -> dict[str, float]:
    cycles = active(log)
    finished = log.meta.get("done_cycle") is not None or log.score.get("done", log.score.get("success", 0.0)) > 0
    distance = distance_mm(log.marks, log.goal) if len(log.marks) and len(log.goal) else np.zeros(0)
    return {
        "success": log.score.get("success", np.nan),
        "completion_s": _duration_s(cycles) if finished else np.nan,
        "deviation_mm": mean(distance),
        "deviation_p95_mm": percentile(distance, 95),
        "deviation_deg": mean(_turned_deg(log, cycles)),
    }


def _turned_deg(log: EpisodeLog, cycles: Cycles) -> np.ndarray:
    """Angle between the tool and its reference: measured, or planned where nothing was measured."""
    if log.reference_rotation is None or not len(cycles):
        return np.zeros(0)
    reference = action_from_pose(np.concatenate([np.zeros(3), log.reference_rotation]))
    measured = log.proprio.tcp_pose[(log.proprio.tick > cycles.tick[0]) & (log.proprio.tick <= cycles.tick[-1] + 1)]
    tool = action_from_pose(measured) if len(log.proprio) else cycles.planned
    return np.degrees(angle_between(tool, np.broadcast_to(reference, tool.shape)))


def _duration_s(cycles: Cycles) -> float:
    return float(cycles.cycle[-1] - cycles.cycle[0] + 1) / HZ if len(cycles) else np.nan
