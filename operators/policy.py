"""What a policy is: observation in, prediction out. Which one runs is chosen in models.registry."""

from collections.abc import Mapping, Sequence
from math import floor
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from operators.chunks.foresight import rolled_forward
from operators.chunks.prefix import GUIDES
from operators.frame import Frame
from operators.messages import HZ, Episode, Plan, Proprio, Request
from operators.motion.align import LAG_ROWS, blocked, fit, resampled
from operators.motion.rows import Rows


class Observation(NamedTuple):
    """What the policy may look at when it is asked."""

    chunk_id: int
    proprio: Proprio
    frames: Mapping[str, Frame]  # camera -> newest frame
    plan: Rows | None = None  # executed and planned rows, absolute; None where they are not wired to the policy
    takeover: int = 0  # tick at which the chunk is expected to take over

    def numbers(self, cameras: Sequence[str]) -> tuple[int, list[str], np.ndarray]:
        """Number of the measurement; the cameras looked at, and the number of each one's frame."""
        return self.proprio.seq, list(cameras), np.array([self.frames[name].seq for name in cameras], np.int64)


class Prediction(NamedTuple):
    """A chunk relative to the observed TCP pose."""

    values: np.ndarray  # (H, 10) actions or (H / 4, 10) latent, float32
    space: str = "action"  # latent, action
    rate_hz: float = HZ
    codec: str = ""  # name:hash where space is latent
    seed: int = 0
    shift_ticks: float | None = None  # by which it is to be shifted (motion.align), where the policy settled that


class Policy(Protocol):
    """Deterministic under (seed, episode, chunk_id). A class is made from the settings: `Class(config)`.

    What some can do besides is in the protocols Guided, Sees and Mounted.
    """

    cameras: tuple[str, ...]  # frames it needs

    def start(self, episode: Episode) -> None:
        """A new episode begins."""
        ...

    def predict(self, observation: Observation) -> Prediction:
        """One chunk."""
        ...


@runtime_checkable
class Guided(Policy, Protocol):
    """Can continue a plan."""

    guides: tuple[str, ...]  # those of GUIDES it can use


@runtime_checkable
class Sees(Policy, Protocol):
    """Has an encoder of pictures."""

    def features(self, proprio: Proprio, frames: Mapping[str, Frame]) -> np.ndarray:
        """What it sees in them, (F,) float32."""
        ...


@runtime_checkable
class Mounted(Protocol):
    """Looks through a camera that moves with the arm."""

    on_arm: str  # which of its cameras


def in_content_time(observation: Observation, draft: Rows) -> tuple[Observation, float]:
    """What a sampler that continues the plan is shown where chunks are aligned by phase, and the shift.

    Content row i + shift of the chunk will be played at tick t0 + i, so the plan it shall continue is moved by as much,
    and with it the takeover. The chunk then agrees with the plan where it will be played, and is not shifted again.

    Args:
        observation: with a plan.
        draft: the chunk as it would be unguided, absolute; a rough one will do.
    """
    plan, seen = observation.plan, observation.proprio
    assert plan is not None
    stood = observation.takeover <= seen.tick
    if stood or blocked(seen.tcp_pose[:3], plan.between(seen.tick - LAG_ROWS, seen.tick)):
        return observation, 0.0
    shift_ticks = fit(draft, plan, observation.takeover).ticks
    moved = resampled(plan, -shift_ticks, len(plan) + max(0, floor(shift_ticks)))
    moved = moved.between(moved.tick, plan.tick + floor(len(plan) - 1 + shift_ticks) + 1)
    takeover = round(observation.takeover + shift_ticks)
    return observation._replace(plan=moved, takeover=takeover), shift_ticks


def check_guide(policy: Policy, name: str, guide: str) -> None:
    """To be called at start where `executed` is wired to a policy.

    Raises:
        ValueError: the policy cannot use the method; says why.
    """
    able = policy.guides if isinstance(policy, Guided) else ()
    if guide not in able:
        others = f"{name} can be guided by {', '.join(able)}" if able else f"{name} cannot be guided: use async_rtr.yml"
        raise ValueError(f"GUIDE={guide}: {GUIDES[guide]}; {others}")


def check_features(policy: Policy, name: str) -> Sees:
    """To be called at start where the policy's features are wired to the executor -> the policy.

    Raises:
        ValueError: it has none; says what to do.
    """
    if isinstance(policy, Sees):
        return policy
    raise ValueError(f"actions are corrected by what a policy's encoder sees, and {name} has none: use async_rtr.yml")


def state_in_frames(recent: Sequence[Proprio], frames: Mapping[str, Frame], on_arm: str = "") -> Proprio:
    """The state in which the arm's own frame was taken: a frame is some ticks old when it arrives.

    What a camera on the arm shows moves with the arm, so that frame and reference pose must be of one moment: two ticks
    are 2 mm at writing speed. Without such a camera it is the state in the oldest frame; where there are no frames, and
    where all states kept are newer, the newest.

    Args:
        recent: oldest first, at least one.
        frames: those the policy looks at.
        on_arm: the camera that moves with the arm, if there is one.
    """
    oldest = min((frame.t_ns for frame in frames.values()), default=recent[-1].t_ns)
    shown_ns = frames[on_arm].t_ns if on_arm in frames else oldest
    return next((state for state in reversed(recent) if state.t_ns <= shown_ns), recent[-1])


def camera_on_arm(policy: Policy) -> str:
    """The camera of a policy that moves with the arm; empty where it names none."""
    return policy.on_arm if isinstance(policy, Mounted) else ""


def observe(
    asked: Request, proprio: Proprio, frames: Mapping[str, Frame], plan: Plan | None, guide: str
) -> Observation:
    """What the policy is shown.

    Args:
        asked: the request.
        plan: the newest one, where it is wired to the policy.
        guide: one of GUIDES; vlash shows the state at the takeover, of which the chunk then begins.
    """
    takeover = asked.tick + asked.delay_ticks
    if plan is None:
        return Observation(asked.chunk_id, proprio, frames, takeover=takeover)
    rows = Rows(plan.tick - len(plan.executed), np.concatenate([plan.executed, plan.planned]))
    if guide == "vlash":
        proprio = rolled_forward(proprio, rows, takeover)
    return Observation(asked.chunk_id, proprio, frames, rows, takeover)
