"""Pictures brought to the size that policies look at."""

import cv2
import numpy as np


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
