"""The table of variables: who reads each is found in the source, and the pages hold what is found."""

import ast
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from studies.variables import CAMERA, NAMES, readers, table

PROJECT = {
    "nodes/_wire.py": """
        def settings():
            config = parse(os.environ)
            return replace(config, out=ROOT / config.out, task=config.policy)
        def unused(config):
            return config.join
        """,
    "nodes/a.py": """
        from nodes._wire import settings
        from models.table import make_codec as made
        def main():
            config = settings()
            made(config.codec)
            shown = [getattr(config, name) for name in ("seed", "episodes")]
            other.speed, config.nothing
        """,
    "nodes/b.py": """
        from operators import actor
        from operators.settings import camera_driver as driver
        def main():
            from models.lazy import Lazy
            return Lazy(environ.get("RECORD_FRAMES"), driver)
        def unused():
            return config.refine
        """,
    "models/table.py": """
        CODECS = {"x": "models.chosen:Codec"}
        POLICIES: dict = {"x": "models.chosen:Policy"}
        def make_codec(name):
            return CODECS[name]
        """,
    "models/chosen.py": """
        class Codec:
            def __init__(self, config):
                self._config = config
            def code(self):
                return self._config.margin
        class Policy:
            def code(self, config):
                return config.noise
        """,
    "models/lazy.py": """
        from operators import actor
        class Lazy(actor.Actor): ...
        """,
    "operators/actor.py": """
        class Actor:
            def act(self):
                return self.config.settle
        """,
    "operators/settings.py": "def camera_driver(environ, name): ...",
}


@pytest.fixture
def read(tmp_path):
    for path, source in PROJECT.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(dedent(source))
    return readers(tmp_path)


def test_a_reader_is_whoever_reaches_the_place_that_reads(read):
    by_a = {"POLICY": ["a"], "CODEC": ["a"], "MARGIN": ["a"]}
    assert read == {**by_a, "RECORD_FRAMES": ["b"], "SETTLE": ["b"], CAMERA: ["b"]}


def test_every_variable_has_a_reader():
    assert set(readers()) == {*NAMES.values(), CAMERA}


def test_settings_are_called_config_everywhere():
    """By this name their readers are found."""
    for folder in ("models", "nodes", "operators", "simulation", "reports", "recordings"):
        for path in Path(folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.arg) and node.annotation and ast.unparse(node.annotation) == "Settings":
                    assert node.arg == "config", f"{path}:{node.lineno}"


def test_a_line_tells_name_default_readers_meaning_and_choices():
    lines = table().splitlines()
    assert [line.split("`")[1] for line in lines[2:]] == [*NAMES.values(), CAMERA]
    assert all(line.count("|") == 5 for line in lines)
    meaning = "how the command follows the plan: `none`, `ruckig`"
    assert f"| `SMOOTH` | `none` | executor | {meaning} |" in lines


def test_the_page_holds_the_table():
    assert Path("docs/variables.md").read_text().endswith("\n\n" + table())


def test_the_readme_holds_the_variables_that_every_graph_of_a_rig_lists():
    graphs = [yaml.safe_load(path.read_text()) for path in Path("dataflows").glob("*.yml")]
    listed = set.intersection(*(set(graph["env"]) for graph in graphs if "ROBOT" in graph["env"]))
    assert f"\n\n{table({*listed, CAMERA})}\n" in Path("README.md").read_text()
