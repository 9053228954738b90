"""Robot models from their files: one of robots/, or one of the user's own."""

import tomllib
from pathlib import Path

from operators.robot_model import RobotModel, robot_model

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent


def read_robot(name: str) -> RobotModel:
    """The model that ROBOT_MODEL names: a file of robots/ without its ending, or a path that ends with .toml.

    Raises:
        ValueError: no such file, or something in it; one sentence.
    """
    path = ROOT / name if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml")))
        raise ValueError(f"ROBOT_MODEL: expected one of {known}, or the path of a .toml file, got {name!r}")
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:  # TOML and UTF-8 errors are ValueErrors
        raise ValueError(f"{path}: expected TOML, got {error}") from None
    return robot_model(table, path.name)
