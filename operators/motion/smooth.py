"""Output stage SMOOTH=ruckig: the command follows the plan with limited speed, acceleration and jerk.

A seam then costs a short detour instead of a jump. It stands behind the join and before the limits, so metrics of the
plan do not see it, and those that end in `_sent` do. Trajectories are time-optimal (Berscheid and Kröger 2021, ruckig).
"""

from dataclasses import dataclass

import numpy as np
from ruckig import InputParameter, Result, Ruckig, Trajectory

from operators.messages import HZ
from operators.motion.rotation import matrix_from_6d, matrix_from_vector, sixd_from_matrix, vector_from_matrix

STAGES = ("none", "ruckig")


@dataclass(frozen=True)
class Pace:
    """Largest values of each axis, base frame; well inside the limits, well above what tasks need."""

    speed_m_s: float = 0.25
    acceleration_m_s2: float = 3.0
    jerk_m_s3: float = 60.0
    rotation_speed_rad_s: float = 1.2
    rotation_acceleration_rad_s2: float = 15.0
    rotation_jerk_rad_s3: float = 300.0

    def axes(self, quantity: str) -> list[float]:
        """Of three axes of translation, then three of rotation."""
        units = {"speed": ("m_s", "rad_s"), "acceleration": ("m_s2", "rad_s2"), "jerk": ("m_s3", "rad_s3")}[quantity]
        return [getattr(self, f"{quantity}_{units[0]}")] * 3 + [getattr(self, f"rotation_{quantity}_{units[1]}")] * 3


class Tracker:
    """Follows planned actions from rest at an action (10,), a cycle a call.

    Rotations are rotation vectors in the base frame from where the tool is now to where it shall be; in one cycle they
    are so small that their order does not matter. The gripper passes through.
    """

    def __init__(self, action: np.ndarray, pace: Pace | None = None):
        pace = pace or Pace()
        self._position, self._matrix = action[:3].astype(np.float64), matrix_from_6d(action[3:9])
        self._solver, self._state = Ruckig(6, 1 / HZ), InputParameter(6)
        self._state.minimum_duration = 1 / HZ  # being sooner than the plan would be an overshoot
        self._fastest = pace.axes("speed")
        self._state.max_acceleration, self._state.max_jerk = pace.axes("acceleration"), pace.axes("jerk")
        self._velocity = np.zeros(6)  # of what is sent
        self._leaving = np.zeros(6)  # velocity of the plan from the row before to the next

    def follow(self, planned: np.ndarray, ahead: np.ndarray) -> np.ndarray:
        """The action (10,) float32 to send.

        Args:
            planned: (10,) where the plan is.
            ahead: (10,) where it will be one cycle on. Velocity and acceleration to have at `planned` follow from such
                differences of this cycle and the one before: a jump of the plan between the two is in neither.

        Raises:
            ValueError: numbers that are none.
        """
        if not np.isfinite([planned, ahead]).all():
            raise ValueError(f"expected finite actions, got {planned} and {ahead}")
        leaving = HZ * _motion(planned, ahead[:3].astype(np.float64), matrix_from_6d(ahead[3:9]))
        velocity, acceleration = (leaving + self._leaving) / 2, HZ * (leaving - self._leaving)
        self._leaving = leaving
        moved = self._step(-_motion(planned, self._position, self._matrix), velocity, acceleration)
        self._position = self._position + moved[:3]
        self._matrix = matrix_from_vector(moved[3:]) @ self._matrix
        return np.concatenate([self._position, sixd_from_matrix(self._matrix), planned[9:]]).astype(np.float32)

    def _step(self, target: np.ndarray, velocity: np.ndarray, acceleration: np.ndarray) -> np.ndarray:
        """One cycle of the fastest way onto the plan -> motion (6,).

        Seen from something that moves along with the plan: it moves on while the robot is on its way, and without that
        the robot would for ever arrive where the plan was.
        """
        state, fastest = self._state, np.array(self._fastest)
        along = np.clip(velocity, -0.9 * fastest, 0.9 * fastest)
        state.max_velocity, state.min_velocity = (fastest - along).tolist(), (-fastest - along).tolist()
        state.current_position = (along / HZ - target).tolist()
        state.current_velocity = (self._velocity - along).tolist()
        strongest = 0.5 * np.array(state.max_acceleration)
        state.target_acceleration = np.clip(acceleration, -strongest, strongest).tolist()
        way = Trajectory(6)
        result = self._solver.calculate(state, way)
        if result not in (Result.Working, Result.Finished):
            raise ValueError(f"expected a trajectory by {target} at {velocity}, got {result}")
        left, moving, state.current_acceleration = way.at_time(1 / HZ)
        self._velocity = along + moving
        return target + left


def _motion(action: np.ndarray, position: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """From an action to a pose: translation and rotation vector, (6,), base frame."""
    turn = vector_from_matrix(matrix @ matrix_from_6d(action[3:9]).T)
    return np.concatenate([position - action[:3], turn])
