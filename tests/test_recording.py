"""`rtr recording`: what it says of a recording, and what it makes of it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from operators.frame import frame_metadata
from operators.measure.demonstration import Demonstration
from operators.messages import TOPICS, Proprio
from operators.schema import pack, unpack
from recordings.convert import from_dataset, to_dataset
from recordings.dataset.reader import Dataset
from recordings.drec import export
from recordings.drec.demonstrations import demonstrations
from recordings.drec.export import MissingExtra, curves, json_schema, to_mcap, to_rerun
from recordings.drec.file import Reader, Writer, encode, pack_frame
from recordings.drec.migrations import Added, Dropped, Renamed, migrated, state
from recordings.drec.survey import choose, playable, survey
from recordings.drec.trim import trim
from reports.plot import plot
from studies import recording as commands
from tests.replay import episode_messages, told

NODES = {"proprio": "robot", "plan": "executor", "command": "executor", "episode": "evaluator"}
SIZE = 24


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def beginning() -> list[tuple[str, Any]]:
    """Three seconds of an episode in the order of their stamps, which count from the first measurement."""
    early = 1_000_000_000 // 60
    found = [(topic, message) for topic, message in episode_messages("async_rtr") if message.t_ns >= early]  # pyright: ignore[reportAttributeAccessIssue]
    start = told(episode_messages("async_rtr"), "episode")[0]
    moved = [(topic, m._replace(t_ns=m.t_ns - early)) for topic, m in found if topic != "episode"]  # pyright: ignore[reportAttributeAccessIssue]
    moved = [(topic, m._replace(cycle=m.cycle - 1) if isinstance(m, Proprio) else m) for topic, m in moved]
    return [("episode", start), *sorted(moved, key=lambda each: each[1].t_ns)]


def write(path: Path, leave_out: tuple = (), pictures: bool = True, packed: bool = False) -> Path:
    """A recording of it, with a picture of each camera every second cycle."""
    writer = Writer(path, "nodes: []")
    for topic, message in beginning():
        if topic not in NODES or topic in leave_out:
            continue
        at = message.t_ns
        writer.write(NODES[topic], topic, at, encode(NODES[topic], topic, pack(message), {}))
        if isinstance(message, Proprio) and pictures and message.cycle % 2 == 0:
            for number, camera in enumerate(("front", "wrist")):
                pixels = pa.array(picture(2 * message.cycle + number).reshape(-1))
                about = frame_metadata(SIZE, SIZE, message.cycle // 2, 0, at)
                content = pack_frame(pixels, about) if packed else (pixels, about)
                writer.write(
                    f"camera_{camera}", f"frame_{camera}", at, encode(f"camera_{camera}", f"frame_{camera}", *content)
                )
    writer.close()
    return path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("recorded") / "x.drec")


def look(path: Path):
    with Reader(path) as reader:
        return survey(reader)


def test_info_tells_topics_rates_gaps_and_episodes(recorded):
    found = look(recorded)
    proprio = found.topics["robot/proprio"]
    assert found.complete and found.problems == 0 and playable(found) == ""
    assert proprio.messages == 180 and proprio.missing == 0 and abs(proprio.rate_hz - 60) < 0.1
    assert abs(proprio.largest_gap_ms - 1000 / 60) < 0.1 and proprio.columns == "current"
    assert abs(found.topics["camera_front/frame_front"].rate_hz - 30) < 0.1
    assert [told["seed"] for told in found.episodes] == [10_000]
    assert json.loads(json.dumps(found.json()))["topics"]["robot/proprio"]["messages"] == 180


def test_info_and_check_print_what_they_found(recorded, capsys):
    commands.Info(recorded).run()
    assert "robot/proprio" in capsys.readouterr().out
    commands.Info(recorded, json=True).run()
    assert json.loads(capsys.readouterr().out)["complete"]
    commands.Check(recorded).run()
    assert "0 missing by their senders' numbers" in capsys.readouterr().out


def test_what_is_missing_or_bad_is_counted_and_named_with_its_offset(tmp_path, capsys):
    path, messages = tmp_path / "x.drec", told(episode_messages("async_rtr"), "proprio")[:9]
    writer = Writer(path, "")
    for message in [*messages[:3], *messages[6:8], messages[8]._replace(gripper=float("nan"))]:
        writer.write("robot", "proprio", message.t_ns, encode("robot", "proprio", pack(message), {}))
    writer.write("robot", "score", messages[8].t_ns, encode("robot", "score", pa.array([{"seq": 1}]), {}))
    writer.close()
    os.truncate(path, path.stat().st_size - 24)  # as a killed recorder leaves it
    found = look(path)
    assert found.topics["robot/proprio"].missing == 3 and not found.complete
    assert found.topics["robot/score"].columns == "other"
    assert any("robot/proprio: Proprio: expected finite numbers in gripper" in line for line in found.damage)
    assert any(
        "robot/score: Score: expected struct<seq" in line and "got struct<seq: int64>" in line for line in found.damage
    )
    assert all(f"{path}, offset " in line for line in found.damage)
    with pytest.raises(SystemExit):
        commands.Check(path).run()
    assert "no footer" in capsys.readouterr().out


def test_losses_are_told_apart_by_when_they_were(tmp_path):
    path, messages = tmp_path / "x.drec", told(episode_messages("async_rtr"), "proprio")[:60]
    writer = Writer(path, "")
    for message in [*messages[1:3], *messages[6:30], *messages[31:]]:
        writer.write("robot", "proprio", message.t_ns, encode("robot", "proprio", pack(message), {}))
    writer.close()
    with Reader(path) as reader:
        whole, settled = survey(reader), survey(reader, 0.2)
    assert (whole.messages, whole.missing - settled.missing, settled.missing) == (55, 3, 1)


def test_a_recording_without_proprio_cannot_be_played(tmp_path):
    assert "expected proprio, got " in playable(look(write(tmp_path / "x.drec", ("proprio",), pictures=False)))
    with pytest.raises(ValueError, match="expected proprio, got command, episode, plan"):
        demonstrations(tmp_path / "x.drec")


def test_an_unknown_topic_is_answered_with_the_list_and_the_nearest(recorded, tmp_path):
    assert choose(["frame_front", "robot/proprio"], ["robot/proprio", "camera_front/frame_front"]) == {
        "robot/proprio",
        "camera_front/frame_front",
    }
    with pytest.raises(ValueError, match=r"got 'propri'; there are camera_front/.*; nearest is robot/proprio"):
        commands.Trim(recorded, tmp_path / "y.drec", topics=("propri",)).run()
    assert not (tmp_path / "y.drec").exists()


def test_trim_keeps_time_topics_and_episode_byte_by_byte(recorded, tmp_path):
    part = tmp_path / "part.drec"
    with Reader(recorded) as reader:
        whole = {record.position: record for record in reader}
        kept = trim(reader, part, 1.0, 2.0, {"robot/proprio"}, 0)
    with Reader(part) as reader:
        records = list(reader)
        assert reader.complete and len(records) == kept == 60
    events = [record.event for record in whole.values() if record.output == "proprio"]
    assert [record.event for record in records] == events[60:120] or [r.event for r in records] == events[61:121]
    assert records[0].offset_ns < 1e9 / 60
    with Reader(recorded) as reader, pytest.raises(ValueError, match="there are none"):
        trim(reader, tmp_path / "none.drec", episode=7)
    with Reader(recorded) as reader, pytest.raises(ValueError, match="got 3 to 2 s"):
        trim(reader, tmp_path / "none.drec", 3, 2)
    assert not (tmp_path / "none.drec").exists()
    with pytest.raises(ValueError, match="another file than the one"):
        commands.Trim(recorded, recorded).run()


def test_a_demonstration_has_every_measurement_and_one_row_a_tick(recorded):
    found: Demonstration = demonstrations(recorded)[0]
    messages = beginning()
    proprio, last = told(messages, "proprio"), told(messages, "plan")[-1]
    assert len(found.measured) == len(proprio)
    for field, value in zip(Proprio._fields, found.measured.message(17, 0), strict=True):
        assert field == "run_ns" or np.array_equal(value, getattr(proprio[17], field)), field
    executed = last.executed
    assert np.array_equal(found.commanded.between(last.tick - len(executed), last.tick).action, executed)
    assert found.commanded.end == last.tick and found.notes == ()
    camera, number, frame = list(found.frames())[5]
    assert (camera, number) == ("wrist", 2) and np.array_equal(frame.pixels, picture(2 * 4 + 1))


def test_the_way_home_is_no_demonstration(tmp_path):
    path, messages = tmp_path / "x.drec", told(beginning(), "proprio")[:9]
    writer = Writer(path, "")
    for message in messages:
        told_as = message._replace(state="homing" if message.cycle < 4 else "ready")
        writer.write("robot", "proprio", message.t_ns, encode("robot", "proprio", pack(told_as), {}))
    writer.close()
    assert [found.measured.cycle.tolist() for found in demonstrations(path)] == [[4, 5, 6, 7, 8]]


def test_without_plans_commands_tell_what_was_done(tmp_path):
    (found,) = demonstrations(write(tmp_path / "x.drec", ("plan",), pictures=False))
    (planned,) = demonstrations(write(tmp_path / "y.drec", pictures=False))
    same = found.commanded.between(planned.commanded.tick, planned.commanded.end)
    assert len(same) > 100 and np.mean(np.all(same.action == planned.commanded.action[: len(same)], 1)) > 0.9


@pytest.mark.parametrize("fps", [15, 30])
def test_a_recording_becomes_a_data_set_and_a_recording_again(recorded, tmp_path, fps):
    assert to_dataset(recorded, tmp_path / "set", fps, print) == 1
    dataset = Dataset.open(tmp_path / "set")
    rows, (found,) = dataset.rows(0), demonstrations(recorded)
    at = np.arange(0, len(found.measured), 60 // fps)
    np.testing.assert_allclose(rows["observation.q"], found.measured.q[at], atol=1e-6)
    assert np.array_equal(rows["tick"], found.measured.tick[at])
    assert np.array_equal(rows["action_chunk"][3][:10], found.commanded.since(rows["tick"][3]).action[:10])
    front = dataset.frames(0, "front")
    assert all(np.array_equal(front[k], picture(2 * (at[k] // 2 * 2))) for k in range(len(at)))

    again = tmp_path / "again.drec"
    from_dataset(dataset, again)
    assert look(again).problems == 0 and look(again).episodes[0]["seed"] == 10_000
    (played,) = demonstrations(again)
    inside = slice(0, at[-1] + 1)
    np.testing.assert_allclose(played.measured.tcp_pose[:, :3], found.measured.tcp_pose[inside, :3], atol=1e-3)
    assert to_dataset(again, tmp_path / "set2", fps, print) == 1
    other = Dataset.open(tmp_path / "set2")
    for name, values in dataset.rows(0).items():
        new = other.rows(0)[name]
        if name == "action_chunk":
            values, new = values[:-12, :1], new[:-12, :1]
        if name != "observation.past":  # the states between rows are interpolated
            np.testing.assert_allclose(new, values, atol=2e-6, err_msg=name)
    assert np.array_equal(other.frames(0, "wrist"), dataset.frames(0, "wrist"))


def test_packed_pictures_are_the_same_pictures(tmp_path, recorded):
    packed = write(tmp_path / "x.drec", packed=True)
    pairs = zip(demonstrations(packed)[0].frames(), demonstrations(recorded)[0].frames(), strict=True)
    assert all(np.array_equal(left.pixels, right.pixels) for (_, _, left), (_, _, right) in pairs)


def test_what_cannot_become_a_data_set_is_refused(recorded, tmp_path):
    with pytest.raises(ValueError, match="--fps: expected a divisor of 60"):
        to_dataset(recorded, tmp_path / "set", 50)
    path = write(tmp_path / "x.drec", ("plan", "command"), pictures=False)
    with pytest.raises(ValueError, match="expected an episode with proprio and plan or command"):
        to_dataset(path, tmp_path / "set", 15)
    to_dataset(recorded, tmp_path / "set", 15)
    with pytest.raises(ValueError, match="expected episodes 0 to 0, got 3"):
        from_dataset(Dataset.open(tmp_path / "set"), tmp_path / "y.drec", {3})


def test_mcap_holds_every_message_and_picture(recorded, tmp_path):
    from mcap.reader import make_reader

    out = tmp_path / "x.mcap"
    with Reader(recorded) as reader:
        count = to_mcap(reader, out, {"robot/proprio", "camera_front/frame_front"})
    with out.open("rb") as file:
        found = list(make_reader(file).iter_messages())
    assert len(found) == count == 180 + 90
    first = next(json.loads(m.data) for _, channel, m in found if channel.topic[1:] == "robot/proprio")
    proprio = told(episode_messages("async_rtr"), "proprio")[0]
    assert first["q"] == proprio.q.tolist() and first["cycle"] == 0
    schema, _, message = next(each for each in found if each[1].topic[1:] == "camera_front/frame_front")
    assert schema is not None and schema.name == "foxglove.CompressedImage"
    assert json.loads(message.data)["format"] == "png"
    assert json_schema(pack(proprio).type)["properties"]["q"] == {"type": "array", "items": {"type": "number"}}


class Rerun:
    """What of rerun-sdk is used: a stand-in, since it takes 490 MB."""

    def __init__(self):
        self.logged, self.times = [], []

    def RecordingStream(self, name):
        return self

    def Image(self, pixels):
        return pixels.shape

    def Scalars(self, values):
        return values

    def save(self, path):
        Path(path).write_text("")

    def set_time(self, name, duration):
        self.times.append(duration)

    def log(self, name, what):
        self.logged.append((name, what))

    def flush(self):
        pass


def test_rerun_gets_pictures_and_curves(recorded, tmp_path, monkeypatch):
    rerun = Rerun()
    monkeypatch.setattr(export, "_library", lambda module, extra: rerun)
    with Reader(recorded) as reader:
        assert to_rerun(reader, tmp_path / "x.rrd", {"robot/proprio", "camera_front/frame_front"}) == 270
    assert ("camera_front/frame_front", (SIZE, SIZE, 3)) in rerun.logged
    names = {name for name, _ in rerun.logged}
    assert "robot/proprio/tcp_pose" in names and rerun.times == sorted(rerun.times)
    assert dict(curves(pack(told(episode_messages("async_rtr"), "proprio")[0])))["tick"] == [0.0]


@pytest.mark.parametrize(("write_as", "module"), [(to_mcap, "mcap"), (to_rerun, "rerun")])
def test_a_missing_library_is_one_sentence(recorded, tmp_path, monkeypatch, write_as, module):
    for name in [name for name in sys.modules if name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with Reader(recorded) as reader, pytest.raises(MissingExtra, match=f"^{module} is not installed: pip install .*$"):
        write_as(reader, tmp_path / "x")


def test_plot_draws_an_episode(recorded, tmp_path):
    commands.Plot(recorded, tmp_path / "x.png").run()
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(ValueError, match="expected an episode of 0, got 3"):
        commands.Plot(recorded, tmp_path / "x.png", episode=3).run()
    with pytest.raises(ValueError, match=r"expected a file of \.png"):
        plot("x", demonstrations(recorded)[0], {}, tmp_path / "x.bmp")


def test_an_older_recording_is_read_through_its_migration(monkeypatch, tmp_path):
    wanted = pack(told(episode_messages("async_rtr"), "request")[0])
    fields = {field.name: wanted.field(i) for i, field in enumerate(wanted.type)}
    del fields["waits"]
    fields["delay"] = fields.pop("delay_cycles")
    fields["colour"] = pa.array(["red"])
    older = pa.StructArray.from_arrays(list(fields.values()), list(fields))
    changes = {"request": [Dropped("colour"), Renamed("delay", "delay_cycles"), Added("waits", False)]}
    assert migrated("request", older) is older and state("request", older) == "other"
    monkeypatch.setattr("recordings.drec.migrations.MIGRATIONS", changes)
    assert migrated("request", older).to_pylist() == wanted.to_pylist() and migrated("request", wanted) is wanted
    writer = Writer(tmp_path / "x.drec", "")
    writer.write("scheduler", "request", 0, encode("scheduler", "request", older, {}))
    writer.close()
    found = look(tmp_path / "x.drec")
    assert found.problems == 0 and found.topics["scheduler/request"].columns == "migrated"
    assert unpack(TOPICS["request"].message, migrated("request", older)).waits is False


WORK = """
import re, sys
from pathlib import Path
from recordings.drec.file import Reader
from recordings.drec.survey import survey
from recordings.convert import to_dataset
from recordings.drec.trim import trim
from recordings.drec.export import to_mcap
path, out = map(Path, sys.argv[1:3])
with Reader(path) as reader:
    assert survey(reader).problems == 0
with Reader(path) as reader:
    trim(reader, out / "y.drec", 0.05)
with Reader(path) as reader:
    to_mcap(reader, out / "y.mcap", {"camera_front/frame_front"})
to_dataset(path, out / "set", 15)
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def long_recording(path: Path, cycles: int) -> Path:
    """A recording of so many cycles with a raw picture of 640 x 480 every fourth."""
    messages = told(episode_messages("async_rtr"), "proprio")
    plan = next(p for p in told(episode_messages("async_rtr"), "plan") if len(p.executed))
    pixels = pa.array(np.tile(np.arange(256, dtype=np.uint8), 3600))
    writer = Writer(path, "")
    for cycle in range(cycles):
        at = cycle * 16_666_667
        proprio = messages[cycle % 100]._replace(cycle=cycle, seq=cycle, tick=cycle, t_ns=at)
        writer.write("robot", "proprio", at, encode("robot", "proprio", pack(proprio), {}))
        moved = pack(plan._replace(cycle=cycle, seq=cycle, tick=cycle + 1, t_ns=at))
        writer.write("executor", "plan", at, encode("executor", "plan", moved, {}))
        if cycle % 4 == 0:
            about = frame_metadata(640, 480, cycle // 4, 0, at)
            writer.write("camera_front", "frame_front", at, encode("camera_front", "frame_front", pixels, about))
    writer.close()
    return path


def test_memory_does_not_grow_with_the_recording(tmp_path):
    """A file eight times as large needs no more; 2 GB stay far below 500 MB."""
    used = []
    for name, cycles in (("small", 64), ("large", 512)):
        (tmp_path / name).mkdir()
        path = long_recording(tmp_path / name / "x.drec", cycles)
        command = [sys.executable, "-c", WORK, str(path), str(path.parent)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=Path(__file__).parents[1])
        assert done.returncode == 0, done.stderr[-2000:]
        used.append(int(done.stdout.split()[-1]))
    assert path.stat().st_size > 115 << 20
    assert used[1] - used[0] < 40 and used[1] < 500, used
