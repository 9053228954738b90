"""The physics: a UR5e holds a spring-loaded pen over a tilted board and follows commands as a servo does.

One step is one control tick of 1/60 s: inverse kinematics once, then 8 substeps at 480 Hz during which the joint
targets run linearly from the last command to the new one, as the streaming thread of a real robot does. Same actions,
same states, bit for bit.
"""

from pathlib import Path
from typing import NamedTuple, Protocol

import mujoco
import numpy as np

from operators.motion.kinematics import forward, inverse, jacobian
from operators.motion.rotation import matrix_from_6d, matrix_from_vector, quaternion_from_matrix, vector_from_matrix

MODEL = Path(__file__).with_name("ur5e.xml")
SUBSTEPS = 8
TCP = np.eye(4)  # flange -> pen tip with the spring at rest, z along the pen towards the board
TCP[2, 3] = 0.18  # m
INK_FORCE = 0.15  # N, the lightest touch that leaves ink
INK_SPACING = 0.0003  # m
LONGEST_PUSH = 0.004  # m
_LEVER = np.array([[0, -TCP[2, 3], TCP[1, 3]], [TCP[2, 3], 0, -TCP[0, 3]], [-TCP[1, 3], TCP[0, 3], 0]])  # r x
_SETTLE = 30  # ticks at rest before the force bias is taken


class Task(Protocol):
    """What the world needs of a task."""

    @property
    def board_pose(self) -> np.ndarray: ...

    @property
    def home_q(self) -> np.ndarray: ...


class Measured(NamedTuple):
    """Robot state after a step, as a controller reports it; base frame unless said otherwise."""

    q: np.ndarray  # (6,) rad
    tcp_pose: np.ndarray  # (6,) m, rotation vector
    tcp_velocity: np.ndarray  # (6,) m/s, rad/s
    wrench: np.ndarray  # (6,) N, Nm on what the tool touches, tool frame, at the TCP; +z presses
    gripper: float


class World:
    """Arm, pen, board and ink of one episode after the other."""

    def __init__(self) -> None:
        self.model = mujoco.MjModel.from_xml_path(str(MODEL))
        self.data = mujoco.MjData(self.model)
        self.pen_down: list[int] = []  # indices into `ink` at which a new stroke begins
        self._ink = np.zeros((0, 2), np.float32)  # room for more than is written
        self._written = 0
        self._writing = False
        self._bias = self._wrench = np.zeros(6)
        self._target_q = np.zeros(6)
        self._gripper = 0.0
        self._board = np.eye(4)

    @property
    def qpos(self) -> np.ndarray:
        """MuJoCo's generalised positions: six joints [rad] and the travel of the tip [m]; a copy."""
        return self.data.qpos.copy()

    @property
    def ink(self) -> np.ndarray:
        """Everything written so far in the board plane [m], (n, 2) float32, read-only; later ink does not change it."""
        ink = self._ink[: self._written]
        ink.flags.writeable = False
        return ink

    def reset(self, task: Task) -> Measured:
        """Put the board and the arm where the task has them, at rest, on a clean board."""
        mujoco.mj_resetData(self.model, self.data)
        self._board = pose_matrix(task.board_pose)
        self.data.mocap_pos[0] = task.board_pose[:3]
        self.data.mocap_quat[0] = quaternion_from_matrix(self._board[:3, :3])
        self._ink, self._written, self._writing = np.zeros((1024, 2), np.float32), 0, False
        self.pen_down, self._gripper = [], 0.0
        self._bias = self._free_air(task.home_q)
        self._place(task.home_q)
        self._wrench = np.zeros(6)
        return self._measure(self._wrench)

    def step(self, action: np.ndarray) -> Measured:
        """Apply one command for one tick.

        Args:
            action: (10,) xyz [m], 6-D rotation, gripper; TCP in the base frame.

        Raises:
            Unreachable: the arm cannot get there from where it was last told to be.
        """
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = matrix_from_6d(action[3:9]), action[:3]
        wanted = inverse(pose, self._target_q, TCP)
        self._gripper = float(action[9])
        sensed = self._run(self._target_q, wanted)
        self._target_q = wanted
        self._wrench = self._tool_wrench(sensed - self._bias)
        self._write(self._wrench[2])
        return self._measure(self._wrench)

    def push(self, offset: np.ndarray) -> Measured:
        """Shift the arm along the board by `offset` (2,) [m, board plane], at most 4 mm, and its last command with it.

        A chunk planned before the push pulls straight back: for a smooth recovery plan anew from what is returned.
        """
        if np.linalg.norm(offset) > LONGEST_PUSH:
            raise ValueError(f"expected a push of at most {LONGEST_PUSH} m, got {np.linalg.norm(offset):.4f} m")
        shift = self._board[:3, :2] @ offset
        self._target_q = _shifted(self._target_q, shift)
        self.data.qpos[:6] = _shifted(self.data.qpos[:6], shift)
        mujoco.mj_forward(self.model, self.data)
        return self._measure(self._wrench)

    def _place(self, q: np.ndarray) -> None:
        self.data.qpos[:] = 0
        self.data.qvel[:] = 0
        self.data.qpos[:6] = self.data.ctrl[:] = self._target_q = np.array(q, np.float64)
        mujoco.mj_forward(self.model, self.data)

    def _free_air(self, q: np.ndarray) -> np.ndarray:
        """What the force sensor shows with nothing touched: the weight it carries."""
        self._place(q)
        return [self._run(q, q) for _ in range(_SETTLE)][-1]

    def _run(self, start_q: np.ndarray, end_q: np.ndarray) -> np.ndarray:
        """One tick of physics -> mean raw force and torque at the flange, (6,)."""
        total = np.zeros(6)
        for substep in range(1, SUBSTEPS + 1):
            self.data.ctrl[:] = start_q + (end_q - start_q) * (substep / SUBSTEPS)
            mujoco.mj_step(self.model, self.data)
            total += self.data.sensordata
        return total / SUBSTEPS

    def _measure(self, wrench: np.ndarray) -> Measured:
        q = self.data.qpos[:6].copy()
        pose = forward(q, TCP)
        velocity = jacobian(q, TCP) @ self.data.qvel[:6]
        return Measured(
            q, np.concatenate([pose[:3, 3], vector_from_matrix(pose[:3, :3])]), velocity, wrench, self._gripper
        )

    def _tool_wrench(self, sensed: np.ndarray) -> np.ndarray:
        """Sensor reading at the flange -> wrench on the environment at the TCP. The two frames are parallel."""
        force = sensed[:3]
        return np.concatenate([force, sensed[3:] - _LEVER @ force])

    def _write(self, force: float) -> None:
        """Leave ink where the tip touches, if it presses enough."""
        if force < INK_FORCE:
            self._writing = False
            return
        tip = self.data.site("tip").xpos - self._board[:3, 3]
        point = (self._board[:3, :2].T @ tip).astype(np.float32)
        if not self._writing:
            self.pen_down.append(self._written)
        elif np.linalg.norm(point - self._ink[self._written - 1]) < INK_SPACING:
            return
        if self._written == len(self._ink):
            self._ink = np.concatenate([self._ink, np.zeros_like(self._ink)])
        self._ink[self._written] = point
        self._written, self._writing = self._written + 1, True


def pose_matrix(pose: np.ndarray) -> np.ndarray:
    """xyz and rotation vector (6,) -> (4, 4)."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = matrix_from_vector(pose[3:]), pose[:3]
    return matrix


def _shifted(q: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Joint angles with the TCP moved by `shift` (3,) [m, base frame] at the same orientation."""
    pose = forward(q, TCP)
    pose[:3, 3] += shift
    return inverse(pose, q, TCP)
