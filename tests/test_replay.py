"""Replay: a recorded run is decided again in process, on any machine's clock, and every command comes out as sent."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from operators.frame import Frame, frame_metadata
from operators.messages import TOPICS, Command, Proprio
from operators.schema import pack
from operators.settings import Settings
from recordings.drec.file import Damage, Reader, Writer, encode
from recordings.drec.messages import messages
from recordings.drec.replay import read
from studies.check import GRAPHS
from studies.replay import ReplayRun, replay
from studies.simulated import Simulated
from tests import golden
from tests.boot import FAR_NS, moved_recording
from tests.graphs import run
from tests.replay import EXPERT

LEARNED = {"policy": "dp_latent60", "codec": "vae", "image_width": 120, "image_height": 120}
SIMULATED = {
    "sync": EXPERT,
    "async_naive": {**EXPERT, "join": "fade"},
    "async_rtr": {**EXPERT, "align": "phase", "join": "fade", "smooth": "ruckig"},
    "async_rtc": {**EXPERT, "policy": "expert_flow", "align": "phase"},
    "async_a2c2": LEARNED,
}


def recorded(mode: str, path: Path, config: Settings, delay: int = 8, lost: Any = lambda topic, message: False) -> None:
    """The beginning of an episode in simulated time, as the recorder would keep it."""
    env = {name.upper(): str(value) for name, value in vars(config).items()}
    graph = yaml.safe_load((GRAPHS / f"{mode}.yml").read_text())
    writer = Writer(path, yaml.safe_dump({**graph, "env": env}))

    def keep(sender: str, output: str, message: Any) -> None:
        if isinstance(message, Frame):
            height, width, _ = message.pixels.shape
            about = frame_metadata(width, height, *message[1:])
            writer.write(sender, output, 0, encode(sender, output, pa.array(message.pixels.reshape(-1)), about))
        elif TOPICS[output].recorded and not lost(output, message):
            writer.write(sender, output, 0, encode(sender, output, pack(message), {}))

    Simulated(config, mode).run(0, 10_000, lambda chunk: delay, keep)
    writer.close()


@pytest.mark.parametrize("mode", SIMULATED)
def test_every_command_of_every_graph_comes_out_as_it_was_sent(mode, tmp_path, capsys):
    config = Settings(**{**SIMULATED[mode], "time_limit_s": 2.0})  # pyright: ignore[reportArgumentType]
    recorded(mode, tmp_path / "x.drec", config)
    moved_recording(tmp_path / "x.drec", tmp_path / "moved.drec", FAR_NS)
    for name in ("x.drec", "moved.drec"):
        ReplayRun(tmp_path / name).run()
    (episode,) = read(tmp_path / "moved.drec")
    assert len(episode.command) > 80 and capsys.readouterr().out.count(f" {len(episode.command)} ") == 4


def test_plans_that_were_not_recorded_are_decided_all_the_same(tmp_path):
    config = Settings(**EXPERT, time_limit_s=2.5, join="fade")
    gone = {*range(30, 33), *range(50, 120, 7)}
    recorded("async_rtr", tmp_path / "x.drec", config, lost=lambda topic, m: topic == "plan" and m.cycle in gone)
    (episode,) = read(tmp_path / "x.drec")
    pairs = list(replay(episode, {"nodes": []}, config).commands())
    assert len(pairs) == len(episode.plan) < len(episode.command) and not [pair for pair in pairs if pair.moved]


def test_a_starving_run_with_refused_chunks_is_replayed_too(tmp_path):
    config = Settings(**EXPERT, time_limit_s=9.0, request_timeout_ms=800)
    recorded("async_rtr", tmp_path / "x.drec", config, delay=70)
    (episode,) = read(tmp_path / "x.drec")
    states = {command.state for command in episode.command.values()}
    assert {"braking", "holding"} <= states
    assert not [pair for pair in replay(episode, {"nodes": []}, config).commands() if pair.moved]


def test_another_setting_and_another_policy_move_the_commands_and_the_table_says_how_far(tmp_path, capsys, monkeypatch):
    recorded("async_rtr", tmp_path / "x.drec", Settings(**EXPERT, time_limit_s=2.0))
    ReplayRun(tmp_path / "x.drec", policy="expert_flow").run()
    assert "planned" in capsys.readouterr().out
    monkeypatch.setenv("JOIN", "fade")
    with pytest.raises(ValueError, match="some moved"):
        ReplayRun(tmp_path / "x.drec").run()


def test_what_a_decision_was_based_on_and_is_not_there_is_named(tmp_path):
    config = Settings(**EXPERT, time_limit_s=1.0)
    recorded("async_rtr", tmp_path / "x.drec", config, lost=lambda topic, m: topic == "request" and m.chunk_id == 1)
    with pytest.raises(ValueError, match=r"^expected request 1 in the recording, on which a decision was based$"):
        list(replay(read(tmp_path / "x.drec")[0], {"nodes": []}, config).commands())
    recorded("async_rtr", tmp_path / "y.drec", config, lost=lambda topic, m: topic == "plan")
    with pytest.raises(Damage, match="expected commands and plans, got none"):
        read(tmp_path / "y.drec")


def test_a_mistake_in_a_command_is_found():
    (episode,) = read(golden.RECORDING)
    config = replace(golden.SETTINGS, join="fade", refine_codec="dct")
    pairs = list(replay(episode, {"nodes": []}, config).commands())
    assert len(pairs) > 70 and not [pair for pair in pairs if pair.moved]
    wrong = pairs[5].again._replace(planned=np.nextafter(pairs[5].again.planned, np.float32(2)))
    assert pairs[5]._replace(again=wrong).moved == "planned" and isinstance(wrong, Command)


@pytest.mark.graph
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", SIMULATED)
def test_a_live_run_is_replayed_command_by_command(mode, dora_env, tmp_path):
    chosen: dict[str, Any] = {"POLICY": "dp_latent60", "CODEC": "vae", "RECORD": tmp_path / "x.drec", "TIME_LIMIT_S": 4}
    done = run(f"{mode}.yml", dora_env, tmp_path, **chosen)
    assert done.code == 0, done.text[-2000:]
    moved_recording(tmp_path / "x.drec", tmp_path / "moved.drec", FAR_NS)
    ReplayRun(tmp_path / "moved.drec").run()
    with Reader(tmp_path / "x.drec") as reader:
        found = [each.unpack() for each in messages(reader, {"command", "proprio"})]
    commands = [each for each in found if isinstance(each, Command)]
    last = next(each for each in reversed(found) if isinstance(each, Proprio))
    assert len(commands) > 100 and np.linalg.norm(last.tcp_velocity[:3]) < 1e-3  # it ends at rest,
    assert np.linalg.norm(commands[-1].action[:3] - commands[-2].action[:3]) < 1e-5  # and so do its commands
