"""Both cameras side by side in an MP4."""

from pathlib import Path

import cv2
import numpy as np

from operators.frame import Frame


class Video:
    """Pictures on an even grid of time: a frame that came late or not at all is made up for by the one before it."""

    def __init__(self, path: Path, hz: int = 30):
        self.path, self._period_ns, self._hz = path, 1_000_000_000 // hz, float(hz)
        self._writer: cv2.VideoWriter | None = None
        self._wrist: np.ndarray | None = None
        self._next_ns = 0

    def receive(self, source: str, frame: Frame) -> None:
        if source == "frame_wrist":
            self._wrist = frame.pixels
            return
        if self._wrist is None:
            return  # the video begins when both cameras do
        both = np.ascontiguousarray(np.hstack([frame.pixels, self._wrist])[..., ::-1])
        writer = self._open(both, frame.t_ns)
        while self._next_ns <= frame.t_ns:
            writer.write(both)
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
