"""A hard envelope around the actions sent: workspace box, speed, acceleration, jerk, also of rotation, gripper rate.

Speed, acceleration and jerk are differences of consecutive actions (times 60, 60^2, 60^3), taken as vector norms: of
positions, and of the rotation vectors log(R_k R_{k-1}^T) that lead from one action to the next, both in the base frame.

What makes it hard is an invariant: from every state reached, one fixed braking policy comes to a stand inside the
limits. A planned row is sent unchanged if it keeps the limits and the invariant. Otherwise the limiter steers back to
the plan, mixed with as much braking as the invariant asks for; braking alone keeps it, so there always is a step.

All of this runs on plain floats (`motion.vectors`).
"""

from dataclasses import dataclass
from functools import cached_property
from math import ceil, hypot, inf, isfinite, sqrt
from typing import NamedTuple

import numpy as np

from operators.messages import HZ
from operators.motion.vectors import ZERO, Columns, Vector, add, clipped, shortened, turn_between, turned
from operators.schema import ACTION_WIDTH

# The bits of `clamped`: what the planned row would break, now, while braking after it, or on the way back to the plan.
SPEED, ACCELERATION, JERK, BOX = 1, 2, 4, 8
ROTATION_SPEED, ROTATION_ACCELERATION, ROTATION_JERK, GRIPPER = 16, 32, 64, 128
NAMES = ("speed", "acceleration", "jerk", "box", "rotation_speed", "rotation_acceleration", "rotation_jerk", "gripper")

# Rounding actions to float32 may add this to a third difference [m, rad]. Steps the limiter makes itself stay that far
# inside the limits: what is sent never exceeds them, and a second limiter downstream lets it pass.
# Rounding of a speed grows over the ticks of a stop, so speed and box get the larger margin.
ROUNDING, MARGIN = 1e-6, 1e-5
# Shares of the limits used to slow down at the plan and to join it: the rest is for a plan that accelerates meanwhile.
APPROACH, REJOIN = 0.4, 0.8


def names(clamped: int) -> list[str]:
    """The limits in a bit set."""
    return [name for i, name in enumerate(NAMES) if clamped >> i & 1]


class Limits(NamedTuple):
    """Norms of differences per tick [m or rad], and the box [m]."""

    speed: float
    acceleration: float
    jerk: float
    low: Vector = (-inf, -inf, -inf)
    high: Vector = (inf, inf, inf)

    @property
    def braking(self) -> float:
        """The acceleration used for braking: one tick can build it up or end it, so a stop needs no look ahead."""
        return min(self.acceleration, self.jerk) - ROUNDING

    @property
    def box(self) -> tuple[Vector, Vector]:
        return self.low, self.high

    def inner(self, position: Vector) -> "Limits":
        """The same less a margin, except that a position already in the margin may stay there."""
        low = clipped(add(self.low, (MARGIN, MARGIN, MARGIN)), self.low, position)
        high = clipped(add(self.high, (MARGIN, MARGIN, MARGIN), -1), position, self.high)
        return self._replace(speed=self.speed - MARGIN, low=low, high=high)

    def exceeded(self, step: Vector, change: Vector, jerk: Vector, share: float = 1.0) -> int:
        """Bits of the limits that the first three differences break, with only a share of each limit granted."""
        bits = SPEED if hypot(*step) > share * self.speed else 0
        bits |= ACCELERATION if hypot(*change) > share * self.acceleration else 0
        return bits | (JERK if hypot(*jerk) > share * self.jerk else 0)


@dataclass(frozen=True)
class Envelope:
    """Limits in SI units; the box bounds the TCP position in the base frame [m]. A robot's own are in robots/."""

    low: Vector
    high: Vector
    speed_m_s: float
    acceleration_m_s2: float
    jerk_m_s3: float
    rotation_speed_rad_s: float
    rotation_acceleration_rad_s2: float
    rotation_jerk_rad_s3: float
    gripper_rate_1_s: float  # full strokes a second

    def __post_init__(self):
        if not all(-inf < low + 10 * MARGIN < high < inf for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"expected the low corner of the box below the high one, got {self}")
        rates = (*self.translation[:3], *self.rotation[:3], self.gripper_rate_1_s / HZ)
        if not all(2 * MARGIN < rate < inf for rate in rates):
            raise ValueError(f"expected positive finite limits, got {self}")

    @cached_property
    def translation(self) -> Limits:
        rates = self.speed_m_s / HZ, self.acceleration_m_s2 / HZ**2, self.jerk_m_s3 / HZ**3
        return Limits(*rates, _inside(self.low, 1), _inside(self.high, -1))

    @cached_property
    def rotation(self) -> Limits:
        rates = self.rotation_speed_rad_s / HZ, self.rotation_acceleration_rad_s2 / HZ**2
        return Limits(*rates, self.rotation_jerk_rad_s3 / HZ**3)


class Motion(NamedTuple):
    """How positions or rotations moved last; per tick, base frame [m or rad]."""

    step: Vector = ZERO  # first difference of what was sent
    change: Vector = ZERO  # second difference
    plan_step: Vector = ZERO  # first difference of the plan
    drift: Vector = ZERO  # velocity the plan is thought to have, jumps left out
    on_plan: bool = True

    def follow(
        self, position: Vector, target: Vector, gap: Vector, plan_step: Vector, limits: Limits
    ) -> tuple["Motion", int]:
        """The next motion, and what forbids the step `gap` that leads from `position` onto the plan (0: taken).

        `target` is where that step ends: a sum may round to beyond the wall.
        """
        change = add(gap, self.step, -1)
        bits = limits.exceeded(gap, change, add(change, self.change, -1))
        bits = bits or _unsafe(target, gap, change, limits)
        jump = hypot(*add(plan_step, self.plan_step, -1)) > limits.acceleration
        drift = add(ZERO, self.drift, 0.8) if jump else plan_step
        if not bits and not self.on_plan:  # on it again only if it can be kept: no touching and overshooting
            back = add(drift, gap, -1)
            bits = limits.exceeded(ZERO, back, add(back, change, -1), REJOIN)
            bits |= limits.exceeded(ZERO, ZERO, back, REJOIN)
        if not bits:
            return Motion(gap, change, plan_step, drift, True), 0
        change = self._return(position, gap, drift, limits)
        return Motion(add(self.step, change), change, plan_step, drift, False), bits

    def _return(self, position: Vector, gap: Vector, drift: Vector, limits: Limits) -> Vector:
        """The change of step that closes the gap soonest, in the frame that drifts with the plan."""
        inner = limits.inner(position)
        error = add(gap, drift, -1)
        size = hypot(*error)
        slowing = APPROACH * limits.braking
        approach = _first_of_series(size, slowing)
        wanted = shortened(add(drift, error, approach / size if size else 0.0), inner.speed)
        # Towards a wall only as fast as it can be neared while braking for it costs no speed along it.
        ticks = 2 + hypot(*wanted) / limits.braking
        low, high = (add(ZERO, add(corner, position, -1), 1 / ticks) for corner in (inner.low, inner.high))
        wanted = clipped(wanted, low, high)
        # Speeding up no more than the jerk can turn into slowing down in one tick: there is no overshoot.
        faster = approach > hypot(*add(self.step, drift, -1))
        push = min(limits.braking, limits.jerk - slowing) if faster else limits.braking
        wanted = shortened(add(wanted, self.step, -1), push)
        wanted = _within_jerk(self.change, wanted, limits)
        brake = _brake(self.step, self.change, limits)
        best, share, low, width = brake, 1.0, 0.0, 1.0
        for _ in range(6):  # bisection for the largest share of `wanted` that still can brake
            mixed = add(brake, add(wanted, brake, -1), share)
            step = add(self.step, mixed)
            if not _unsafe(add(position, step), step, mixed, inner):
                best, low = mixed, share
                if share == 1.0:
                    break
            width /= 2
            share = low + width
        return best


class Limiter(NamedTuple):
    """The state behind the last action sent. Immutable: `limit` returns the next one."""

    envelope: Envelope
    position: Vector  # m, base frame
    columns: Columns  # rotation, base frame
    gripper: float
    planned_position: Vector
    planned_columns: Columns
    translation: Motion = Motion()
    rotation: Motion = Motion()

    @classmethod
    def start(cls, action: np.ndarray, envelope: Envelope) -> "Limiter":
        """At rest at an action (10,).

        Raises:
            ValueError: not an action, or outside the box, where no step would be allowed.
        """
        row, position, columns = _read(action)
        if clipped(position, *envelope.translation.box) != position:
            raise ValueError(f"expected a start in the box {envelope.low} to {envelope.high}, got {position}")
        gripper = min(max(float(row[9]), 0.0), 1.0)
        return cls(envelope, position, columns, gripper, position, columns)

    def limit(self, action: np.ndarray) -> tuple["Limiter", np.ndarray, int]:
        """One cycle: the planned action (10,) -> the next limiter, the action to send (10,) float32, the bits clamped.

        Positions, rotations and gripper are limited independently; parts that are not clamped are sent bit by bit.

        Raises:
            ValueError: not an action: another shape, not finite, or a 6-D rotation without two directions.
        """
        row, planned_position, planned_columns = _read(action)
        sent = row.copy()

        target = clipped(planned_position, *self.envelope.translation.box)
        gap, plan_step = add(target, self.position, -1), add(target, self.planned_position, -1)
        translation, bits = self.translation.follow(self.position, target, gap, plan_step, self.envelope.translation)
        position = add(self.position, translation.step) if bits else target
        clamped = bits | (BOX if target != planned_position else 0)
        if clamped:
            sent[:3] = position

        turn = turn_between(self.columns, planned_columns)
        plan_turn = turn if self.rotation.on_plan else turn_between(self.planned_columns, planned_columns)
        rotation, bits = self.rotation.follow(ZERO, turn, turn, plan_turn, self.envelope.rotation)
        columns = turned(self.columns, rotation.step) if bits else planned_columns
        clamped |= bits * ROTATION_SPEED
        if bits:
            sent[3:9] = (*columns[0], *columns[1])

        wanted, rate = min(max(float(row[9]), 0.0), 1.0), self.envelope.gripper_rate_1_s / HZ
        gripper = wanted
        if abs(wanted - self.gripper) > rate:
            gripper = self.gripper + (rate - ROUNDING if wanted > self.gripper else ROUNDING - rate)
        if gripper != float(row[9]):
            sent[9], clamped = gripper, clamped | GRIPPER
        if clamped and np.array_equal(sent, row):  # steered onto the plan, perhaps only for this cycle
            clamped = 0
        return (
            Limiter(self.envelope, position, columns, gripper, target, planned_columns, translation, rotation),
            sent,
            clamped,
        )


def _unsafe(position: Vector, step: Vector, change: Vector, limits: Limits) -> int:
    """The bit that braking from this state would break; 0 if it comes to a stand inside speed and box."""
    (x0, y0, z0), (x1, y1, z1) = limits.low, limits.high
    for _ in range(ceil(2 * limits.speed / limits.braking + 2 * limits.acceleration / limits.jerk) + 10):
        if hypot(*step) > limits.speed:
            return SPEED
        x, y, z = position
        if not (x0 <= x <= x1 and y0 <= y <= y1 and z0 <= z <= z1):
            return BOX
        if step == ZERO and hypot(*change) <= limits.jerk - ROUNDING:
            return 0
        change = _brake(step, change, limits)
        step = add(step, change)
        position = add(position, step)
    return SPEED


def _brake(step: Vector, change: Vector, limits: Limits) -> Vector:
    """The braking policy: the next change of a step on its way to a stand."""
    return _within_jerk(change, shortened((-step[0], -step[1], -step[2]), limits.braking), limits)


def _within_jerk(change: Vector, wanted: Vector, limits: Limits) -> Vector:
    jerk = add(wanted, change, -1)
    if hypot(*jerk) <= limits.jerk - ROUNDING:
        return wanted
    return add(change, shortened(jerk, limits.jerk - ROUNDING))


def _first_of_series(total: float, decrement: float) -> float:
    """The first step of the shortest series with this sum whose steps shrink by `decrement`."""
    n = max(ceil((sqrt(1 + 8 * total / decrement) - 1) / 2), 1)
    return total / n + decrement * (n - 1) / 2


def _inside(corner: Vector, sign: int) -> Vector:
    """A corner as float32, inwards (up for +1): rounding a position in the box then cannot take it out."""
    rounded = np.asarray(corner, np.float32)
    inner = np.nextafter(rounded, np.float32(sign * inf))
    x, y, z = np.where(sign * (rounded - np.asarray(corner)) < 0, inner, rounded).tolist()
    return x, y, z


def _read(action: np.ndarray) -> tuple[np.ndarray, Vector, Columns]:
    """Check an action and take it apart: the row as float32, its position and its rotation."""
    row = np.asarray(action, np.float32)
    if row.shape != (ACTION_WIDTH,):
        raise ValueError(f"expected an action of shape ({ACTION_WIDTH},), got {row.shape}")
    x, y, z, a, b, c, d, e, f, gripper = row.tolist()
    first = hypot(a, b, c)
    if not isfinite(x + y + z + first + d + e + f + gripper):
        raise ValueError(f"expected finite numbers, got {row}")
    along = (a * d + b * e + c * f) / (first * first) if first else 0.0
    second = (d - along * a, e - along * b, f - along * c)
    if min(first, hypot(*second)) < 1e-3:
        raise ValueError(f"expected a 6-D rotation of two directions, got {row[3:9]}")
    return row, (x, y, z), (add(ZERO, (a, b, c), 1 / first), add(ZERO, second, 1 / hypot(*second)))
