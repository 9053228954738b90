"""Facts of a task in a data set and in an encoder's checkpoint: what they change, and what is refused."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.checkpoint import FOLDER, read
from models.encoders.vision import SIZE, STATE, Encoder, Vision, cropped
from models.training.samples import Batch, Told, varied
from recordings.dataset.facts import PLACE, Facts
from recordings.dataset.reader import feature
from recordings.dataset.writer import Writer, prepare
from simulation.tasks.write_board.task import CONTACT_STIFFNESS, FORCE, RECOVERY, SERVO_LAG, TRUSTED

torch.set_num_threads(1)
FACTS = Facts.of(read(FOLDER / "vision").about["facts"], "vision")


def data_set(root: Path, facts: Facts, text: str = "Do it.") -> Path:
    """One of a single row."""
    features = {"tick": feature("int64", 1)}
    with Writer(root, 10, features, "nobody") as writer:
        writer.append(prepare(writer.staging / "0", features, 10, {"tick": np.zeros(2, np.int64)}, {}, text))
    facts.write(root)
    return root


def test_facts_come_back_from_a_data_set(tmp_path):
    for facts in (FACTS, replace(FACTS, press=None, mirror=False)):
        root = data_set(tmp_path / str(facts.mirror), facts)
        assert Facts.read(root) == facts and json.loads((root / PLACE).read_text())["task"] == "write_board"


def test_the_shipped_facts_are_those_of_the_task():
    press = FACTS.press
    assert press and (press.stiffness_n_m, press.lag_ticks) == (CONTACT_STIFFNESS, SERVO_LAG)
    assert (press.recovery_ticks, press.trusted_m, FACTS.force_n) == (RECOVERY, TRUSTED, FORCE)


def test_what_is_missing_or_unknown_is_named(tmp_path):
    told = asdict(FACTS)
    with pytest.raises(ValueError, match=r"^here: expected the facts task, .*; missing or unknown: mirror$"):
        Facts.of({name: value for name, value in told.items() if name != "mirror"}, "here")
    with pytest.raises(ValueError, match=r"^here: expected the facts stiffness_n_m, .*; missing or unknown: colour$"):
        Facts.of({**told, "press": {**told["press"], "colour": 1}}, "here")
    with pytest.raises(ValueError, match=r"augment\.json: expected facts of the task for training, found none"):
        Facts.read(tmp_path)
    root = data_set(tmp_path / "set", FACTS)
    for text in ("{", "[]", "3"):
        (root / PLACE).write_text(text)
        with pytest.raises(ValueError, match=r"augment\.json: expected (a JSON object of|the) facts"):
            Facts.read(root)


def test_data_sets_of_several_tasks_must_look_alike(tmp_path):
    one, two = data_set(tmp_path / "one", FACTS), data_set(tmp_path / "two", replace(FACTS, task="wipe"), "Wipe.")
    told = Told.by(one, two)
    assert told.tasks == ["wipe", "write_board"] and told.text == "Do it. Wipe." and told.facts == FACTS
    other = data_set(tmp_path / "other", replace(FACTS, mirror=False))
    with pytest.raises(ValueError, match=r"other: expected the facts of .*one .*, got others"):
        Told.by(one, other)


def test_a_scene_that_cannot_be_mirrored_is_seen_as_it_is():
    torch.manual_seed(0)
    facts = replace(FACTS, mirror=False, front=(0, 32, 0, 64))
    seeing, draw = Vision(facts, 16).eval(), np.random.default_rng(0)
    pictures = draw.integers(0, 255, (2, 3, SIZE, SIZE, 3)).astype(np.uint8)
    wrist, front = (torch.from_numpy(np.ascontiguousarray(part)) for part in cropped(facts, *pictures))
    assert front.shape == (3, 32, 64, 3)
    state = torch.randn(3, STATE)
    found, labels = seeing(wrist, front, state), seeing.head(seeing.encoder(wrist, front, state))
    assert torch.equal(found[:, :36], labels.points.flatten(1)) and torch.equal(found[:, 40], labels.finished)
    both = Vision(replace(facts, mirror=True), 16).eval()
    both.load_state_dict(seeing.state_dict())
    assert not torch.allclose(both(wrist, front, state), found)


def test_a_box_that_patches_do_not_fill_is_refused():
    with pytest.raises(ValueError, match="sides that are multiples of 8, got 30 x 64"):
        Encoder(replace(FACTS, front=(0, 30, 0, 64)))


def test_a_tool_that_does_not_press_is_not_pressed():
    pixels, state, chunk = torch.zeros(8, 4, 4, 3), torch.ones(8, STATE), torch.zeros(8, 48, 10)
    batch = Batch(pixels, pixels, state, chunk, torch.zeros(8), torch.zeros(8, 2, 2))
    pressed, free = (
        varied(facts, batch, torch.Generator().manual_seed(0)).chunk for facts in (FACTS, replace(FACTS, press=None))
    )
    assert not torch.equal(pressed, chunk) and torch.equal(free, chunk)
