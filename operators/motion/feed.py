"""Feed rate: how fast plan time passes. Braking and slow policies change the speed along the plan, never the path.

`position` is plan time in ticks (5.0: row 5 is commanded), `rate` the ticks a cycle, 0..1. At rate 1 positions are
whole, so rows are commanded as planned, bit by bit.
"""

from math import ceil, floor, sqrt

DECELERATION = 1 / 8  # of the rate, per cycle: from full rate the robot stands within 4.5 rows
OVERDUE_CYCLES = 4.0
STOPPING_ROWS = (1 + DECELERATION) / (2 * DECELERATION)


def advance(position: float, rate: float, last: int, pace: float = 1.0) -> tuple[float, float]:
    """One cycle along the plan.

    Args:
        position: plan time reached.
        rate: of the previous cycle.
        last: tick of the plan's last row: the position never passes it and comes to rest on it.
        pace: rate wished for, 0..1; 1 outside a slow-down.

    Returns:
        The new position and rate. Back at full rate the position is whole again.
    """
    remaining = last - position
    if remaining <= 0:
        return position, 0.0
    fastest = stopping_rate(remaining)
    wished = min(pace, fastest)
    if wished < 1:
        rate = min(fastest, max(wished, rate - DECELERATION), rate + DECELERATION)
        return (float(last), 0.0) if rate >= remaining else (position + rate, rate)
    if rate >= 1:
        return position + 1, 1.0
    return _speed_up(position, rate)


def stopping_rate(remaining: float) -> float:
    """The rate at which a cycle may pass with `remaining` rows left: v + (v - a) + (v - 2a) + ... = remaining."""
    return min(1.0, DECELERATION * (sqrt(0.25 + 2 * remaining / DECELERATION) - 0.5))


def _speed_up(position: float, rate: float) -> tuple[float, float]:
    """Linear ramp to rate 1 whose length is chosen so that it ends on a whole position.

    A ramp of T cycles from `rate` loses (1 - rate) T / 2 ticks against full rate; that loss must be the fraction of
    the position plus a whole number, the smallest that keeps the acceleration.
    """
    lack = 1 - rate
    fraction = position - floor(position)
    whole = max(0, ceil(lack**2 / (2 * DECELERATION) - fraction - 1e-9))
    loss = fraction + whole
    cycles = 2 * loss / lack
    if cycles <= 1 + 1e-9:
        return float(round(position + 1 - loss)), 1.0
    return position + rate + lack / (2 * cycles), rate + lack / cycles


def sustainable(horizon: int, delay: int) -> float:
    """The rate that chunks of `horizon` rows can keep up when each takes `delay` cycles: 1, or less for a slow policy.

    A chunk observed now arrives with horizon - delay * rate rows left, which must last until the next arrives, which
    is asked for a cycle later. Were that cycle not counted, long chunks would find alternately more and fewer rows.
    """
    return min(1.0, (horizon - STOPPING_ROWS) / (2 * max(delay, 1) + 1))


def pace(remaining: float, due_in: float, slowest: float) -> float:
    """The rate at which the rows last until the next chunk is due.

    Args:
        remaining: planned rows left.
        due_in: cycles until the next chunk is expected; an overdue one counts as OVERDUE_CYCLES away.
        slowest: no slower than this; below it braking and waiting is the better answer.
    """
    return min(1.0, max(slowest, (remaining - STOPPING_ROWS) / (due_in if due_in >= 1 else OVERDUE_CYCLES)))
