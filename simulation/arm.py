"""The physics: a UR5e holds a tool over a work piece and follows commands as a servo does.

One step is one control tick of 1/60 s: inverse kinematics once, then 8 substeps at 480 Hz during which the joint
targets run linearly from the last command to the new one, as the streaming thread of a real robot does. Same actions,
same states, bit for bit.
"""

from functools import cache
from pathlib import Path

import mujoco
import numpy as np

from operators.motion.kinematics import forward, inverse, pose_and_jacobian
from operators.motion.rotation import (
    matrix_from_6d,
    matrix_from_vector,
    quaternion_from_matrix,
    vector_from_matrix,
)
from simulation.tasks import Measured, Task

ARM = Path(__file__).with_name("ur5e.xml")
SUBSTEPS = 8
LONGEST_PUSH = 0.004  # m
_SETTLE = 30  # ticks at rest before the force bias is taken


class World:
    """Arm, tool and work piece of one episode after the other. There is nothing in it before the first `reset`."""

    model: mujoco.MjModel
    data: mujoco.MjData

    def __init__(self) -> None:
        self._scene: Path | None = None  # whose model is loaded
        self._bias = self._wrench = np.zeros(6)
        self._target_q = np.zeros(6)
        self._gripper = 0.0

    def scene(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """What the message `Scene` tells behind the tick: qpos, piece_pose, goal, marks, begins."""
        task, marks = self._task, self.marks
        begins = np.array(marks.begins, np.int64)
        return self.data.qpos.copy(), task.piece_pose, task.goal, marks.points, begins

    def reset(self, task: Task) -> Measured:
        """Put the work piece and the arm where the task has them, at rest, without marks."""
        if self._scene != task.SCENE:
            self.model = load(task.SCENE)
            self.data, self._scene = mujoco.MjData(self.model), task.SCENE
        mujoco.mj_resetData(self.model, self.data)
        place(self.data, task.piece_pose)
        self._task, self._tcp, self.marks, self._gripper = task, task.TCP, task.marks(), 0.0
        x, y, z = self._tcp[:3, 3]
        self._lever = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])  # r x
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
        wanted = inverse(pose, self._target_q, self._tcp)
        self._gripper = float(action[9])
        sensed = self._run(self._target_q, wanted)
        self._target_q = wanted
        self._wrench = self._tool_wrench(sensed - self._bias)
        measured = self._measure(self._wrench)
        self.marks.update(self.data, measured)
        return measured

    def push(self, shift: np.ndarray) -> Measured:
        """Shift the arm by (3,) [m, base frame], at most 4 mm, and its last command with it.

        A chunk planned before the push pulls straight back: for a smooth recovery plan anew from what is returned.
        """
        if np.linalg.norm(shift) > LONGEST_PUSH:
            raise ValueError(f"expected a push of at most {LONGEST_PUSH} m, got {np.linalg.norm(shift):.4f} m")
        self._target_q = self._shifted(self._target_q, shift)
        self.data.qpos[:6] = self._shifted(self.data.qpos[:6], shift)
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
        pose, columns = pose_and_jacobian(q, self._tcp)
        velocity = columns @ self.data.qvel[:6]
        return Measured(
            q, np.concatenate([pose[:3, 3], vector_from_matrix(pose[:3, :3])]), velocity, wrench, self._gripper
        )

    def _tool_wrench(self, sensed: np.ndarray) -> np.ndarray:
        """Sensor reading at the flange -> wrench on the environment at the TCP. The two frames are parallel."""
        force = sensed[:3]
        return np.concatenate([force, sensed[3:] - self._lever @ force])

    def _shifted(self, q: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Joint angles with the TCP moved by `shift` (3,) [m, base frame] at the same orientation."""
        pose = forward(q, self._tcp)
        pose[:3, 3] += shift
        return inverse(pose, q, self._tcp)


def load(scene: Path) -> mujoco.MjModel:
    """The model of a scene: its file, the arm, and whatever lies beside it (tool, textures, meshes)."""
    beside = {path.name: path.read_bytes() for path in scene.parent.iterdir() if path.is_file() and path != scene}
    return mujoco.MjModel.from_xml_string(scene.read_text(), {ARM.name: ARM.read_bytes(), **beside})


@cache
def cameras(scene: Path) -> tuple[str, ...]:
    """The names of a scene's cameras."""
    model = load(scene)
    return tuple(model.camera(number).name for number in range(model.ncam))


def place(data: mujoco.MjData, pose: np.ndarray) -> None:
    """Put the work piece, mocap body 0, at (6,) xyz [m] and rotation vector [rad], base frame."""
    data.mocap_pos[0] = pose[:3]
    data.mocap_quat[0] = quaternion_from_matrix(matrix_from_vector(pose[3:]))
