"""The real-time loop: absolute monotonic deadlines, first-in-first-out scheduling where it is allowed."""

import gc
import os
import time
from collections.abc import Iterator

SPIN_NS = 300_000  # sleep wakes up late by about this much: the rest is waited for awake
EXECUTOR, ROBOT, DECODER = 60, 50, 40  # priorities: the higher goes first
POLICY = 20  # before those who draw and watch: a chunk that takes 50 ms of computation took 300 ms among them


def realtime(priority: int) -> bool:
    """Ask for SCHED_FIFO for the calling thread. Call it after Node(): threads inherit it.

    Returns:
        Whether it was granted; without it everything works, with more jitter.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except (PermissionError, AttributeError):
        return False
    return True


def cycles(hz: int) -> Iterator[tuple[int, int]]:
    """Yield (cycle, time of waking [ns]) at a fixed rate; cycles that were slept through are passed over.

    What lives now is left out of garbage collection, and the rest is collected once a second after a cycle's work.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    period = 1_000_000_000 // hz
    start = time.monotonic_ns()
    cycle = 0
    while True:
        deadline = start + cycle * period
        _sleep_until(deadline)
        now = time.monotonic_ns()
        yield cycle, now
        if cycle % hz == 0:
            gc.collect(0)
        behind = (time.monotonic_ns() - start) // period
        cycle = max(cycle + 1, behind)


def _sleep_until(deadline: int) -> None:
    left = deadline - time.monotonic_ns()
    if left > SPIN_NS:
        time.sleep((left - SPIN_NS) / 1e9)
    while time.monotonic_ns() < deadline:
        pass
