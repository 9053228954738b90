"""Open loop: what a policy predicts for observations that were recorded, against what was done then.

Definitions are those of `operators.measure.metrics`; here each also axis by axis. Rotations are compared in the tool's
axes of the demonstration: roll, pitch and yaw are the components of the rotation vector of R_demonstrated' R_predicted.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from operators.measure.intervals import mean, percentile
from operators.measure.jerk import JERK_M_S3
from operators.motion.rotation import angle_between, matrix_from_6d, vector_from_matrix
from operators.motion.rows import Rows

XYZ, TURNS = ("x", "y", "z"), ("roll", "pitch", "yaw")


def open_loop(chunks: Sequence[Rows], demonstrated: Rows, delay: int = 8) -> dict[str, float]:
    """Deviation, jerk, overlap and gap of the chunks of one episode; NaN for what cannot be measured.

    Args:
        chunks: absolute rows, in the order of their observations; the first row of each is due at its observation.
        demonstrated: what was commanded, one row a tick.
        delay: ticks from a chunk's observation to its first played row, for the gap.
    """
    pairs = [_both(chunk, demonstrated) for chunk in chunks]
    pairs = [(predicted, wanted) for predicted, wanted in pairs if len(predicted) > 3]
    found: dict[str, list[np.ndarray]] = {}
    for predicted, wanted in pairs:
        error = 1e3 * np.abs(predicted[:, :3].astype(np.float64) - wanted[:, :3])
        turn = np.degrees(np.abs(turns(predicted, wanted)))
        jerk = 1e3 * np.abs(np.diff(predicted[:, :3].astype(np.float64), 3, axis=0))
        columns = {f"deviation_{axis}_mm": error[:, i] for i, axis in enumerate(XYZ)}
        columns |= {f"deviation_{axis}_deg": turn[:, i] for i, axis in enumerate(TURNS)}
        columns |= {f"jerk_{axis}_mm_per_tick3": jerk[:, i] for i, axis in enumerate(XYZ)}
        for name, values in columns.items():
            found.setdefault(name, []).append(values)
    whole = [open_loop_metrics(predicted, wanted) for predicted, wanted in pairs]
    weights = [len(predicted) for predicted, _ in pairs]
    overall = {
        name: float(np.average([each[name] for each in whole], weights=weights)) if whole else np.nan
        for name in ("deviation_mm", "deviation_deg", "chunk_jerk_mm_per_tick3")
    }
    axes = {name: float(np.mean(np.concatenate(parts))) for name, parts in found.items()}
    return {**overall, **axes, **_seams(chunks, delay)}


def turns(predicted: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Roll, pitch, yaw [rad] from the wanted to the predicted rotation in the wanted tool's axes; (n, 10) -> (n, 3)."""
    left, right = matrix_from_6d(wanted[..., 3:9]), matrix_from_6d(predicted[..., 3:9])
    return vector_from_matrix(np.swapaxes(left, -1, -2) @ right)


def _both(chunk: Rows, demonstrated: Rows) -> tuple[np.ndarray, np.ndarray]:
    """The actions of the ticks both cover."""
    start, end = max(chunk.tick, demonstrated.tick), min(chunk.end, demonstrated.end)
    return chunk.between(start, end).action, demonstrated.between(start, end).action


def _seams(chunks: Sequence[Rows], delay: int) -> dict[str, float]:
    """Where one chunk would follow another: difference over the ticks both cover, step at the switch."""
    overlap, gap = list[np.ndarray](), list[np.ndarray]()
    for old, new in pairwise(chunks):
        left, right = _both(old, new)
        if len(left):
            overlap.append(1e3 * np.abs(left[:, :3].astype(np.float64) - right[:, :3]))
        switch = new.tick + delay
        if old.tick < switch <= old.end and new.tick <= switch < new.end:
            gap.append(1e3 * np.abs(new.at(switch)[:3].astype(np.float64) - old.at(switch - 1)[:3]))
    differences, steps = _stacked(overlap), _stacked([step[None] for step in gap])
    found = {
        "overlap_difference_mm": float(differences.mean()),
        "boundary_gap_mm": float(np.linalg.norm(steps, axis=-1).mean()),
    }
    found |= {f"overlap_{axis}_mm": float(differences[:, i].mean()) for i, axis in enumerate(XYZ)}
    return found | {f"gap_{axis}_mm": float(steps[:, i].mean()) for i, axis in enumerate(XYZ)}


def _stacked(parts: list[np.ndarray]) -> np.ndarray:
    """(n, 3); one row of NaN for nothing."""
    return np.concatenate(parts) if parts else np.full((1, 3), np.nan)


def open_loop_metrics(predicted: np.ndarray, demonstrated: np.ndarray) -> dict[str, float]:
    """Deviation and jerk of predicted chunks against demonstrated ones, both (..., H, 10), absolute or relative alike.

    `deviation_mm` is the mean over rows and axes of the absolute difference, `deviation_deg` the mean angle.
    """
    xyz = np.asarray(predicted, np.float64)[..., :3]
    error = 1e3 * np.abs(xyz - np.asarray(demonstrated, np.float64)[..., :3])
    jerk = np.linalg.norm(1e3 * np.diff(xyz, 3, axis=-2), axis=-1)
    return {
        "deviation_mm": mean(error),
        "deviation_p95_mm": percentile(error, 95),
        "deviation_deg": mean(np.degrees(angle_between(predicted, demonstrated))),
        "chunk_jerk_mm_per_tick3": mean(jerk),
        "chunk_jerk_mm_per_tick3_p99": percentile(jerk, 99),
        "chunk_jerk_m_s3": JERK_M_S3 * mean(jerk),
    }
