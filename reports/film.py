"""All cameras side by side in an MP4."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from operators.frame import Frame


class Video:
    """Pictures on an even grid of time: a frame that came late or not at all is made up for by the one before it.

    Args:
        sources: the inputs that bring frames; the first by name gives the time and the height.
    """

    def __init__(self, path: Path, sources: Iterable[str], hz: int = 30):
        self.path, self._period_ns, self._hz = path, 1_000_000_000 // hz, float(hz)
        self._writer: cv2.VideoWriter | None = None
        self._newest: dict[str, np.ndarray | None] = dict.fromkeys(sorted(sources))
        self._next_ns = 0

    def receive(self, source: str, frame: Frame) -> None:
        self._newest[source] = frame.pixels
        shown = [pixels for pixels in self._newest.values() if pixels is not None]
        if source != next(iter(self._newest)) or len(shown) < len(self._newest):
            return  # the video begins when all cameras do
        height = len(frame.pixels)
        row = [fitted(pixels, round(pixels.shape[1] * height / len(pixels)), height) for pixels in shown]
        together = np.ascontiguousarray(np.hstack(row)[..., ::-1])
        writer = self._open(together, frame.t_ns)
        while self._next_ns <= frame.t_ns:
            writer.write(together)
            self._next_ns += self._period_ns

    def close(self) -> None:
        """Finish the file, if a frame came."""
        if self._writer is not None:
            self._writer.release()

    def _open(self, picture: np.ndarray, t_ns: int) -> cv2.VideoWriter:
        if self._writer is None:
            height, width, _ = picture.shape
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self.path), codec, self._hz, (width, height))
            self._next_ns = t_ns
        return self._writer


def fitted(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """The largest central part of a picture (h, w, 3) that has these proportions, as (height, width, 3)."""
    h, w, _ = pixels.shape
    scale = min(w / width, h / height)
    wide, high = min(round(width * scale), w), min(round(height * scale), h)
    left, top = (w - wide) // 2, (h - high) // 2
    part = pixels[top : top + high, left : left + wide]
    if (wide, high) == (width, height):
        return part
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR)
