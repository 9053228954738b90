"""Both cameras side by side in an MP4."""

from pathlib import Path

import cv2
import numpy as np

from operators.frame import Frame


class Video:
    """Writes a picture for each front frame, with the newest wrist frame beside it."""

    def __init__(self, path: Path, hz: float = 30.0):
        self.path, self._hz = path, hz
        self._writer: cv2.VideoWriter | None = None
        self._wrist: np.ndarray | None = None

    def receive(self, source: str, frame: Frame) -> None:
        if source == "frame_wrist":
            self._wrist = frame.pixels
            return
        wrist = self._wrist if self._wrist is not None else np.zeros_like(frame.pixels)
        both = np.ascontiguousarray(np.hstack([frame.pixels, wrist])[..., ::-1])
        if self._writer is None:
            height, width, _ = both.shape
            codec = cv2.VideoWriter.fourcc(*"mp4v")
            self._writer = cv2.VideoWriter(str(self.path), codec, self._hz, (width, height))
        self._writer.write(both)

    def close(self) -> bool:
        """Finish the file; whether there is one."""
        if self._writer is None:
            return False
        self._writer.release()
        return True
