"""Three floats at a time: on so few numbers numpy takes ten times as long. Vectors, and rotations by two columns."""

from math import atan2, hypot, pi

import numpy as np

from operators.motion.rotation import matrix_from_6d, matrix_from_vector, vector_from_matrix

Vector = tuple[float, float, float]
Columns = tuple[Vector, Vector]  # the first two columns of a rotation matrix, orthonormal
ZERO: Vector = (0.0, 0.0, 0.0)


def add(left: Vector, right: Vector, factor: float = 1.0) -> Vector:
    return left[0] + factor * right[0], left[1] + factor * right[1], left[2] + factor * right[2]


def shortened(vector: Vector, longest: float) -> Vector:
    size = hypot(*vector)
    return vector if size <= longest else add(ZERO, vector, longest / size)


def clipped(vector: Vector, lows: Vector, highs: Vector) -> Vector:
    x, y, z = (min(max(v, low), high) for v, low, high in zip(vector, lows, highs, strict=True))
    return x, y, z


def cross(left: Vector, right: Vector) -> Vector:
    (a, b, c), (d, e, f) = left, right
    return b * f - c * e, c * d - a * f, a * e - b * d


def turn_between(start: Columns, end: Columns) -> Vector:
    """The rotation vector [rad], base frame, that turns `start` into `end`; motion.rotation for three floats."""
    pairs = [(*start, cross(*start)), (*end, cross(*end))]
    sine, trace = ZERO, 0.0
    for left, right in zip(*pairs, strict=True):
        sine = add(sine, cross(left, right), 0.5)
        trace += left[0] * right[0] + left[1] * right[1] + left[2] * right[2]
    size = hypot(*sine)
    angle = atan2(size, (trace - 1) / 2)
    if angle > 0.9 * pi:  # the skew part fades away
        left, right = (matrix_from_6d(np.concatenate(columns)) for columns in (start, end))
        x, y, z = vector_from_matrix(right @ left.T).tolist()
        return x, y, z
    return add(ZERO, sine, angle / size) if size else ZERO


def turned(columns: Columns, vector: Vector) -> Columns:
    """Columns after a rotation by a rotation vector [rad]; orthonormal again, or errors would add up over hours."""
    matrix = matrix_from_vector(np.array(vector)) @ matrix_from_6d(np.concatenate(columns))
    (a, b), (c, d), (e, f) = matrix[:, :2].tolist()
    return (a, c, e), (b, d, f)
