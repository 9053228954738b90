"""What the policies see: both pictures and the robot's state -> some numbers, by one light encoder.

It is trained once, on labels only the expert and the simulation know (the points the expert's tool goes through next,
whether the task is finished), and then frozen; every policy is trained on its features. At run time pictures and
measured state alone go in. Where to look and what is usual are facts of the task, kept in the checkpoint.

Mirroring: where both cameras look along the base's and the tool's xz plane, a picture flipped left to right shows the
scene with y turned round; STATE_MIRROR turns round the state, CHUNK_MIRROR the chunk.
"""

from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.checkpoint import Checkpoint
from operators.schema import ACTION_WIDTH
from recordings.dataset.facts import Box, Facts

SIZE = 96  # pixels a side
POINTS = 12  # of the expert's path that are regressed, every fourth row of its chunk
STATE = 16
PLACE = 9  # first numbers of a state that say where the robot is: not for a policy to learn by heart
SPEED, FORCE, TOUCH = 12, 13, 14  # columns of a state
CONDITION = 3 * POINTS + 4 + 1 + STATE - PLACE
_MIRROR = np.array([1.0, -1.0, 1.0], np.float32)
_SIX_MIRROR = np.concatenate([_MIRROR, -_MIRROR])  # S R S, S = diag(1, -1, 1), on the first two columns of R
CHUNK_MIRROR = np.concatenate([_MIRROR, _SIX_MIRROR, [1.0]]).astype(np.float32)
STATE_MIRROR = np.concatenate([_MIRROR, _SIX_MIRROR, _MIRROR, np.ones(4)]).astype(np.float32)

Pixels = TypeVar("Pixels", np.ndarray, Tensor)


def picture(pixels: np.ndarray) -> np.ndarray:
    """The central square of a frame, at SIZE x SIZE: (h, w, 3) uint8 -> (96, 96, 3) uint8."""
    height, width = pixels.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = pixels[top : top + side, left : left + side]
    return square if side == SIZE else cv2.resize(square, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def cropped(facts: Facts, wrist: Pixels, front: Pixels) -> tuple[Pixels, Pixels]:
    """What matters of pictures (..., 96, 96, 3) of both cameras: the same less wide and high."""
    return wrist[(..., *_slices(facts.wrist), slice(None))], front[(..., *_slices(facts.front), slice(None))]


def state_vector(
    facts: Facts, position: np.ndarray, matrix: np.ndarray, velocity: np.ndarray, force: np.ndarray
) -> np.ndarray:
    """What is measured, as numbers of order one; any leading shape. No tick, no time: nothing to replay by.

    Args:
        position: (..., 3) m, TCP in the base frame.
        matrix: (..., 3, 3) rotation of the tool in the base frame.
        velocity: (..., 3) m/s, base frame.
        force: (...,) N, along the tool.

    Returns:
        (..., STATE) float32: position 3, rotation 6, velocity in the tool's axes 3, speed, force, touch, 0. The last
        is 1 where `standing` put in another velocity.
    """
    tool = np.einsum("...ji,...j->...i", matrix, velocity)
    speed = np.linalg.norm(tool, axis=-1, keepdims=True)
    force = np.asarray(force)[..., None]
    touch = touched(facts, force)
    tilt = np.concatenate([matrix[..., 0] - facts.upright[:3], matrix[..., 1] - facts.upright[3:]], -1)
    place = (position - np.array(facts.centre_m, np.float32)) / facts.reach_m
    moving = tool / facts.speed_m_s, speed / facts.speed_m_s
    parts = place, tilt / facts.tilt, *moving, force / facts.force_n - 1, touch, 0 * touch
    return np.concatenate(parts, -1).astype(np.float32)


def touched(facts: Facts, force: Pixels) -> Pixels:
    """How surely a force [N] is that of a touch, 0..1."""
    nothing, surely = facts.touch_n
    return ((force - nothing) / (surely - nothing)).clip(0, 1)


def standing(facts: Facts, state: np.ndarray, velocity: np.ndarray) -> np.ndarray:
    """States (..., STATE) in which those that stand have another velocity (..., 3) and a mark that says so.

    The velocity is in m/s and the tool's axes. A robot that waits for a chunk stands, but its direction matters where
    strands cross. If the velocity itself is that of standing, nothing is changed.
    """
    speed, usual = np.linalg.norm(velocity, axis=-1, keepdims=True), facts.speed_m_s
    stands = (state[..., SPEED : SPEED + 1] * usual < facts.standing_m_s) & (speed > facts.standing_m_s)
    kept = state[..., :PLACE], state[..., FORCE : TOUCH + 1]
    planned = np.concatenate([kept[0], velocity / usual, speed / usual, kept[1], speed**0], -1)
    return np.where(stands, planned, state).astype(np.float32)


class Encoder(nn.Module):
    """Cropped pictures (B, h, w, 3) uint8 of both cameras and states (B, STATE) -> features (B, width)."""

    def __init__(self, facts: Facts, width: int = 256):
        super().__init__()
        self._near = _slices(facts.near)
        self.near = _eye(2, 32, 64, 24, facts.near, 192)
        self.wrist = _eye(4, 16, 32, 8, facts.wrist, 64)
        self.front = _eye(4, 16, 32, 8, facts.front, 64)
        self.state = nn.Sequential(nn.Linear(STATE, 64), nn.ReLU())
        self.join = nn.Sequential(nn.Linear(192 + 64 + 64 + 64, width), nn.ReLU(), nn.Linear(width, width))

    def forward(self, wrist: Tensor, front: Tensor, state: Tensor) -> Tensor:
        around = _image(wrist)
        seen = self.near(around[..., *self._near]), self.wrist(around), self.front(_image(front)), self.state(state)
        return self.join(torch.cat(seen, 1))


class Labels(NamedTuple):
    """What the head says about features, in the tool's axes, scaled."""

    points: Tensor  # (B, POINTS, 3) of the path to come
    ends: Tensor  # (B, 2, 2) where the path begins and ends, xy
    finished: Tensor  # (B,) logit: the task is done, what follows is the way off


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

    That is the head's labels, and the state without the place. Where the scene can be mirrored, labels are the mean of
    those of the pictures and of their mirror images turned back, which is nearer to the truth on what it has not seen.
    """

    def __init__(self, facts: Facts, width: int = 256):
        super().__init__()
        self.facts = facts
        self.encoder, self.head = Encoder(facts, width), Head(width)

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> "Vision":
        """Trained and frozen.

        Raises:
            ValueError: the checkpoint lacks facts, or its tensors do not fit.
        """
        facts = Facts.of(checkpoint.about.get("facts", {}), checkpoint.path.with_suffix(".json"))
        vision = cls(facts, **checkpoint.about["architecture"]).eval().requires_grad_(False)
        checkpoint.fill(vision)
        return vision

    def forward(self, wrist: Tensor, front: Tensor, state: Tensor) -> Tensor:
        mean = self._mirrored if self.facts.mirror else lambda *seen: self.head(self.encoder(*seen))
        points, ends, finished = mean(wrist, front, state)
        return torch.cat([points.flatten(1), ends.flatten(1), finished[:, None], state[:, PLACE:]], 1)

    def _mirrored(self, wrist: Tensor, front: Tensor, state: Tensor) -> Labels:
        """The mean of both views."""
        flipped = state * torch.from_numpy(STATE_MIRROR)
        both = [torch.cat(pair) for pair in ((wrist, wrist.flip(2)), (front, front.flip(2)), (state, flipped))]
        seen, mirrored = zip(*(part.chunk(2) for part in self.head(self.encoder(*both))), strict=True)
        back = torch.from_numpy(_MIRROR)
        back = back, back[:2], 1
        return Labels(*((one + other * turn) / 2 for one, other, turn in zip(seen, mirrored, back, strict=True)))


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


def _slices(box: Box) -> tuple[slice, slice]:
    """Rows and columns."""
    return slice(*box[:2]), slice(*box[2:])


def _eye(patch: int, first: int, second: int, last: int, box: Box, out: int) -> nn.Sequential:
    """A stem of patches is 2.6 times as fast as the usual one, and a line is still a pixel wide behind it.

    Raises:
        ValueError: patches do not fill the box.
    """
    height, width = box[1] - box[0], box[3] - box[2]
    if height % (2 * patch) or width % (2 * patch):
        raise ValueError(
            f"expected part of a picture with sides that are multiples of {2 * patch}, got {height} x {width}"
        )
    places = height * width // (2 * patch) ** 2
    stem = Patches(patch), _conv(3 * patch**2, first), Norm(first), nn.ReLU()
    middle = _conv(first, second, stride=2), Norm(second), nn.ReLU(), Residual(second)
    end = nn.Conv2d(second, last, 1), nn.ReLU(), nn.Flatten(), nn.Linear(last * places, out), nn.ReLU()
    return nn.Sequential(*stem, *middle, *end).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _image(pixels: Tensor) -> Tensor:
    """(B, h, w, 3) uint8 or float 0..255 -> (B, 3, h, w) around 0, channels last in memory."""
    return pixels.permute(0, 3, 1, 2).to(torch.float32, copy=True).sub_(160).mul_(1 / 80)


assert len(CHUNK_MIRROR) == ACTION_WIDTH and len(STATE_MIRROR) == STATE
