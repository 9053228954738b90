"""What was done in an episode: measurements at 60 Hz, one commanded row a tick, frames as a stream.

The same from a recording and from a data set, so that converters, plots and open-loop comparisons need not know which.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from operators.frame import Frame
from operators.measure.log import Measurements
from operators.messages import Episode
from operators.motion.rows import Rows


@dataclass(frozen=True)
class Demonstration:
    """One episode."""

    episode: Episode
    measured: Measurements
    commanded: Rows  # one row a tick, after the limits; none where neither plans nor commands are there
    seen: Mapping[str, np.ndarray]  # camera -> t_ns of each of its frames, (k,) int64
    frames: Callable[[], Iterator[tuple[str, int, Frame]]]  # camera, number in `seen`, frame; in order of time
    notes: tuple[str, ...] = ()  # what is missing
