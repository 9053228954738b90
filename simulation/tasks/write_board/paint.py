"""The board's picture: the stroke to write is painted once an episode, ink as it comes."""

import cv2
import mujoco
import numpy as np

from operators.messages import Scene

TARGET_WIDTH, INK_WIDTH = 0.002, 0.0015  # m
_PAPER, _TARGET, _INK = (245, 245, 242), (150, 195, 235), (25, 25, 40)  # RGB
_SHIFT = 4  # fractional bits of OpenCV's coordinates


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
