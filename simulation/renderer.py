"""What the cameras see: draws a scene message off-screen, without physics.

The board is one texture. The stroke to write is painted once an episode, ink as it comes; the texture goes to the
graphics library only when it has changed. No shadows and no multisampling: they would cost ten times the rest.
"""

import ctypes
import os
from importlib import import_module
from weakref import finalize

import cv2
import mujoco
import numpy as np

from operators.messages import Scene
from operators.motion.rotation import matrix_from_vector, quaternion_from_matrix
from simulation.arm import MODEL

CAMERAS = ("front", "wrist")
TARGET_WIDTH, INK_WIDTH = 0.002, 0.0015  # m
_PAPER, _TARGET, _INK = (245, 245, 242), (150, 195, 235), (25, 25, 40)  # RGB
_LIBRARIES = {"egl": "libEGL.so.1", "osmesa": "libOSMesa.so.8"}  # MuJoCo's ways to draw without a window
_SHIFT = 4  # fractional bits of OpenCV's coordinates


class NoGraphics(RuntimeError):
    """There is no off-screen OpenGL."""


class Renderer:
    """Draws scenes at one size. Belongs to the thread that made it, as OpenGL contexts do."""

    def __init__(self, width: int = 96, height: int = 96, cameras: tuple[str, ...] = CAMERAS):
        self._model = mujoco.MjModel.from_xml_path(str(MODEL))
        self._model.vis.global_.offwidth, self._model.vis.global_.offheight = width, height
        self._data = mujoco.MjData(self._model)
        self._cameras = {name: _camera(self._model, name) for name in cameras}
        self._context, self._gl = _contexts(self._model, width, height)
        self.close = finalize(self, _free, self._context, self._gl)  # frees the graphics library's memory
        self.close.atexit = False  # then the library is gone already
        self._scene = mujoco.MjvScene(self._model, maxgeom=100)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._option, self._view = mujoco.MjvOption(), mujoco.MjrRect(0, 0, width, height)
        self._board = BoardTexture(self._model)

    def render(self, scene: Scene, camera: str) -> np.ndarray:
        """One camera's picture of a scene, (height, width, 3) uint8 RGB."""
        self._context.make_current()  # there may be other renderers in this process
        data = self._data
        data.qpos[:] = scene.qpos
        data.mocap_pos[0] = scene.piece_pose[:3]
        data.mocap_quat[0] = quaternion_from_matrix(matrix_from_vector(scene.piece_pose[3:]))
        mujoco.mj_kinematics(self._model, data)
        mujoco.mj_camlight(self._model, data)
        if self._board.paint(scene):
            mujoco.mjr_uploadTexture(self._model, self._gl, self._board.texture)
        mujoco.mjv_updateScene(
            self._model, data, self._option, None, self._cameras[camera], mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        mujoco.mjr_render(self._view, self._scene, self._gl)
        picture = np.empty((self._view.height, self._view.width, 3), np.uint8)
        mujoco.mjr_readPixels(picture, None, self._view, self._gl)
        return np.ascontiguousarray(picture[::-1])  # OpenGL's first row is the lowest


class BoardTexture:
    """The board's picture in a model's texture memory."""

    def __init__(self, model: mujoco.MjModel):
        self.texture = model.texture("board").id
        start, height, width = (int(a[self.texture]) for a in (model.tex_adr, model.tex_height, model.tex_width))
        self._pixels = model.tex_data[start : start + 3 * width * height].reshape(height, width, 3)
        self._half_width = model.geom("board").size[:2]
        self._per_metre = width / (2 * self._half_width[0])
        self._episode = -1
        self._target = np.zeros((0, 2), np.float32)
        self._drawn = 0

    def paint(self, scene: Scene) -> bool:
        """Bring the picture up to date with a scene -> whether it changed."""
        fresh = (
            scene.episode != self._episode
            or len(scene.marks) < self._drawn
            or not np.array_equal(scene.goal, self._target)
        )
        if fresh:
            self._pixels[:] = _PAPER
            self._line(scene.goal, _TARGET, TARGET_WIDTH)
            self._episode, self._target, self._drawn = scene.episode, np.array(scene.goal), 0
        return self._continue(scene.marks, scene.begins) or fresh

    def _continue(self, ink: np.ndarray, pen_down: np.ndarray) -> bool:
        """Draw the ink that is new, joined to what is there unless the pen was down anew."""
        if len(ink) == self._drawn:
            return False
        new_strokes = [int(i) for i in pen_down if self._drawn < i < len(ink)]
        start = self._drawn - (self._drawn > 0 and self._drawn not in pen_down)
        for first, last in zip([start, *new_strokes], [*new_strokes, len(ink)], strict=True):
            self._line(ink[first:last], _INK, INK_WIDTH)
        self._drawn = len(ink)
        return True

    def _line(self, points: np.ndarray, colour: tuple[int, int, int], width: float) -> None:
        """A polyline of board-plane points [m]; one point is a dot. The first row of the texture is the highest y."""
        pixels = (np.asarray(points, np.float64) * [1, -1] + self._half_width) * self._per_metre - 0.5
        fixed = np.round(pixels * 2**_SHIFT).astype(np.int32)
        thickness = max(round(width * self._per_metre), 1)
        cv2.polylines(self._pixels, [fixed], False, colour, thickness, cv2.LINE_AA, _SHIFT)


def _camera(model: mujoco.MjModel, name: str) -> mujoco.MjvCamera:
    if name not in CAMERAS:
        raise ValueError(f"expected a camera of {', '.join(CAMERAS)}, got {name}")
    camera = mujoco.MjvCamera()
    camera.type, camera.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, model.camera(name).id
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
