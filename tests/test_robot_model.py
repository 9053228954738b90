"""Robot models: the shipped one is the simulated arm's, and a wrong file is one sentence."""

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.messages import HZ
from operators.motion.kinematics import forward
from operators.robot_model import robot_model
from robots import FOLDER, read_robot
from simulation.arm import load
from simulation.tasks.write_board.task import SERVO_LAG, WriteBoard
from tests.envelope import ENVELOPE, UR5E


def table() -> dict[str, Any]:
    return tomllib.loads((FOLDER / "ur5e.toml").read_text())


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_every_shipped_robot_begins_inside_its_box(path):
    model = read_robot(path.stem)
    tcp = np.eye(4)
    tcp[:3, 3] = model.tcp[:3]
    home = forward(np.array(model.home_rad), tcp)[:3, 3]
    assert np.all(home > model.envelope.low) and np.all(home < model.envelope.high)


def test_the_ur5e_is_the_arm_that_is_simulated():
    model = load(WriteBoard.SCENE)
    assert np.array_equal(WriteBoard.TCP[:3, 3], UR5E.tcp[:3]) and np.array_equal(WriteBoard.TCP[:3, :3], np.eye(3))
    limits = np.stack([UR5E.joints.low_rad, UR5E.joints.high_rad], 1)
    assert np.allclose(model.jnt_range[:6], limits)
    assert UR5E.servo_lag_ms * HZ / 1000 == pytest.approx(SERVO_LAG, abs=0.01)
    tool, tip = model.body("tool").id, model.body("tip").id
    mass = model.body_mass[[tool, tip]]
    centre = mass @ (model.body_ipos[[tool, tip]] + [[0, 0, 0], model.body_pos[tip]]) / mass.sum()
    assert mass.sum() == pytest.approx(UR5E.payload_kg) and np.allclose(centre, UR5E.payload_centre_m, atol=1e-3)


def test_a_file_of_ones_own_is_named_by_its_path(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text((FOLDER / "ur5e.toml").read_text().replace("speed_m_s = 0.5", "speed_m_s = 0.25"))
    assert read_robot(str(path)).envelope.speed_m_s == 0.25 and ENVELOPE.speed_m_s == 0.5


def changed(**changes: Any) -> dict[str, Any]:
    """The shipped table with other values; `joints__low_rad` is that key of its table."""
    made = table()
    for name, value in changes.items():
        *outer, key = name.split("__")
        (made[outer[0]] if outer else made)[key] = value
    return made


WRONG = [
    ({"tcp": [0, 0, 0.18]}, "x.toml, tcp: expected 6 finite numbers, got [0, 0, 0.18]"),
    ({"payload_kg": "light"}, "x.toml, payload_kg: expected a finite number, got 'light'"),
    ({"payload_kg": True}, "x.toml, payload_kg: expected a finite number, got True"),
    ({"payload_kg": [1.0]}, "x.toml, payload_kg: expected a finite number, got [1.0]"),
    ({"payload_kg": -1}, "x.toml: expected payload_kg and servo_lag_ms from 0 up, got -1.0, 44.7"),
    ({"envelope": 3}, "x.toml, envelope: expected the keys low, high, .*, got 3"),
    ({"envelope__jerk_m_s3": float("nan")}, "x.toml, envelope, jerk_m_s3: expected a finite number, got nan"),
    ({"envelope__speed_m_s": 0}, "x.toml, envelope: expected positive finite limits, got Envelope.*"),
    ({"envelope__colour": 1}, "x.toml, envelope: expected the keys low, .*, got low, .*, colour"),
    ({"joints__low_rad": [9] * 6}, "x.toml, joints: expected low_rad below high_rad in each joint, got .*"),
    ({"joints__speed_rad_s": [0] * 6}, "x.toml, joints: expected positive limits, got .*"),
    ({"home_rad": [7, 0, 0, 0, 0, 0]}, "x.toml: expected home_rad within the joints' limits, got .*"),
]


@pytest.mark.parametrize(("changes", "said"), WRONG)
def test_what_is_wrong_is_one_sentence(changes, said):
    with pytest.raises(ValueError, match=f"^{said.replace('[', chr(92) + '[')}$"):
        robot_model(changed(**changes), "x.toml")


def test_a_key_that_is_missing_is_named():
    less = table()
    del less["home_rad"]
    with pytest.raises(ValueError, match=r"^x.toml: expected the keys tcp, .*home_rad, .*, got tcp, .*$"):
        robot_model(less, "x.toml")


def test_a_robot_that_is_not_there_is_answered_with_those_that_are(tmp_path):
    for name in ("ur6", "elsewhere.toml"):
        with pytest.raises(ValueError, match=f"^ROBOT_MODEL: expected one of .*ur5e.*, got '{name}'$"):
            read_robot(name)
    (tmp_path / "x.toml").write_text("tcp = [")
    with pytest.raises(ValueError, match=r"x\.toml: expected TOML, got "):
        read_robot(str(tmp_path / "x.toml"))


def test_the_folder_holds_models_and_who_reads_them():
    assert {path.name for path in Path(FOLDER).iterdir() if path.suffix != ".toml"} <= {"__init__.py", "__pycache__"}
