"""Write a given stroke on a tilted board: the scene, a scripted expert and the score.

Board frame: origin in the middle of the writing surface, x to the right of someone behind the robot, y away from
the robot, z out of the board. A stroke is a curve in its xy plane; commands are TCP poses in the base frame.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from operators.messages import HORIZON, HZ
from operators.motion.kinematics import inverse
from operators.motion.rotation import matrix_from_vector, pose_matrix, sixd_from_matrix, vector_from_matrix
from simulation.tasks.write_board.facts import FACTS
from simulation.tasks.write_board.ink import Ink
from simulation.tasks.write_board.reference import reference_path
from simulation.tasks.write_board.score import Judge
from simulation.tasks.write_board.strokes import VARIANTS, alike, along, stroke

FORCE = 2.0  # N, pressed while writing
SERVO_LAG = 2.68  # ticks the measured pose is behind the command; this and the stiffnesses are measured in World
CONTACT_STIFFNESS = 674.0  # N/m, the pen's spring and the surface in series
ARM_STIFFNESS = 16000.0  # N/m along the pen, of the servo at these gains
RECOVERY = 16.0  # ticks in which an offset decays to 1 / e
PHASE_RANGE = 30  # ticks by which pen and clock may differ
TOUCHING = 12  # ticks from the first ink to the full pressure
PHASE_PULL = 0.00005  # m a tick of difference counts as, so that the pen's own strand is chosen at a crossing
TRUSTED = 0.0005  # m or rad; smaller offsets are the servo's own and are let be
_CENTRE, _CENTRE_RANGE = np.array([0.50, 0.0, 0.12]), np.array([0.03, 0.03, 0.02])  # m
_TILT, _ANGLE_RANGE = -18.0, np.array([4.0, 3.0, 6.0])  # degrees: tilt (away from the robot), roll, yaw
_HOME_GUESS = np.array([2.90, -1.30, 1.55, -1.60, -1.65, 1.35])  # rad: elbow up, pen down in front
_TO_BOARD = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # board axes of a flat, straight board
_TO_TOOL = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])  # tool axes in the board frame


class WriteBoard:
    """One episode: everything that is random follows from the seed; a `target` given takes the place of its stroke.

    Attributes:
        goal: (n, 2) float32, the stroke in the board plane [m].
        piece_pose: (6,) of the board frame in the base frame.
        home_pose: (6,) TCP at the start, 30 to 60 mm off the surface and within 20 mm of the stroke's start, sideways.
        home_q: (6,) joint angles for it [rad].
        duration_ticks: from the first motion to the end of the expert's lift.
        reference_path: where an undisturbed expert commands the TCP, one a tick, (duration_ticks + 1, 3) m, base frame.
        reference_rotation: rotation vector (3,) of the tool while writing: z into the board, x towards the robot.
    """

    SCENE: ClassVar[Path] = Path(__file__).with_name("scene.xml")
    TCP: ClassVar[np.ndarray] = np.eye(4)  # the pen's tip with its spring at rest, z along the pen towards the board
    TCP[2, 3] = 0.18  # m
    VARIANTS: ClassVar[tuple[str, ...]] = VARIANTS
    TEXTS: ClassVar[tuple[str, ...]] = ("Trace the light-blue line on the board with the pen.",)
    LABELS: ClassVar[Mapping[str, tuple[str, int]]] = {
        "board_pose": ("float32", 6),
        "start": ("float32", 3),
        "end": ("float32", 3),
        "ticks_left": ("int64", 1),
    }
    FACTS: ClassVar[Mapping[str, Any]] = FACTS

    def __init__(self, seed: int, variant: str = "random", target: np.ndarray | None = None):
        rng = np.random.default_rng((seed, 0))
        self.seed, self.variant = seed, variant
        self.goal = stroke(variant, seed) if target is None else target
        self.piece_pose = _board_pose(rng)
        self._board = matrix_from_vector(self.piece_pose[3:])
        self._rotation = self._board @ _TO_TOOL
        depth = FORCE * (1 / CONTACT_STIFFNESS + 1 / ARM_STIFFNESS)
        self._path = reference_path(self._home(rng), self.goal, depth)  # (duration + 1, 3) board frame
        self._landed = int(np.argmax(self._path[:, 2] <= self._path[:, 2].min() + 1e-4))  # ticks until it presses
        self.duration_ticks = len(self._path) - 1
        self.reference_path = self.to_base(self._path)
        self.reference_rotation = vector_from_matrix(self._rotation)
        self.home_pose = np.concatenate([self.to_base(self._path[0]), self.reference_rotation])
        self.home_q = inverse(pose_matrix(self.home_pose), _HOME_GUESS, self.TCP, iterations=100)

    @property
    def expert_s(self) -> float:
        return self.duration_ticks / HZ

    def reference(self, tick: np.ndarray) -> np.ndarray:
        """Where the expert commands the TCP at ticks (n,), fractions allowed: (n, 3) m, board frame."""
        return along(self._path, np.arange(len(self._path)), tick)

    @staticmethod
    def painter(model: Any) -> Any:
        from simulation.tasks.write_board.paint import BoardTexture  # brings MuJoCo

        return BoardTexture(model)

    def marks(self) -> Ink:
        return Ink(self.piece_pose)

    def other_goal(self) -> "WriteBoard":
        """Another stroke that begins where this one does and fits on the board."""
        return WriteBoard(self.seed, self.variant, alike(self.variant, self.seed))

    def surface(self, tick: float) -> np.ndarray:
        """The board's axes in the base frame, (3, 3)."""
        return self._board

    def heading(self, tick: float) -> np.ndarray:
        """Which way the expert moves along the board, (2,) m in four ticks."""
        return np.diff(self.reference(np.array([tick - 2.0, tick + 2.0])), axis=0)[0, :2]

    def height(self, position: np.ndarray) -> float:
        """How far a position (3,) [m, base frame] is off the board [m]."""
        return float(self._board[:, 2] @ (position - self.piece_pose[:3]))

    def labels(self, phase: float) -> dict[str, np.ndarray]:
        """Where the board is, where its stroke begins and ends (base frame), and how long the expert still needs."""
        ends = self.to_base(np.column_stack([self.goal[[0, -1]], np.zeros(2)]))
        left = max(round(self.duration_ticks - phase), 0)
        return {"board_pose": self.piece_pose, "start": ends[0], "end": ends[1], "ticks_left": np.array(left)}

    def expert_chunk(self, tick: float, tcp_pose: np.ndarray, wrench: np.ndarray, horizon: int = HORIZON) -> np.ndarray:
        """What the expert would do from here: actions (horizon, 10) float32, base frame, row i due at `tick + i`.

        It knows nothing but tick and measurement. The reference of the ticks to come is shifted along the normal to
        where the force says the surface is; what then remains between the measured pose and the one an undisturbed
        servo would show decays exponentially, so that chunks started at different ticks agree.

        Args:
            tick: of the observation; nothing of this tick has been commanded yet.
            tcp_pose: (6,) measured, base frame.
            wrench: (6,) measured, tool frame; +z presses.
        """
        ahead = np.arange(horizon)
        decay = np.exp(-(ahead + SERVO_LAG) / RECOVERY)[:, None]
        position = self._board.T @ (tcp_pose[:3] - self.piece_pose[:3])
        surface = _beyond_doubt(np.array([0.0, 0.0, _surface_height(position[2], wrench[2])]))
        left = _beyond_doubt(position - surface - self._undisturbed(tick))
        turned = _beyond_doubt(vector_from_matrix(matrix_from_vector(tcp_pose[3:]) @ self._rotation.T))
        actions = np.zeros((horizon, 10), np.float32)
        actions[:, :3] = self.to_base(self.reference(tick + ahead) + surface + left * decay)
        actions[:, 3:9] = sixd_from_matrix(matrix_from_vector(turned * decay) @ self._rotation)
        return actions

    def phase(self, tick: int, tcp_pose: np.ndarray, begun: bool) -> float:
        """How far the task is by where the pen is, in ticks near `tick`: what a writer without a clock goes by.

        Before the first ink it is the time at which the pen is at this height on its way down, and never later than
        `tick`: the stroke begins when the pen has touched. Then it is the time at which the pen is nearest.

        Args:
            tick: of the clock.
            tcp_pose: (6,) measured, base frame.
            begun: there is ink.
        """
        position = self._board.T @ (tcp_pose[:3] - self.piece_pose[:3])
        if not begun:
            times = np.arange(min(tick, self._landed) + 1.0)
            off = np.abs(self._passed(times)[:, 2] - position[2])
            return float(times[len(times) - 1 - np.argmin(off[::-1])])
        first, last = max(tick - PHASE_RANGE, self._landed - TOUCHING), min(tick + PHASE_RANGE, self.duration_ticks)
        times = np.arange(min(first, last), last + 0.25, 0.25)
        off = np.linalg.norm(self._passed(times) - position, axis=1)
        return float(times[np.argmin(off + PHASE_PULL * np.abs(times - tick))])

    def _passed(self, times: np.ndarray) -> np.ndarray:
        """Where an undisturbed pen is at times (n,), (n, 3) m, board frame."""
        return self.reference(np.maximum(times - SERVO_LAG, 0.0))

    def judge(self) -> Judge:
        return Judge(self.goal, self.piece_pose, self.expert_s)

    def _undisturbed(self, tick: float) -> np.ndarray:
        """Where the TCP is measured at `tick` if only the servo is between it and the reference, (3,) board frame.

        The servo is a delay; it overshoots in proportion to the acceleration, by one tick squared of it.
        """
        before, now, after = self.reference(tick - SERVO_LAG + np.array([-1.0, 0.0, 1.0]))
        return now + (before - 2 * now + after)

    def _home(self, rng: np.random.Generator) -> np.ndarray:
        """Start of the TCP near the stroke's first point and 30 to 60 mm off the surface, (3,) board frame."""
        return np.append(self.goal[0] + rng.uniform(-0.02, 0.02, 2), rng.uniform(0.03, 0.06))

    def to_base(self, points: np.ndarray) -> np.ndarray:
        """(..., 3) board frame -> base frame."""
        return points @ self._board.T + self.piece_pose[:3]


def _board_pose(rng: np.random.Generator) -> np.ndarray:
    tilt, roll, yaw = np.radians(np.array([_TILT, 0.0, 0.0]) + rng.uniform(-1, 1, 3) * _ANGLE_RANGE)
    turned = [matrix_from_vector(np.array(axis)) for axis in ([0, 0, yaw], [roll, 0, 0], [tilt, 0, 0])]
    rotation = turned[0] @ turned[1] @ _TO_BOARD @ turned[2]
    return np.concatenate([_CENTRE + rng.uniform(-1, 1, 3) * _CENTRE_RANGE, vector_from_matrix(rotation)])


def _surface_height(height: float, force: float) -> float:
    """Where along the normal [m] the surface lies when the TCP is at `height` and presses with `force` [N].

    The reference assumes 0. A touch under 0.3 N says nothing, one over 1 N is believed.
    """
    return np.clip((force - 0.3) / 0.7, 0.0, 1.0) * (height + force / CONTACT_STIFFNESS)


def _beyond_doubt(offset: np.ndarray) -> np.ndarray:
    """Shrink offsets below TRUSTED towards nothing, smoothly, and leave larger ones."""
    squared = offset @ offset
    return offset * (squared / (squared + TRUSTED**2))
