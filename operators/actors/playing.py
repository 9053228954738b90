"""A recording in the place of robot and cameras, at its own pace or SPEED times as fast.

Policy, decoder and executor are live; their commands go nowhere. The recording does not run ahead of the plan, whose
rows are due at its ticks: while a chunk is out and the plan is behind, it stands and the newest sample is sent again.
"""

from collections.abc import Callable, Collection, Generator, Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from operators.actor import UNSENT, Outputs, Recorded
from operators.actors.seen import FRESH_NS
from operators.messages import HZ, ActionChunk, Episode, Fault, Plan, Proprio, Request, Score
from operators.schema import pack

SETTLING_NS = 500_000_000  # the first messages of a run come late
AGAIN_NS = 200_000_000  # the first sample is sent again until the executor has heard episode and sample
STUCK_NS = 1_000_000_000  # with no chunk out, a plan that stands holds the recording up no longer than this
LAST_NS = 100_000_000  # in which the plan of the last sample comes


class Sample(NamedTuple):
    """A message of a recording."""

    offset_ns: int
    message: Recorded
    proprio: Proprio | None  # what it measures, unless it is a frame


class Playing:
    """One episode after the other.

    Args:
        samples: those of an episode, in their order.
        cameras: outputs of which the recording has frames.
    """

    INPUTS: ClassVar[dict[str, type]] = {
        "plan": Plan,
        "request": Request,
        "action_chunk": ActionChunk,
        "policy_fault": Fault,
        "decoder_fault": Fault,
        "episode": Episode,
    }

    def __init__(self, samples: Callable[[int], Iterator[Sample]], cameras: Collection[str], speed: float):
        self._samples, self._cameras, self._speed = samples, cameras, speed
        self._script: Generator[Any, None, None] = iter(())  # pyright: ignore[reportAttributeAccessIssue]
        self._now_ns = 0
        self.wake_ns: int | None = None

    def receive(self, port: str, message: object, now_ns: int) -> Outputs:
        match message:
            case Plan():
                self._reached = message.tick
            case Request():
                self._out = message.chunk_id
            case ActionChunk() | Fault():
                self._out = -1
            case Episode(phase="start"):
                self._out, self._reached = -1, -1  # chunk that is out; tick of the plan, -1 before the first
                self._last: Proprio | None = None  # newest sample sent
                self._repeated = 0  # samples sent once more than recorded: later ones are numbered so much higher
                self._script, self.wake_ns = self._play(message.episode), now_ns + SETTLING_NS
            case Episode():
                self.wake_ns = None
        return ()

    def wake(self, now_ns: int) -> Outputs:
        """Go on with the script, up to where it waits for a time."""
        self._now_ns, self.wake_ns = now_ns, None
        for each in self._script:
            if isinstance(each, int):
                self.wake_ns = each
                return
            yield each

    def _play(self, episode: int) -> Generator[Any, None, None]:
        """The samples of an episode, then that it is done; between them the times to wait for."""
        to_come, begun, first = set(self._cameras), self._now_ns, None
        for offset_ns, message, proprio in self._samples(episode):
            first = offset_ns if first is None else first
            if offset_ns - first > FRESH_NS:  # a policy waits no longer for a camera's first picture
                to_come.clear()
            due = round((offset_ns - first) / self._speed)
            if proprio and proprio.tick + 1 < self._reached:  # the recorded robot stood longer than this run's
                begun = self._now_ns - due
                continue
            yield from self._until(begun + due)
            if proprio is None:
                to_come.discard(message.output)
                yield message
                continue
            standing = self._now_ns
            if self._last and not to_come:  # before a camera's first picture the policy may be waiting for that
                yield from self._hold(proprio.tick)
            was_first, self._last = self._last is None, proprio
            yield self._sent(proprio)
            yield self._now_ns  # hear what came before the next one, also when many are due at once
            while was_first and self._reached < 0:
                yield from self._until(self._now_ns + AGAIN_NS)
                if self._reached < 0:
                    yield self._again()
            begun += self._now_ns - standing
        yield from self._until(self._now_ns + LAST_NS)
        yield Score(*UNSENT, self._last.tick if self._last else 0, True, False, [], np.zeros(0))

    def _until(self, due_ns: int) -> Iterator[int]:
        while self._now_ns < due_ns:
            yield due_ns

    def _hold(self, tick: int) -> Iterator[Any]:
        """Until the plan is there."""
        begun = self._now_ns
        while tick > self._reached and (self._out >= 0 or self._now_ns - begun < STUCK_NS):
            yield from self._until(self._now_ns + round(1e9 / HZ / self._speed))
            if tick > self._reached:
                yield self._again()

    def _again(self) -> Recorded:
        assert self._last
        self._repeated += 1
        return self._sent(self._last)

    def _sent(self, proprio: Proprio) -> Recorded:
        more = self._repeated
        return Recorded("proprio", pack(proprio._replace(seq=proprio.seq + more, cycle=proprio.cycle + more)), {})
