"""`rtr video`: the same task in several modes side by side, from the same seed and in the same simulated time."""

import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.progress import track

from operators.messages import HZ, Command, Scene
from operators.settings import Settings
from simulation.renderer import Renderer
from simulation.tasks import task_class
from studies.check import graph_settings
from studies.evaluate import delay_cycles
from studies.simulated import GRAPHS, Simulated

NAMES = {"sync": "sync", "async_naive": "async, naive", "async_rtr": "async, reuse-then-refine"}
EVERY = 2  # cycles a picture
THINNED, QUALITY = 3, 60  # of a page: every so many pictures, and how well they are kept, of 100
END_S = 1.5  # for which the last picture stays
WIDTH, HEIGHT = 320, 240
CAPTION = 36  # pixels
TEXT = (40, 25, 25)  # BGR


@dataclass(frozen=True)
class Video:
    """Film sync, async naive and async RTR side by side, as video (.webm) or for a page (.webp).

    Other settings come from the environment.
    """

    out: Path = Path("out/modes.webm")
    policy: str = "dp_latent60"
    modes: tuple[str, ...] = tuple(NAMES)
    delay: str = "8"
    """Ticks from the exposure of the picture to the takeover: a number, or lognormal:8, spikes:8, outage:8."""
    seed: int = 20_000
    variant: str = ""

    def run(self) -> None:
        unknown = set(self.modes) - NAMES.keys()
        if unknown or not self.modes:
            raise ValueError(f"--modes: expected some of {', '.join(NAMES)}, got {', '.join(self.modes) or 'none'}")
        if self.out.suffix not in (".webm", ".webp"):
            raise ValueError(f"--out: expected a file .webm or .webp, got {self.out}")
        delay_cycles(self.delay, 0, 0, 0)
        environ = {**os.environ, "POLICY": self.policy, "VARIANT": self.variant}
        configs = {mode: graph_settings(GRAPHS / f"{mode}.yml", environ) for mode in self.modes}
        films = [film(configs[mode], mode, self.delay, self.seed) for mode in track(self.modes, "episodes")]
        self.out.parent.mkdir(parents=True, exist_ok=True)
        write(self.out, films)
        print(self.out)


def film(config: Settings, mode: str, delay: str, seed: int) -> list[np.ndarray]:
    """One episode's pictures, one each EVERY cycles: its cameras one above the other, (h, WIDTH, 3) uint8 BGR."""
    rig, draw, tally = Simulated(config, mode), Renderer(task_class(config.task), WIDTH, HEIGHT), Tally()
    pictures: list[np.ndarray] = []

    def listen(sender: str, output: str, message: object) -> None:
        if isinstance(message, Command):
            tally.add(message)
        if isinstance(message, Scene) and message.seq % EVERY == 0:
            both = np.vstack([draw.render(message, camera) for camera in draw.cameras])[..., ::-1]
            pictures.append(captioned(both, f"{NAMES[mode]}  {message.seq / HZ:.1f} s", tally.text))

    log = rig.run(0, seed, lambda chunk: delay_cycles(delay, seed, 0, chunk), listen)
    draw.close()
    verdict = f"{'done' if log.score['success'] else 'failed'}, {log.score['duration_s']:.1f} s"
    return [*pictures, captioned(pictures[-1][CAPTION:], f"{NAMES[mode]}  {verdict}", tally.text)]


class Tally:
    """What a viewer cannot see: how long the robot stood, and how hard its plan jumped."""

    def __init__(self) -> None:
        self._passed: list[np.ndarray] = []  # the last three planned positions
        self._tick = -1
        self._jump_mm = 0.0
        self._stood = 0

    def add(self, command: Command) -> None:
        if command.state != "playing":
            self._stood += bool(command.chunk_id >= 0)
        if command.tick == self._tick:
            return
        self._tick = command.tick
        self._passed = [*self._passed[-2:], 1e3 * command.planned[:3].astype(np.float64)]
        if len(self._passed) == 3:
            before, now, after = self._passed
            self._jump_mm = max(self._jump_mm, float(np.linalg.norm(after - 2 * now + before)))

    @property
    def text(self) -> str:
        return f"stood {self._stood / HZ:.1f} s, jump {self._jump_mm:.1f} mm/tick"


def captioned(picture: np.ndarray, first: str, second: str) -> np.ndarray:
    """A picture (h, w, 3) with two lines of text above it, (h + CAPTION, w, 3)."""
    band = np.full((CAPTION, picture.shape[1], 3), 255, np.uint8)
    for text, y in ((first, 14), (second, 29)):
        cv2.putText(band, text, (6, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, TEXT, 1, cv2.LINE_AA)
    return np.vstack([band, picture])


def write(path: Path, films: list[list[np.ndarray]]) -> None:
    """Films beside each other; one that is over shows its last picture.

    Raises:
        OSError: the file cannot be written.
    """
    longest = max(len(pictures) for pictures in films) + round(END_S * HZ / EVERY)
    height, width, _ = films[0][0].shape
    size = width * len(films), height
    rows = (np.hstack([pictures[min(i, len(pictures) - 1)] for pictures in films]) for i in range(longest))
    if path.suffix == ".webp":
        animation = cv2.Animation()
        animation.frames = [row for i, row in enumerate(rows) if i % THINNED == 0]
        animation.durations = [round(1e3 * THINNED * EVERY / HZ)] * len(animation.frames)
        if not cv2.imwriteanimation(str(path), animation, [cv2.IMWRITE_WEBP_QUALITY, QUALITY]):
            raise OSError(f"{path}: expected a file that can be written")
        return
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"VP80"), HZ / EVERY, size)
    if not writer.isOpened():
        raise OSError(f"{path}: expected a file that can be written")
    for row in rows:
        writer.write(row)
    writer.release()
