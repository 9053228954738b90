"""Every environment variable of the dataflows: type, default, choices, meaning. Parsed here, read in nodes.

The table of them, with who reads each one, is made by studies.variables.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from operators.chunks.latency import TRACES
from operators.chunks.prefix import GUIDES
from operators.chunks.refine import MARGIN, METHODS
from operators.motion.align import WAYS
from operators.motion.join import JOINS
from operators.motion.smooth import STAGES


def _variable(default: Any, meaning: str, choices: tuple[str, ...] = (), least: float = 0) -> Any:
    return field(default=default, metadata={"meaning": meaning, "choices": choices, "least": least})


@dataclass(frozen=True)
class Settings:
    """One field a variable; the variable's name is the field's in capitals."""

    task: str = _variable("", "what is to be done; empty = the first there is")
    variant: str = _variable("", "of the task: one of its own list; empty = its first")
    prompt: str = _variable("", "what a policy that reads is told; empty = the task's own words")
    policy: str = _variable("dp_latent60", "who predicts chunks: a checkpoint (`rtr models`), or a policy without one")
    replay: str = _variable("", "trace of the episode that a replaying policy repeats, as the evaluator leaves them")
    robot: str = _variable("sim", "what moves: `sim`, or a driver of your own (`NAME`, or `NAME:WHICH`)")
    robot_model: str = _variable("ur5e", "its tool, limits and home: a file of `robots/`, or a path")
    noise: float = _variable(
        1.0, "size of the error of a scripted expert's chunks; 0 = none, 1 = like a learned policy"
    )
    guide: str = _variable(
        "rtc", "how a chunk is made to continue the plan where `executed` is wired to it", tuple(GUIDES)
    )
    latency_ms: float = _variable(100.0, "time an inference takes at least, from its start with the frames in hand")
    latency_trace: str = _variable("constant", "how that time varies", TRACES)
    stale_ms: float = _variable(
        200.0, "a frame older than this is not used: the request waits for a newer one, 2 s at most"
    )
    codec: str = _variable("vae", "of latents, and what refine passes chunks through: a checkpoint, or one without")
    refine_codec: str = _variable("", "what refine uses in the place of CODEC; empty = CODEC (`async_rtr.yml`: `dct`)")
    refine: str = _variable("rtr", "how a chunk is refined where `executed` is wired", METHODS)
    margin: int = _variable(MARGIN, "rows of the old plan kept in front of a new chunk (REFINE=rtr)")
    join: str = _variable("newest", "how a chunk takes over from the plan (`async_rtr.yml`: `fade`)", tuple(JOINS))
    align: str = _variable(
        "tick",
        "where a chunk is laid on the plan: at its tick, or where its motion is the plan's (`async_rtr.yml`: `phase`)",
        WAYS,
    )
    smooth: str = _variable("none", "how the command follows the plan", STAGES)
    slowest: float = _variable(0.4, "feed rate down to which a slow policy slows the robot; 1 = never", least=0.05)
    rate_scale: float = _variable(1.0, "upper bound of the feed rate: how fast the plan is played at most", least=0.05)
    clock: str = _variable("own", "own 60 Hz, or one cycle per proprio received", ("own", "rig"))
    execution_horizon: int = _variable(12, "ticks between async requests", least=1)
    sync_horizon: int = _variable(20, "rows of a chunk that are played in sync before the robot waits", least=1)
    settle: int = _variable(5, "cycles the robot stands before a sync request")
    request_timeout_ms: float = _variable(5000.0, "a chunk that has not come by then is asked for again", least=100)
    image_width: int = _variable(240, "pixels; policies look at the central square", least=16)
    image_height: int = _variable(240, "pixels", least=16)
    episodes: int = _variable(1, "episodes in the run", least=1)
    seed: int = _variable(20000, "of the first episode: 0-9999 collect, 10000-19999 tune, 20000 up evaluate")
    time_limit_s: float = _variable(120.0, "an episode longer than this is ended", least=1)
    record: str = _variable("", "file to record the run into, *.drec; empty = none")
    record_frames: str = _variable("raw", "how frames are kept in it", ("raw", "zstd"))
    recording: str = _variable("", "file to play in the place of robot and cameras, *.drec")
    speed: float = _variable(1.0, "how fast", least=0.05)
    out: str = _variable("out", "folder for report, video and traces")


def parse(environ: Mapping[str, str]) -> Settings:
    """Read settings from an environment; a variable that is not there has its default.

    Raises:
        ValueError: one line naming the variable, what was expected and what came.
    """
    values = {f.name: _parse(f, environ[f.name.upper()]) for f in fields(Settings) if f.name.upper() in environ}
    return Settings(**values)


def camera_driver(environ: Mapping[str, str], camera: str) -> str:
    """What drives a camera: CAMERA_FRONT for `front`, a family of variables as open as that of cameras."""
    return environ.get(f"CAMERA_{camera.upper()}", "sim")


def _parse(variable: Any, text: str) -> Any:
    name, kind, choices = variable.name.upper(), type(variable.default), variable.metadata["choices"]
    if kind is str:
        if choices and text not in choices:
            raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {text!r}")
        return text
    try:
        value = kind(text)
    except ValueError:
        raise ValueError(f"{name}: expected {'a whole number' if kind is int else 'a number'}, got {text!r}") from None
    least = variable.metadata["least"]
    if not least <= value < 1e9:
        raise ValueError(f"{name}: expected a number from {least} up, got {text!r}")
    return value
