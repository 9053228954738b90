"""Lossless video files: FFV1 in MP4, the container LeRobot names, and read back bit by bit.

The thin light-blue line to write does not survive the lossy codecs at hand (MPEG-4, VP9, MJPEG halve the colour
resolution and are up to 100 of 255 off); FFV1 takes about 5 kB for a frame of 96 x 96.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

CODEC, PIXEL_FORMAT = "ffv1", "bgr0"


class DamagedVideo(ValueError):
    """A video that is not what it should be; `row` is the first frame that is missing, -1 for the whole file."""

    def __init__(self, row: int, expected: str, got: str):
        super().__init__(f"expected {expected}, got {got}")
        self.row, self.expected, self.got = row, expected, got


class VideoFile:
    """Frames (h, w, 3) uint8 RGB into a file, one by one; use it in a `with`.

    Raises:
        OSError: OpenCV cannot write such a file here.
    """

    def __init__(self, path: Path, height: int, width: int, fps: int):
        self._writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), fps, (width, height))
        if not self._writer.isOpened():
            raise OSError(f"{path}: OpenCV cannot write FFV1 video of {width} x {height} here")

    def __enter__(self) -> "VideoFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.release()

    def add(self, frame: np.ndarray) -> None:
        self._writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))


def write_video(path: Path, frames: np.ndarray, fps: int) -> None:
    """Frames (n, h, w, 3) uint8 RGB to a file."""
    with VideoFile(path, frames.shape[1], frames.shape[2], fps) as video:
        for frame in frames:
            video.add(frame)


def stream_video(path: Path, first: int, shape: tuple[int, int, int, int], fps: int) -> Iterator[np.ndarray]:
    """Frames `first` and following, one by one, (h, w, 3) uint8 RGB; n and their shape are given by `shape`.

    Raises:
        DamagedVideo: the file is no video, of another size or rate, or too short.
    """
    video = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not video.isOpened():
            raise DamagedVideo(-1, "a video", "a file that cannot be opened as one")
        rate = video.get(cv2.CAP_PROP_FPS)
        if abs(rate - fps) > 0.01:
            raise DamagedVideo(-1, f"{fps} frames a second", f"{rate:g}")
        for _ in range(first):
            video.grab()
        for row in range(shape[0]):
            there, frame = video.read()
            if not there:
                raise DamagedVideo(row, f"{shape[0]} frames", str(row))
            if frame.shape != shape[1:]:
                raise DamagedVideo(row, f"frames of {shape[1:]}", str(frame.shape))
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        video.release()
