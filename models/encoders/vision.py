"""What the policies see: both pictures and the robot's state -> some numbers, by one light encoder.

It is trained once, on labels only the expert and the simulation know (the points the expert's pen goes through next,
whether the stroke is finished), and then frozen; every policy is trained on its features. At run time pictures and
measured state alone go in.

Mirroring: both cameras look along the base's and the tool's xz plane, so a picture flipped left to right shows the
scene with y turned round; `mirrored` turns round the state, `flip_chunk` the chunk.
"""

from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from operators.schema import ACTION_WIDTH

SIZE = 96  # pixels a side
_FRONT = slice(28, 92), slice(12, 84)  # rows, columns of the front view in which the board may be
_WRIST = slice(12, 84), slice(12, 84)  # 40 mm around the pen's tip: farther than a chunk reaches
_NEAR = slice(17, 53), slice(18, 54)  # of those, what is within 20 mm of the tip: seen twice as sharply
POINTS = 12  # of the expert's path that are regressed, every fourth row of its chunk
STATE = 16
PLACE = 9  # first numbers of a state that say where on the board the robot is: not for a policy to learn by heart
CONDITION = 3 * POINTS + 4 + 1 + STATE - PLACE
_MIRROR = np.array([1.0, -1.0, 1.0], np.float32)
_SIX_MIRROR = np.concatenate([_MIRROR, -_MIRROR])  # S R S, S = diag(1, -1, 1), on the first two columns of R
CHUNK_MIRROR = np.concatenate([_MIRROR, _SIX_MIRROR, [1.0]]).astype(np.float32)
STATE_MIRROR = np.concatenate([_MIRROR, _SIX_MIRROR, _MIRROR, np.ones(4)]).astype(np.float32)

_CENTRE = np.array([0.5, 0.0, 0.15], np.float32)  # m, base frame, around which the TCP is
_SPEED = 0.05  # m/s
STANDING = 0.003  # m/s

Pixels = TypeVar("Pixels", np.ndarray, Tensor)


def picture(pixels: np.ndarray) -> np.ndarray:
    """The central square of a frame, at SIZE x SIZE: (h, w, 3) uint8 -> (96, 96, 3) uint8."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side]
    return square if side == SIZE else cv2.resize(square, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def cropped(wrist: Pixels, front: Pixels) -> tuple[Pixels, Pixels]:
    """What matters of pictures (..., 96, 96, 3) of both cameras: (..., 72, 72, 3) and (..., 64, 72, 3)."""
    return wrist[(..., *_WRIST, slice(None))], front[(..., *_FRONT, slice(None))]


def state_vector(position: np.ndarray, matrix: np.ndarray, velocity: np.ndarray, force: np.ndarray) -> np.ndarray:
    """What is measured, as numbers of order one; any leading shape. No tick, no time: nothing to replay by.

    Args:
        position: (..., 3) m, TCP in the base frame.
        matrix: (..., 3, 3) rotation of the tool in the base frame.
        velocity: (..., 3) m/s, base frame.
        force: (...,) N, along the pen.

    Returns:
        (..., STATE) float32: position 3, rotation 6, velocity in the tool's axes 3, speed, force, touch, 0. The last
        is 1 where `standing` put in another velocity.
    """
    tool = np.einsum("...ji,...j->...i", matrix, velocity)
    speed = np.linalg.norm(tool, axis=-1, keepdims=True)
    force = np.asarray(force)[..., None]
    touch = np.clip((force - 0.3) / 0.7, 0, 1)
    upside = np.concatenate([matrix[..., 0] - [-1, 0, 0], matrix[..., 1] - [0, 1, 0]], -1)
    parts = (position - _CENTRE) / 0.1, upside / 0.3, tool / _SPEED, speed / _SPEED, force / 2 - 1, touch, 0 * touch
    return np.concatenate(parts, -1).astype(np.float32)


def standing(state: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """States (..., STATE) in which those that stand have another velocity (..., 3) and a mark that says so.

    The velocity is in m/s and the tool's axes. A robot that waits for a chunk stands, but its direction matters where
    strands cross. If the velocity itself is that of standing, nothing is changed.
    """
    speed = np.linalg.norm(velocity, axis=-1, keepdims=True)
    stands = (state[..., 12:13] * _SPEED < STANDING) & (speed > STANDING)
    planned = np.concatenate([state[..., :9], velocity / _SPEED, speed / _SPEED, state[..., 13:15], speed**0], -1)
    return np.where(stands, planned, state).astype(np.float32)


class Encoder(nn.Module):
    """Cropped pictures (B, h, w, 3) uint8 of both cameras and states (B, STATE) -> features (B, width)."""

    def __init__(self, width: int = 256):
        super().__init__()
        self.near = _eye(2, 32, 64, 24, 9 * 9, 192)
        self.wrist = _eye(4, 16, 32, 8, 9 * 9, 64)
        self.front = _eye(4, 16, 32, 8, 8 * 9, 64)
        self.state = nn.Sequential(nn.Linear(STATE, 64), nn.ReLU())
        self.join = nn.Sequential(nn.Linear(192 + 64 + 64 + 64, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, wrist: Tensor, front: Tensor, state: Tensor) -> Tensor:
        around = _image(wrist)
        seen = self.near(around[..., *_NEAR]), self.wrist(around), self.front(_image(front)), self.state(state)
        return self.join(torch.cat(seen, 1))


class Labels(NamedTuple):
    """What the head says about features, in the tool's axes, scaled."""

    points: Tensor  # (B, POINTS, 3) of the path to come
    ends: Tensor  # (B, 2, 2) where the stroke begins and ends, xy
    finished: Tensor  # (B,) logit: the pen has begun to leave the board for good


class Head(nn.Module):
    """Labels from features (B, width)."""

    def __init__(self, width: int = 256):
        super().__init__()
        self.out = nn.Sequential(nn.ReLU(), nn.Linear(width, 256), nn.ReLU(), nn.Linear(256, 3 * POINTS + 5))

    def forward(self, features: Tensor) -> Labels:
        points, ends, finished = self.out(features).split([3 * POINTS, 4, 1], 1)
        return Labels(points.unflatten(1, (POINTS, 3)), ends.unflatten(1, (2, 2)), finished[:, 0])


class Vision(nn.Module):
    """The frozen whole: cropped pictures and states -> what a policy is conditioned on, (B, CONDITION).

    That is the head's labels, and the state without the place. The labels are the mean of those of the pictures and of
    their mirror images turned back, which is nearer to the truth on strokes it has not seen.
    """

    def __init__(self, width: int = 256):
        super().__init__()
        self.encoder, self.head = Encoder(width), Head(width)

    def forward(self, wrist: Tensor, front: Tensor, state: Tensor) -> Tensor:
        flipped = state * torch.from_numpy(STATE_MIRROR)
        both = [torch.cat(pair) for pair in ((wrist, wrist.flip(2)), (front, front.flip(2)), (state, flipped))]
        seen, mirrored = zip(*(part.chunk(2) for part in self.head(self.encoder(*both))), strict=True)
        back = torch.from_numpy(_MIRROR)
        points = (seen[0] + mirrored[0] * back) / 2
        ends = (seen[1] + mirrored[1] * back[:2]) / 2
        finished = (seen[2] + mirrored[2]) / 2
        return torch.cat([points.flatten(1), ends.flatten(1), finished[:, None], state[:, PLACE:]], 1)


class Norm(nn.Module):
    """GroupNorm of one group and without scale, on (B, C, h, w) with channels last in memory.

    In bfloat16 it is six times as fast there as torch's GroupNorm, which took a third of a training step.
    """

    def __init__(self, width: int):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.permute(0, 2, 3, 1)
        with torch.autocast("cpu", enabled=False):
            normed = functional.layer_norm(rows.flatten(1), (rows[0].numel(),)).view(rows.shape)
        return (normed + self.bias.to(normed.dtype)).permute(0, 3, 1, 2)


class Residual(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.body = nn.Sequential(_conv(width, width), Norm(width), nn.ReLU(), _conv(width, width), Norm(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


class Patches(nn.Module):
    """Pictures (B, C, h, w) -> (B, s s C, h / s, w / s): squares of s by s pixels as channels."""

    def __init__(self, side: int):
        super().__init__()
        self._side = side

    def forward(self, x: Tensor) -> Tensor:
        (n, channels, height, width), side = x.shape, self._side
        split = x.permute(0, 2, 3, 1).reshape(n, height // side, side, width // side, side * channels)
        return split.transpose(2, 3).reshape(n, height // side, width // side, side**2 * channels).permute(0, 3, 1, 2)


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)


def _eye(patch: int, first: int, second: int, last: int, places: int, out: int) -> nn.Sequential:
    """A stem of patches is 2.6 times as fast as the usual one, and a line is still a pixel wide behind it."""
    stem = Patches(patch), _conv(3 * patch**2, first), Norm(first), nn.ReLU()
    middle = _conv(first, second, stride=2), Norm(second), nn.ReLU(), Residual(second)
    end = nn.Conv2d(second, last, 1), nn.ReLU(), nn.Flatten(), nn.Linear(last * places, out), nn.ReLU()
    return nn.Sequential(*stem, *middle, *end).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _image(pixels: Tensor) -> Tensor:
    """(B, h, w, 3) uint8 or float 0..255 -> (B, 3, h, w) around 0, channels last in memory."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32, copy=True).sub_(160).mul_(1 / 80)


assert len(CHUNK_MIRROR) == ACTION_WIDTH and len(STATE_MIRROR) == STATE
