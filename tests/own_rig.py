"""A package of a user's own: a camera with a thread and a robot that homes, found by entry points."""

import os
from pathlib import Path

MODULE = """
import time
from threading import Event, Thread

import numpy as np

from operators.drivers import DriverError, Reading


class Camera:
    INPUTS = ()

    def __init__(self, config, name, which):
        if which == "unplugged":
            raise OSError("no device on port 7")
        self.level, self.ended = int(which), Event()

    def start(self, send, fault):
        fault("slow", "30 ms from picture to picture")
        self.thread = Thread(target=self.run, args=(send,))
        self.thread.start()

    def run(self, send):
        while not self.ended.wait(0.03):
            send(np.full((48, 64, 3), self.level, np.uint8), time.monotonic_ns())

    def receive(self, message):
        pass

    def close(self):
        self.ended.set()
        self.thread.join()


class Robot:
    def __init__(self, config, model, which):
        self.pose, self.left, self.lost_after, self.calls = np.array([0.45, 0, 0.3, 0, 3.0, 0]), 0, int(which), []

    def home(self):
        self.left = 3

    def read(self):
        self.lost_after -= 1
        if self.lost_after < 0:
            raise DriverError("own robot: expected an answer, got none for 1 s")
        self.left -= 1
        state, zero = "ready" if self.left < 0 else "homing", np.zeros(6)
        return Reading(zero, self.pose, zero, zero, 0.5, state, 70 + self.left)

    def servo(self, action):
        self.calls.append(action)

    def stop(self):
        self.calls.append("stop")

    def close(self):
        self.calls.append("close")
"""
ENTRIES = "[rtr.cameras]\nown = own_rig_of_a_user:Camera\n\n[rtr.robots]\nown = own_rig_of_a_user:Robot\n"


def install(folder: Path) -> Path:
    """Write the package as pip would leave it; to be put on the path."""
    about = folder / "own_rig_of_a_user-1.dist-info"
    about.mkdir(parents=True)
    (folder / "own_rig_of_a_user.py").write_text(MODULE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: own-rig-of-a-user\nVersion: 1\n")
    (about / "entry_points.txt").write_text(ENTRIES)
    return folder


def path_with(folder: Path) -> str:
    """PYTHONPATH with the package in front."""
    return os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
