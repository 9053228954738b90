"""A recorder that is killed leaves a file that opens, and at most the last second is missing."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from recordings.drec.file import Reader

KILLS = int(os.environ.get("RECORDER_KILLS", "3"))
RECORDER = """
import sys, time
from pathlib import Path
import pyarrow as pa
from recordings.drec.background import Recording

recording = Recording(Path(sys.argv[1]), "nodes: []", sys.argv[2] == "zstd", print)
row = pa.array([{"seq": 0, "values": [0.5] * 100}])
pixels, about = pa.array([7] * (64 * 64 * 3), pa.uint8()), {"encoding": "rgb8", "width": 64, "height": 64}
begun = time.monotonic()
for count in range(10**6):
    for topic in ("proprio", "command", "plan"):
        recording.add("node", topic, {"value": row, "metadata": {"seq": count}})
    if count % 3 == 0:
        recording.add("camera", "frame_front", {"value": pixels, "metadata": {**about, "seq": count // 3}})
    print(time.monotonic_ns() - recording._begun, flush=True)
    time.sleep(max(0, begun + (count + 1) / 60 - time.monotonic()))
"""


@pytest.mark.parametrize("number", range(KILLS))
def test_a_killed_recorder_loses_at_most_a_second(tmp_path, number):
    path, delay_s = tmp_path / "x.drec", np.random.default_rng(number).uniform(0.1, 1.5)
    command = [sys.executable, "-c", RECORDER, str(path), ("raw", "zstd")[number % 2]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as recorder:
        assert recorder.stdout
        told = [int(recorder.stdout.readline())]
        time.sleep(delay_s)
        recorder.kill()
        told += [int(line) for line in recorder.stdout if line.endswith("\n")]
    with Reader(path) as reader:
        records = list(reader)
        assert all(reader.message(record) is not None for record in records)
        assert len(reader.damage) <= 2, reader.damage  # no footer, and a torn message before it
    newest = max(record.offset_ns for record in records)
    assert told[-1] - newest < 1_000_000_000 and len(records) >= len(told)
