"""Reuse-then-Refine: make a new chunk begin where the robot already is ("Learning High-Frequency Continuous Action
Chunks in Latent Space", arXiv 2605.24931).

    predicted  the new chunk, row i due at t0 + i
    executed   what was played since t0: d rows, d is the inference delay in ticks
    planned    the next rows of the current plan

    splice  = executed ++ planned (hand-over and margin) ++ the rest of predicted      H rows, each tick once
    refined = decode(encode(splice))
"""

from collections.abc import Callable
from math import inf, isfinite

import numpy as np

from operators.motion.join import FADE_ROWS, quintic
from operators.motion.rows import Rows, concat

Reconstruct = Callable[[Rows], Rows]

HANDOVER = 2  # rows played while refining, sending and waiting for the next cycle
MARGIN = 3  # rows of the current plan kept beyond that: more softens the seam, but plays older predictions
EASED_M = 4e-3  # by phase: a larger step from the plan to the chunk is a correction across the path
RELEASED_REUSE = 24  # the constant in the authors' released code, whatever the delay


class LateChunk(ValueError):
    """A chunk all of whose rows are past."""

    def __init__(self, late: int, horizon: int):
        super().__init__(f"expected a chunk that reaches past the executed rows, got {horizon} rows {late} ticks late")


def refine(
    method: str,
    predicted: Rows,
    executed: Rows,
    planned: Rows,
    reconstruct: Reconstruct,
    margin: int = MARGIN,
    largest_step_m: float = inf,
) -> Rows:
    """Refine a chunk by one of METHODS.

    Args:
        method: `rtr` (hand-over and margin), `rtr_paper` (executed only) or `rtr_released` (24 rows of the old plan).
        predicted: H absolute rows from the observation's tick t0 on.
        executed: the newest executed rows, oldest first; may begin before t0.
        planned: what is planned after them; may be empty.
        reconstruct: codec encode-decode of H absolute rows.
        margin: rows of the current plan kept after the hand-over, `rtr` only.
        largest_step_m: from the plan to the chunk in the splice; what is over it is faded out first (see `eased`).

    Returns:
        The rows from the first one not executed on. Nothing executed since t0 (the robot stood): `predicted` itself.

    Raises:
        LateChunk: all rows are past.
        ValueError: an unknown method, or executed rows that do not reach back to t0.
    """
    if method not in METHODS:
        raise ValueError(f"expected REFINE to be one of {', '.join(METHODS)}, got {method}")
    delay = planned.tick - predicted.tick
    if delay <= 0:
        return predicted
    reuse = {"rtr": delay + HANDOVER + margin, "rtr_paper": delay, "rtr_released": max(RELEASED_REUSE, delay)}[method]
    kept = planned.between(planned.tick, predicted.tick + min(reuse, len(predicted) - 1))
    return reuse_then_refine(
        eased(predicted, planned, kept.end, largest_step_m), executed.since(predicted.tick), kept, reconstruct
    )


def eased(predicted: Rows, planned: Rows, seam: int, largest_step_m: float) -> Rows:
    """A chunk that is no farther than that from the plan at the seam: the excess is faded out over FADE_ROWS.

    A codec of smooth motions rings at a step of many millimetres, as a chunk makes that has found a lost line again.
    """
    if not planned.tick <= seam < min(planned.end, predicted.end) or not isfinite(largest_step_m):
        return predicted
    step = planned.at(seam)[:3].astype(np.float64) - predicted.at(seam)[:3]
    length = float(np.linalg.norm(step))
    if length <= largest_step_m:
        return predicted
    left = 1 - quintic((np.arange(len(predicted)) + predicted.tick - seam) / FADE_ROWS)
    action = predicted.action.copy()
    action[:, :3] += (left[:, None] * step * (1 - largest_step_m / length)).astype(np.float32)
    return Rows(predicted.tick, action)


METHODS = ("rtr", "rtr_paper", "rtr_released")
AS_PUBLISHED = METHODS[1:]  # whose chunks are laid on the plan by tick, as there


def reuse_then_refine(predicted: Rows, executed: Rows, planned: Rows, reconstruct: Reconstruct) -> Rows:
    """Put what was and will be executed in front of a chunk, then smooth the whole through the codec.

    Args:
        predicted: H rows, consecutive ticks from the observation on.
        executed: rows played since the observation, oldest first; fewer than H.
        planned: the next rows of the current plan to keep (hand-over and margin); may be empty.
        reconstruct: codec encode-decode of H rows.

    Returns:
        The rows still to come; the first is due one tick after `executed`.

    Raises:
        LateChunk: nothing of the chunk is left.
        ValueError: executed rows do not begin with the chunk.
    """
    if len(executed) >= len(predicted):
        raise LateChunk(late=len(executed), horizon=len(predicted))
    reused = concat(executed, planned)
    splice = concat(reused, predicted.since(reused.end))
    if splice.tick != predicted.tick or len(splice) != len(predicted):
        raise ValueError(
            f"expected a splice of ticks {predicted.tick}..{predicted.end - 1}, got {splice.tick}..{splice.end - 1}"
        )
    return reconstruct(splice).since(executed.end)
