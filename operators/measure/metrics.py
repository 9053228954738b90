"""Every metric of an episode, one definition each; METRICS names them with unit and meaning.

Two series are measured. *Plan time* is one planned row a tick: seams, gaps and jerk within chunks live there, so
cycles in which the robot is held change none of them. The *command* is one entry a cycle, held or not. Differences
are Euclidean norms of xyz in mm, so no figure depends on the choice of axes. What cannot be measured is NaN.
Names that end in `_sent` use the action after the limits, all others the plan before them.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from operators.chunks.refine import HANDOVER
from operators.measure.intervals import largest, mean, percentile
from operators.measure.log import ChunkRecord, Cycles, EpisodeLog, PlanTime
from operators.measure.steadiness import USUAL_HORIZON_S, steadiness
from operators.messages import HZ
from operators.motion.rotation import action_from_pose, angle_between
from operators.schema import ACTION_WIDTH

WINDOW = 16  # rows after the first of a new chunk in which a seam still counts
STEP_LIMIT_MM = 2.0  # 120 mm/s, the servo limit of arXiv 2605.24931
FLOOR_DRAWS = 4  # random windows a chunk
JERK_M_S3 = 1e-3 * HZ**3  # one mm/tick^3 in m/s^3


class Metric(NamedTuple):
    """What a name stands for."""

    unit: str
    meaning: str


METRICS = {
    "success": Metric("", "the task's own judgement, 0 or 1"),
    "completion_s": Metric("s", "first played row to task done"),
    "deviation_mm": Metric("mm", "mean distance of the ink to the target"),
    "deviation_p95_mm": Metric("mm", "the same, 95th percentile over the ink"),
    "deviation_deg": Metric("deg", "mean angle between tool and reference rotation"),
    "velocity_jump": Metric("mm/tick", "short for velocity_jump_mm_per_tick"),
    "velocity_jump_mm_per_tick": Metric(
        "mm/tick", "largest second difference from a switch to 16 rows after it, mean over switches"
    ),
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


class Ownership(NamedTuple):
    """One switch: index of the first row of the new chunk, and of the next switch or the end."""

    start: int
    end: int


def episode_metrics(log: EpisodeLog, seed: int = 0) -> dict[str, float]:
    """All of METRICS for one episode, in that order; NaN for what the log does not tell.

    Args:
        log: the episode.
        seed: of the random places of `velocity_jump_floor`.
    """
    found = {
        **_task_metrics(log),
        **_seam_metrics(log, seed),
        **_jerk_metrics(log),
        **_steadiness_metrics(log),
        **_cycle_metrics(log),
        **_chunk_metrics(log),
    }
    return {name: float(found[name]) for name in METRICS}


def plan_time(log: EpisodeLog) -> PlanTime:
    """One row a tick: the plan as it was passed, whatever was held in between.

    Without `log.plan` a row is what was commanded in the cycle that reached it while playing; NaN for other states
    and for commands that were not received.
    """
    if log.plan is not None:
        return log.plan._replace(chunk_id=_carry_forward(log.plan.chunk_id))
    cycles = log.cycles
    first = _reaching(cycles)
    start = int(cycles.tick[first[0]]) if len(first) else 0
    at = cycles.tick[first] - start
    action = np.full((at[-1] + 1 if len(at) else 0, ACTION_WIDTH), np.nan, np.float32)
    owner = np.full(len(action), -1, np.int64)
    owner[at] = cycles.chunk_id[first]
    played = cycles.state[first] == "playing"
    action[at[played]] = cycles.planned[first[played]]
    return PlanTime(start, action, _carry_forward(owner))


def sent_in_plan_time(log: EpisodeLog) -> PlanTime:
    """The same after the limits: each row plus what they changed of xyz in the cycle that reached it."""
    plan, cycles = plan_time(log), log.cycles
    first = _reaching(cycles)
    first = first[(cycles.tick[first] >= plan.tick) & (cycles.tick[first] < plan.tick + len(plan.action))]
    action = plan.action.copy()
    action[cycles.tick[first] - plan.tick, :3] += cycles.action[first, :3] - cycles.planned[first, :3]
    return plan._replace(action=action)


def switches(plan: PlanTime) -> list[Ownership]:
    """Where one chunk's rows follow another's; the first chunk of an episode follows none."""
    owner = plan.chunk_id
    at = 1 + np.flatnonzero((owner[1:] != owner[:-1]) & (owner[:-1] >= 0))
    return [Ownership(int(i), int(end)) for i, end in pairwise([*at, len(owner)])]


def active(log: EpisodeLog) -> Cycles:
    """The cycles from the first played row until the task was done (`meta["done_cycle"]`) or the log ends."""
    cycles = log.cycles
    played = np.flatnonzero(cycles.state == "playing")
    start = int(played[0]) if len(played) else len(cycles)
    done = log.meta.get("done_cycle")
    end = len(cycles) if done is None else int(np.searchsorted(cycles.cycle, done, side="right"))
    return Cycles(**{name: array[start:end] for name, array in vars(cycles).items()})


def step_mm(action: np.ndarray) -> np.ndarray:
    """Length of each step [mm]; (n, >=3) -> (n,), the first NaN."""
    return _difference_mm(action, 1)


def second_difference_mm(action: np.ndarray) -> np.ndarray:
    """|u[i] - 2 u[i-1] + u[i-2]| of xyz [mm/tick]; (n, >=3) -> (n,), the first two NaN."""
    return _difference_mm(action, 2)


def third_difference_mm(action: np.ndarray) -> np.ndarray:
    """Norm of the third difference of xyz [mm/tick^3]; (n, >=3) -> (n,), the first three NaN."""
    return _difference_mm(action, 3)


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


def open_loop_metrics(predicted: np.ndarray, demonstrated: np.ndarray) -> dict[str, float]:
    """Deviation and jerk of predicted chunks against demonstrated ones, both (..., H, 10), absolute or relative alike.

    `deviation_mm` is the mean over rows and axes of the absolute difference, `deviation_deg` the mean angle.
    """
    error = 1e3 * np.abs(np.asarray(predicted, np.float64)[..., :3] - np.asarray(demonstrated, np.float64)[..., :3])
    jerk = chunk_jerk_mm(predicted)
    return {
        "deviation_mm": mean(error),
        "deviation_p95_mm": percentile(error, 95),
        "deviation_deg": mean(np.degrees(angle_between(predicted, demonstrated))),
        "chunk_jerk_mm_per_tick3": mean(jerk),
        "chunk_jerk_mm_per_tick3_p99": percentile(jerk, 99),
        "chunk_jerk_m_s3": JERK_M_S3 * mean(jerk),
    }


def chunk_jerk_mm(chunks: np.ndarray) -> np.ndarray:
    """Norms of all third differences of chunks (..., H, >=3) -> (..., H - 3) mm/tick^3."""
    return np.linalg.norm(1e3 * np.diff(np.asarray(chunks, np.float64)[..., :3], 3, axis=-2), axis=-1)


def _task_metrics(log: EpisodeLog) -> dict[str, float]:
    cycles = active(log)
    finished = log.meta.get("done_cycle") is not None or log.score.get("done", log.score.get("success", 0.0)) > 0
    written = bool(len(log.marks) and len(log.goal))
    distance = distance_mm(log.marks, log.goal) if written else np.zeros(0)
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


def _seam_metrics(log: EpisodeLog, seed: int) -> dict[str, float]:
    plan, sent = plan_time(log), sent_in_plan_time(log)
    at = [switch.start for switch in switches(plan)]
    jumps = seam_jumps_mm(plan)
    step = 1e3 * np.diff(plan.action[:, :3].astype(np.float64), axis=0, prepend=np.nan)[at]
    arrived = _handed(log)
    inside = [chunk.handed.action for chunk in arrived if chunk.handed is not None] or _owned_rows(plan)
    return {
        "switches": len(at),
        "velocity_jump": mean(jumps),
        "velocity_jump_mm_per_tick": mean(jumps),
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


def _owned_rows(plan: PlanTime) -> list[np.ndarray]:
    """The played rows of each chunk."""
    return np.split(plan.action, [switch.start for switch in switches(plan)])


def _jerk_metrics(log: EpisodeLog) -> dict[str, float]:
    plan, cycles = plan_time(log), active(log)
    within = np.concatenate([third_difference_mm(rows) for rows in _owned_rows(plan)])
    whole = third_difference_mm(_without_gaps(cycles, cycles.planned))
    sent = third_difference_mm(_without_gaps(cycles, cycles.action))
    return {
        "chunk_jerk_mm_per_tick3": mean(within),
        "chunk_jerk_mm_per_tick3_p99": percentile(within, 99),
        "chunk_jerk_m_s3": JERK_M_S3 * mean(within),
        "command_jerk_mm_per_tick3": mean(whole),
        "command_jerk_mm_per_tick3_p99": percentile(whole, 99),
        "command_jerk_m_s3": JERK_M_S3 * mean(whole),
        "command_jerk_mm_per_tick3_sent": mean(sent),
        "command_jerk_mm_per_tick3_p99_sent": percentile(sent, 99),
        "sent_difference_mm": mean(1e3 * np.linalg.norm((cycles.action - cycles.planned)[:, :3], axis=-1)),
    }


def _steadiness_metrics(log: EpisodeLog) -> dict[str, float]:
    horizon_s = execution_horizon_s(log)
    commanded = steadiness(every_cycle(active(log)), log.reference, horizon_s)
    measured = steadiness(measured_every_cycle(log), log.reference, horizon_s)
    return {**commanded, **{f"{name}_measured": value for name, value in measured.items()}}


def execution_horizon_s(log: EpisodeLog) -> float:
    """Median time from one takeover to the next; the usual one where there are fewer than three."""
    at = np.array([switch.start for switch in switches(plan_time(log))])
    return float(np.median(np.diff(at))) / HZ if len(at) > 2 else USUAL_HORIZON_S


def every_cycle(cycles: Cycles) -> np.ndarray:
    """Commanded positions (n, 3) m, one a cycle; those not received lie on the line between their neighbours."""
    if not len(cycles):
        return np.zeros((0, 3))
    at = np.arange(cycles.cycle[0], cycles.cycle[-1] + 1)
    return np.stack([np.interp(at, cycles.cycle, axis) for axis in cycles.planned[:, :3].astype(np.float64).T], -1)


def measured_every_cycle(log: EpisodeLog) -> np.ndarray:
    """Measured positions (n, 3) m, one a cycle; by the stamps where a clock was read."""
    measured = log.proprio
    if not len(measured):
        return np.zeros((0, 3))
    periods = np.maximum(np.rint(np.diff(measured.t_ns) * HZ / 1e9), measured.t_ns[0] == measured.t_ns[-1])
    cycle = np.concatenate([[0], np.cumsum(periods)])
    at = np.arange(cycle[-1] + 1)
    return np.stack([np.interp(at, cycle, axis) for axis in measured.tcp_pose[:, :3].T], -1)


def _without_gaps(cycles: Cycles, action: np.ndarray) -> np.ndarray:
    """The actions (n, 10) with a NaN row wherever commands were not received, so that no difference spans it."""
    missing = 1 + np.flatnonzero(np.diff(cycles.cycle) != 1)
    return np.insert(action.astype(np.float64), missing, np.nan, axis=0)


def jitter_ms(cycles: Cycles) -> np.ndarray:
    """abs(period - 1/60 s) of neighbouring cycles [ms], to the microsecond; none where no clock was read."""
    if not len(cycles) or cycles.t_ns[0] == cycles.t_ns[-1]:
        return np.zeros(0)
    return np.round(np.abs(np.diff(cycles.t_ns)[np.diff(cycles.cycle) == 1] / 1e6 - 1e3 / HZ), 3)


def is_late(chunk: ChunkRecord) -> bool:
    """Whether a chunk reached the executor after the tick it was prepared for.

    A refined chunk no longer begins at its observation: it is good for HANDOVER rows after its first. Any other
    was asked for with an expected delay.
    """
    if chunk.arrival_tick is None:
        return False
    if chunk.handed is not None and chunk.handed.tick > chunk.t0:
        return chunk.arrival_tick > chunk.handed.tick + HANDOVER
    return chunk.expected_tick is not None and chunk.arrival_tick > chunk.expected_tick


def _cycle_metrics(log: EpisodeLog) -> dict[str, float]:
    cycles = active(log)
    jitter = jitter_ms(log.cycles)
    return {
        "starved_percent": 100 * mean(np.isin(cycles.state, ("braking", "holding"))),
        "waiting_percent": 100 * mean(cycles.state == "waiting"),
        "clamped_percent": 100 * mean(cycles.clamped != 0),
        "feed_percent": 100 * (cycles.tick[-1] - cycles.tick[0] + 1) / len(cycles) if len(cycles) else np.nan,
        "jitter_ms_p50": percentile(jitter, 50),
        "jitter_ms_p99": percentile(jitter, 99),
        "jitter_ms_max": largest(jitter),
    }


def _chunk_metrics(log: EpisodeLog) -> dict[str, float]:
    delay = np.array([chunk.arrival_tick - chunk.t0 for chunk in log.chunks if chunk.arrival_tick is not None])
    inference = np.array([chunk.inference_ms for chunk in log.chunks if chunk.inference_ms is not None], np.float64)
    picture = np.array([picture_age_ms(chunk) for chunk in log.chunks])
    age = np.array([observation_age_ms(chunk) for chunk in log.chunks])
    shift = np.array([chunk.shift_ticks for chunk in log.chunks if chunk.shift_ticks is not None], np.float64)
    refine = np.array([chunk.refine_ms for chunk in log.chunks if chunk.refine_ms is not None])
    return {
        "chunks": len(delay),
        "delay_ticks": mean(delay),
        "delay_ticks_max": largest(delay),
        "observation_age_ms": mean(age),
        "picture_age_ms_p50": percentile(picture, 50),
        "picture_age_ms_p95": percentile(picture, 95),
        "shift_ticks_rms": np.sqrt(mean(shift**2)),
        "shift_ticks_max": largest(np.abs(shift)),
        "late_handover": sum(is_late(chunk) for chunk in log.chunks),
        "inference_ms_p50": percentile(inference, 50),
        "inference_ms_p99": percentile(inference, 99),
        "refine_ms_p50": percentile(refine, 50),
        "refine_ms_p99": percentile(refine, 99),
    }


def observation_age_ms(chunk: ChunkRecord) -> float:
    """From the measurement a chunk answers to, to the first command that plays a row of it; NaN if not seen."""
    if chunk.exposed_ns is None or chunk.takeover_ns is None:
        return np.nan
    return (chunk.takeover_ns - chunk.exposed_ns) / 1e6


def picture_age_ms(chunk: ChunkRecord) -> float:
    """How old what a chunk answers to was when inference began; NaN if that was not seen."""
    if chunk.exposed_ns is None or chunk.inference_start_ns is None:
        return np.nan
    return (chunk.inference_start_ns - chunk.exposed_ns) / 1e6


def _difference_mm(action: np.ndarray, order: int) -> np.ndarray:
    xyz = 1e3 * np.asarray(action, np.float64)[:, :3]
    size = np.full(len(xyz), np.nan)
    size[order:] = np.linalg.norm(np.diff(xyz, order, axis=0), axis=-1)
    return size


def _reaching(cycles: Cycles) -> np.ndarray:
    """Indices of the cycles in which the tick increased."""
    reached = np.maximum.accumulate(cycles.tick) if len(cycles) else cycles.tick
    return np.flatnonzero(np.diff(reached, prepend=-1) > 0)


def _carry_forward(owner: np.ndarray) -> np.ndarray:
    """Fill -1 with the last owner before it."""
    known = np.maximum.accumulate(np.where(owner >= 0, np.arange(len(owner)), 0))
    return owner[known]


def _duration_s(cycles: Cycles) -> float:
    return float(cycles.cycle[-1] - cycles.cycle[0] + 1) / HZ if len(cycles) else np.nan
