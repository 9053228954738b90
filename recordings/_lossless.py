"""Lossless video files: FFV1 in MP4, the container LeRobot names, and read back bit by bit.

The thin light-blue line to write does not survive the lossy codecs at hand (MPEG-4, VP9, MJPEG halve the colour
resolution and are up to 100 of 255 off); FFV1 takes about 5 kB for a frame of 96 x 96.
"""

from pathlib import Path

import cv2
import numpy as np

CODEC, PIXEL_FORMAT = "ffv1", "bgr0"


class DamagedVideo(ValueError):
    """A video that is not what it should be; `row` is the first frame that is missing, -1 for the whole file."""

    def __init__(self, row: int, expected: str, got: str):
        super().__init__(f"expected {expected}, got {got}")
        self.row, self.expected, self.got = row, expected, got


def write_video(path: Path, frames: np.ndarray, fps: int) -> None:
    """Frames (n, h, w, 3) uint8 RGB to a file."""
    height, width = frames.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), fps, (width, height))
    if not writer.isOpened():
        raise RuntimeError(f"{path}: OpenCV cannot write FFV1 video of {width} x {height} here")
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()


def read_video(path: Path, first: int, shape: tuple[int, int, int, int], fps: int) -> np.ndarray:
    """Frames `first` and following, (n, h, w, 3) = `shape`, uint8 RGB.

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
        return _frames(video, first, shape)
    finally:
        video.release()


def _frames(video: cv2.VideoCapture, first: int, shape: tuple[int, int, int, int]) -> np.ndarray:
    frames = np.empty(shape, np.uint8)
    for _ in range(first):
        video.grab()
    for row in range(len(frames)):
        there, frame = video.read()
        if not there:
            raise DamagedVideo(row, f"{len(frames)} frames", str(row))
        if frame.shape != shape[1:]:
            raise DamagedVideo(row, f"frames of {shape[1:]}", str(frame.shape))
        cv2.cvtColor(frame, cv2.COLOR_BGR2RGB, frames[row])
    return frames
