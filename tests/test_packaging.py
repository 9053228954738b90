"""The wheel: everything that commands and nodes read is in it, and it runs far from any checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
READ = {".html", ".json", ".json5", ".py", ".safetensors", ".toml", ".xml", ".yml"}  # by commands and nodes
PACKAGES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, since a build leaves folders behind."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for folder in folders():
        unwanted = shutil.ignore_patterns("__pycache__", "golden")
        shutil.copytree(folder, source / folder.name, ignore=unwanted)
    subprocess.run([sys.executable, "-c", BUILD, str(out)], cwd=source, check=True, capture_output=True)
    (made,) = out.glob("*.whl")
    return made


def folders() -> list[Path]:
    return [folder for pattern in PACKAGES["include"] for folder in ROOT.glob(pattern) if folder.is_dir()]


def test_every_file_that_is_read_is_in_the_wheel(wheel):
    needed = {
        path.relative_to(ROOT).as_posix()
        for folder in folders()
        for path in folder.rglob("*")
        if path.suffix in READ and not {"golden", "__pycache__"} & set(path.parts)
    }
    assert {"dataflows/async_rtr.yml", "simulation/ur5e.xml", "models/checkpoints/vision.json"} < needed
    with ZipFile(wheel) as file:
        there = set(file.namelist())
        scripts = next(name for name in there if name.endswith("entry_points.txt"))
        assert b"rtr = studies.cli:main" in file.read(scripts)
    assert needed - there == set()
    assert not [name for name in there if name.startswith(("tests/", "docs/", "recordings/golden"))]


def test_an_installed_wheel_evaluates_outside_of_the_checkout(wheel, tmp_path):
    home = tmp_path / "venv"
    venv.create(home)  # what it depends on comes from this interpreter
    (packages,) = home.glob("lib/python*/site-packages")
    paths = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (packages / "dependencies.pth").write_text("\n".join(paths))
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin" / "python"), "install", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True, cwd=tmp_path)
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command: str) -> str:
        place = str(home / "bin" / command[0])
        done = subprocess.run([place, *command[1:]], cwd=tmp_path, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert str(packages) in run("python", "-c", "import operators; print(operators.__file__)")
    assert "success" in run("rtr", "evaluate", "--policy", "expert", "--episodes", "1")
    assert "dp_latent60:" in run("rtr", "models")
    run("rtr", "check", str(packages / "dataflows" / "async_rtr.yml"))
