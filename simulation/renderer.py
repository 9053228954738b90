"""What the cameras see: draws a scene message off-screen, without physics.

What the task paints, goal and marks, is one texture, which goes to the graphics library only when it has changed. No
shadows and no multisampling: they would cost ten times the rest.
"""

import ctypes
import os
from importlib import import_module
from weakref import finalize

import mujoco
import numpy as np

from operators.messages import Scene
from simulation.arm import cameras, load, place
from simulation.tasks import Task

_LIBRARIES = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}  # MuJoCo's ways to draw without a window


class NoGraphics(RuntimeError):
    """There is no off-screen OpenGL."""


class Renderer:
    """Draws a task's scenes at one size. Belongs to the thread that made it, as OpenGL contexts do.

    Attributes:
        cameras: those of the scene.
    """

    def __init__(self, task: type[Task], width: int = 96, height: int = 96):
        self._model = load(task.SCENE)
        self._model.vis.global_.offwidth, self._model.vis.global_.offheight = width, height
        self._data = mujoco.MjData(self._model)
        self.cameras = cameras(task.SCENE)
        self._context, self._gl = _contexts(self._model, width, height)
        self.close = finalize(self, _free, self._context, self._gl)  # frees the graphics library's memory
        self.close.atexit = False  # then the library is gone already
        self._scene = mujoco.MjvScene(self._model, maxgeom=100)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._option, self._view = mujoco.MjvOption(), mujoco.MjrRect(0, 0, width, height)
        self._painter = task.painter(self._model)

    def render(self, scene: Scene, camera: str) -> np.ndarray:
        """One camera's picture of a scene, (height, width, 3) uint8 RGB."""
        self._context.make_current()  # there may be other renderers in this process
        data = self._data
        data.qpos[:] = scene.qpos
        place(data, scene.piece_pose)
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_camlight(self._model, data)
        if self._painter.paint(scene):
            mujoco.mjr_uploadTexture(self._model, self._gl, self._painter.texture)
        mujoco.mjv_updateScene(
            self._model, data, self._option, None, self._camera(camera), mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        mujoco.mjr_render(self._view, self._scene, self._gl)
        picture = np.empty((self._view.height, self._view.width, 3), np.uint8)
        mujoco.mjr_readPixels(picture, None, self._view, self._gl)
        return np.ascontiguousarray(picture[::-1])  # OpenGL's first row is the lowest

    def _camera(self, name: str) -> mujoco.MjvCamera:
        if name not in self.cameras:
            raise ValueError(f"expected a camera of {', '.join(self.cameras)}, got {name}")
        camera = mujoco.MjvCamera()
        camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, self._model.camera(name).id
        return camera


def _contexts(model: mujoco.MjModel, width: int, height: int) -> tuple:
    """An OpenGL context and MuJoCo's within it, set to draw off-screen."""
    try:
        context = import_module(f"mujoco.{_graphics()}").GLContext(width, height)
        context.make_current()
        drawing = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    except (AttributeError, ImportError, RuntimeError, mujoco.FatalError) as error:
        raise NoGraphics(f"no off-screen OpenGL ({error}): apt-get install libegl1 libgl1-mesa-dri") from error
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, drawing)
    return context, drawing


def _free(context, drawing: mujoco.MjrContext) -> None:
    context.make_current()  # or what another renderer has under the same numbers would be freed
    drawing.free()
    context.free()


def _graphics() -> str:
    """MUJOCO_GL, or the first library that is installed.

    Looked for without MuJoCo, which chooses once, by what the variable was when anyone first imported it.
    """
    if "MUJOCO_GL" in os.environ:
        return os.environ["MUJOCO_GL"]
    for name, library in _LIBRARIES.items():
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return name
    raise ImportError(f"none of {', '.join(_LIBRARIES.values())}")
