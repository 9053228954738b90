"""The house rules that a machine can check: who may import whom, what no file may do, what no text may name."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("models", "nodes", "operators", "recordings", "reports", "robots", "simulation", "studies")

# folder -> project packages it may import; a dotted name allows that module alone
MAY_IMPORT = {
    "operators": {"operators"},
    "operators/*_op.py": {"operators", "models.registry", "nodes._operator"},
    "models": {"models", "operators", "recordings"},
    "recordings": {"recordings", "operators"},
    "reports": {"reports", "operators"},
    "robots": {"robots", "operators"},
    "simulation": {"simulation", "operators"},
    "studies": {"studies", "models", "nodes.drivers", "operators", "recordings", "reports", "robots", "simulation"},
    "nodes": {"nodes", "models", "operators", "recordings", "reports", "robots", "simulation"},
}
# the functional core: no clock, environment, file, process, network or luck
CORE_LIBRARIES = {"numpy", "pyarrow", "ruckig"}
CORE_WITHOUT = {
    *("asyncio", "datetime", "glob", "importlib", "io", "logging", "multiprocessing", "os", "pathlib", "random"),
    *("secrets", "shutil", "signal", "socket", "subprocess", "sys", "tempfile", "threading", "time", "uuid"),
}
# library -> where alone it may be imported
ONLY_IN = {
    "dora": {"nodes", "operators/*_op.py"},
    "rtde_control": {"nodes"},
    "rtde_io": {"nodes"},
    "rtde_receive": {"nodes"},
    "pyrealsense2": {"nodes"},
}
PICKLES = {"cPickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}
PICKLING_CALLS = {"torch.load", "torch.save"}
WALL_CLOCKS = {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today", "date.today"}
NODE_CLOCK = {"monotonic_ns", "sleep"}
SEEDED_RANDOM = {"default_rng", "Generator", "BitGenerator", "PCG64", "Philox", "SeedSequence"}
NODE_LINES, OPERATOR_CLASS_LINES = 150, 25

# An absolute path of two parts or more, unless it is the same on every Linux; `/path/to` is for examples.
MACHINE_PATH = re.compile(
    r"(?<![\w.:/\\})\]>*+$-])/(?!(?:dev|proc|sys|usr|etc|lib|bin|sbin|run|path)/)[A-Za-z_][\w-]*/\w"
)
UPWARD_PATH = re.compile(r"(?<![\w./])(?:\.\./)+[\w.-]+")
PACKAGE_SOURCE = re.compile(r"--?(?:extra-)?index-url|--find-links|PIP_(?:EXTRA_)?INDEX_URL|PIP_FIND_LINKS")
TEXTS = {".cff", ".json", ".md", ".py", ".sh", ".toml", ".txt", ".xml", ".yaml", ".yml"}
TEXT_NAMES = {"LICENSE", "Makefile", ".gitignore", "run"}
NOT_OURS = {".git", ".venv", ".hypothesis", ".pytest_cache", ".ruff_cache", "__pycache__", "build", "out"}


def violations(path: str, source: str) -> list[str]:
    """Every broken rule of one Python file of the six folders, as `path:line: what`."""
    tree = ast.parse(source, path)
    return [
        f"{path}:{line}: {what}"
        for line, what in [*_imports(path, tree), *_deeds(path, tree), *_size(path, source, tree)]
    ]


def _place(path: str) -> str:
    return "operators/*_op.py" if re.fullmatch(r"operators/\w+_op\.py", path) else path.split("/")[0]


def _imported(path: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of everything imported, also inside functions; `from a import b` counts as `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.split("/")[: -node.level] if node.level else []
            module = ".".join([*package, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and _dotted(node.func) in {
            "import_module",
            "importlib.import_module",
            "__import__",
        }:
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield node.lineno, name.value


def _imports(path: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    place = _place(path)
    for line, name in _imported(path, tree):
        top = name.split(".")[0]
        if top in FOLDERS and not any(
            name == allowed or name.startswith(f"{allowed}.") for allowed in MAY_IMPORT[place]
        ):
            yield line, f"{place} may not import {name}"
        if top in FOLDERS and any(part.endswith("_op") for part in name.split(".")):
            yield line, f"nothing imports a dora operator: {name}"
        if top == "tests":
            yield line, "only tests import tests"
        if place == "operators" and top not in FOLDERS:
            core = top in CORE_LIBRARIES or (top in sys.stdlib_module_names and top not in CORE_WITHOUT)
            if not core:
                yield line, f"the functional core may not import {name}"
        if top in ONLY_IN and place not in ONLY_IN[top]:
            yield line, f"{place} may not import {name}"
        if top in PICKLES:
            yield line, f"no pickle: {name}"


def _deeds(path: str, tree: ast.AST) -> Iterator[tuple[int, str]]:
    place = _place(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            if node.type is None:
                yield node.lineno, "bare except"
            elif _dotted(node.type) in {"Exception", "BaseException"} and all(
                isinstance(s, ast.Pass) for s in node.body
            ):
                yield node.lineno, "an exception of any kind is passed over in silence"
        elif isinstance(node, ast.Call):
            yield from ((node.lineno, what) for what in _call(place, node))
        elif isinstance(node, ast.Attribute):
            name = _dotted(node)
            if any(name == clock or name.endswith(f".{clock}") for clock in WALL_CLOCKS):
                yield node.lineno, f"the wall clock jumps: {name}; use time.monotonic_ns()"
            if place == "nodes" and name.startswith("time.") and name.split(".")[1] not in NODE_CLOCK:
                yield node.lineno, f"the clock of a node is time.monotonic_ns(), got {name}"
            if re.match(r"(np|numpy)\.random\.", name) and name.split(".")[2] not in SEEDED_RANDOM:
                yield node.lineno, f"{name} draws from a hidden global state; pass a Generator"


def _call(place: str, node: ast.Call) -> Iterator[str]:
    name = _dotted(node.func)
    if name in {"eval", "exec"}:
        yield f"no {name}"
    if name in PICKLING_CALLS or any(k.arg == "allow_pickle" and not _is(k.value, False) for k in node.keywords):
        yield f"no pickle: {name}; use safetensors"
    if name.endswith("default_rng") and (not [*node.args, *node.keywords] or (node.args and _is(node.args[0], None))):
        yield "default_rng() without a seed"
    if place == "operators" and name in {"open", "input", "print", "breakpoint"}:
        yield f"the functional core may not {name}()"


def _size(path: str, source: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    lines = len(source.splitlines())
    if _place(path) == "nodes" and lines > NODE_LINES:
        yield lines, f"{lines} lines, a node stops at {NODE_LINES}"
    if _place(path) == "operators/*_op.py":
        for node in tree.body:
            if (
                isinstance(node, ast.ClassDef)
                and (length := (node.end_lineno or 0) - node.lineno + 1) > OPERATOR_CLASS_LINES
            ):
                yield node.lineno, f"{node.name} has {length} lines, a dora operator stops at {OPERATOR_CLASS_LINES}"


def _dotted(node: ast.AST) -> str:
    """`a.b.c` as text, empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (left := _dotted(node.value)):
        return f"{left}.{node.attr}"
    return ""


def _is(node: ast.AST, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def text_violations(path: str, text: str, root: Path = ROOT) -> list[str]:
    """Places of somebody's machine that a text names: absolute paths, paths out of the repository, package sources."""
    found = []
    home = [str(folder) for folder in (root, root.parent, Path.home()) if len(folder.parts) > 1]
    for number, line in enumerate(text.splitlines(), 1):
        if match := MACHINE_PATH.search(line):
            found.append(f"{path}:{number}: absolute path {match.group()!r}")
        if any(re.search(rf"(?<![\w.]){re.escape(folder)}(?![\w-])", line) for folder in home):
            found.append(f"{path}:{number}: the folder this checkout or its user lives in")
        for upward in UPWARD_PATH.findall(line):
            if not (root / path).parent.joinpath(upward).resolve().is_relative_to(root):
                found.append(f"{path}:{number}: {upward!r} leaves the repository")
        if PACKAGE_SOURCE.search(line):
            found.append(f"{path}:{number}: where packages come from is the machine's own business")
    return found


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        if path.name in NOT_OURS or path.suffix == ".egg-info" or path.is_symlink():
            continue
        if path.is_dir():
            yield from _files(path)
        elif path.suffix in TEXTS or path.name in TEXT_NAMES:
            yield path


MODULES = [path for folder in FOLDERS for path in _files(ROOT / folder) if path.suffix == ".py"]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_keeps_the_rules(path):
    assert violations(path.relative_to(ROOT).as_posix(), path.read_text()) == []


def test_no_text_names_a_place_of_somebodys_machine():
    texts = [path for path in _files(ROOT) if path != Path(__file__).resolve()]  # this file has them as bad examples
    assert [v for path in texts for v in text_violations(path.relative_to(ROOT).as_posix(), path.read_text())] == []


def test_node_file_and_script_have_one_name():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    nodes = {path.stem for path in (ROOT / "nodes").glob("[a-z]*.py")}
    dora = {"dora_record_node", "dora_replay_node"}  # under the names that the dora command looks for
    expected = {f"{'' if n in dora else 'rtr-'}{n.replace('_', '-')}": f"nodes.{n}:main" for n in nodes}
    assert scripts == {"rtr": "studies.cli:main", **expected}


def test_every_folder_of_code_is_a_package():
    assert [path for path in MODULES if not path.with_name("__init__.py").is_file()] == []


def test_constraints_are_exact_pins_of_what_is_asked_for():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==\d+(\.\w+)*", line)] == []
    pinned = {_normal(line.split("==")[0]) for line in lines}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(name for extra in project["optional-dependencies"].values() for name in extra)]
    names = {_normal(re.match(r"[\w.-]+", requirement).group()) for requirement in asked}  # pyright: ignore[reportOptionalMemberAccess]
    assert names - {"rtr-dora"} <= pinned


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


BAD = {
    "operators/a.py": [
        "import time",
        "import os.path",
        "from pathlib import Path",
        "import random",
        "import torch",
        "import dora",
        "import scipy",
        "def f():\n    import os",
        "from models import registry",
        "from . import decoder_op",
        "__import__('nodes.executor')",
        "open('x')",
        "import numpy as np\nnp.random.rand(3)",
        "import numpy as np\nnp.random.default_rng()",
        "import numpy as np\nnp.random.default_rng(None)",
    ],
    "operators/decoder_op.py": [
        "from models import vae",
        "import simulation.arm",
        "from operators.scheduler_op import Operator",
        "class Operator:\n" + "    x = 1\n" * 25,
    ],
    "models/a.py": ["import simulation", "import dora", "import torch\ntorch.load('x')"],
    "recordings/a.py": ["import models", "import numpy as np\nnp.load('x', allow_pickle=True)"],
    "reports/a.py": ["from recordings import trace", "import studies"],
    "simulation/a.py": ["from studies import cli", "import rtde_control"],
    "studies/a.py": ["import importlib\nimportlib.import_module('nodes.executor')", "from tests import conftest"],
    "nodes/a.py": [
        "import studies",
        "from operators import decoder_op",
        "import time\ntime.time()",
        "import time\nclock = time.perf_counter",
        "import datetime\ndatetime.datetime.now()",
        "import pickle",
        "eval('1')",
        "try:\n    f()\nexcept:\n    raise",
        "try:\n    f()\nexcept Exception:\n    pass",
        "x = 1\n" * 151,
    ],
}
GOOD = {
    "operators/a.py": """
import math
import numpy as np
from operators.motion import rows
from .rows import Rows
np.random.default_rng([1, 2])""",
    "operators/decoder_op.py": """
import os
from dora import DoraStatus
from models.registry import load
from operators.chunks.refine import f""",
    "models/a.py": """
import torch
from recordings.dataset.reader import reader as dataset
torch.nn.Linear(1, 1).eval()""",
    "nodes/a.py": """
import time
from dora import Node
from simulation import arm
t = time.monotonic_ns()"""
    + "\nx = 1" * 145,
}


@pytest.mark.parametrize(("path", "source"), [(path, source) for path, sources in BAD.items() for source in sources])
def test_the_checker_finds_what_is_forbidden(path, source):
    assert len(violations(path, source)) >= 1


@pytest.mark.parametrize(("path", "source"), GOOD.items())
def test_the_checker_lets_pass_what_is_allowed(path, source):
    assert violations(path, source) == []


@pytest.mark.parametrize(
    "text",
    [
        "see /somewhere/else",
        "'/home/me/x.json'",
        "(/data/set)",
        "../beside/docs.md",
        "pip install --find-links here",
        "cd ROOT",
    ],
)
def test_the_checker_finds_places_in_texts(text):
    assert text_violations("README.md", text.replace("ROOT", str(ROOT))) != []


def test_the_checker_lets_pass_topics_links_and_system_paths():
    text = "plan/chunk m/s https://a.org/b/c /dev/shm/x and/or a/b/c /usr/lib/dri $(CURDIR)/.venv/bin ./a/b"
    assert text_violations("docs/x.md", f"{text} [x](../README.md)") == []
