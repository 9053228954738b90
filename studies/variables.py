"""Every environment variable as a table: its default, the nodes that read it, and what it means.

Who reads a variable is found in the source, without importing it: from a node's `main` along every name that a
definition uses, into the modules these names come from, to each `config.NAME`. Naming a setting to `getattr`, as logs
do, shows it and does not read it.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Container, Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from operators.settings import Settings, camera_driver

ROOT = Path(__file__).parents[1]
NAMES = {f.name: f.name.upper() for f in fields(Settings)}
CAMERA = "CAMERA_<NAME>"
FAMILY = (
    "what takes the pictures of a camera, `CAMERA_FRONT` those of `front`: `sim`, `sim:VIEW`, or a driver of your own "
    "(`NAME`, or `NAME:WHICH`)"
)
HEAD = "| variable | default | read by | meaning |\n|---|---|---|---|\n"
Place = tuple[str, str]  # module, and a name that is defined in it; `*` is all of them


def table(chosen: Container[str] = (*NAMES.values(), CAMERA)) -> str:
    """Variables as a markdown table, in the order of the settings."""
    about = {f.name.upper(): (f.default, meaning(f)) for f in fields(Settings)} | {CAMERA: ("sim", FAMILY)}
    text, read = HEAD, readers()
    for name in (name for name in about if name in chosen):
        default, said = about[name]
        text += f"| `{name}` | {f'`{default}`' if default != '' else ''} | {', '.join(read[name])} | {said} |\n"
    return text


def meaning(variable: Any) -> str:
    """What a field of the settings means, and its choices."""
    choices = variable.metadata["choices"]
    listed = f": {', '.join(f'`{choice}`' for choice in choices if choice)}" if len(choices) > 1 else ""
    return variable.metadata["meaning"] + listed


def readers(root: Path = ROOT) -> dict[str, list[str]]:
    """Variable -> nodes that read it; a node is a file of `nodes/`."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((root / "nodes").glob("[!_]*.py")):
        for name in _read(root, f"nodes.{path.stem}"):
            found[name].append(path.stem.replace("_", "-"))
    return found


def _read(root: Path, node: str) -> set[str]:
    reached, ahead, read = set[Place](), [(node, "main")], set[str]()
    while ahead:
        place = ahead.pop()
        if place in reached:
            continue
        reached.add(place)
        if place == (camera_driver.__module__, camera_driver.__name__):
            read.add(CAMERA)
        for statement in _definitions(root, place[0])[place[1]]:
            read |= _reads(statement)
            ahead += _uses(place[0], statement)
    return read


@cache
def _definitions(root: Path, module: str) -> dict[str, list[ast.stmt]]:
    """Name -> the statements of a module that define it; empty for a module of another project."""
    found: dict[str, list[ast.stmt]] = defaultdict(list)
    stem = root / module.replace(".", "/")
    path = next((p for p in (stem.with_suffix(".py"), stem / "__init__.py") if p.is_file()), None)
    for statement in ast.parse(path.read_text()).body if path else ():
        found["*"].append(statement)
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                found[alias.asname or alias.name].append(ast.ImportFrom(statement.module, [alias], 0))
        elif isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found[statement.name].append(statement)
        else:
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    found[node.id].append(statement)
    return found


def _uses(module: str, statement: ast.stmt) -> Iterator[Place]:
    """What a definition uses: names of its module, what it imports, and `module:Class` of tables."""
    for node in ast.walk(statement):
        match node:
            case ast.Name(name):
                yield module, name
            case ast.ImportFrom(str(source), names):
                for alias in names:
                    yield from ((source, alias.name), (f"{source}.{alias.name}", "*"))
            case ast.Constant(str(text)) if re.fullmatch(r"[\w.]+:\w+", text):
                source, name = text.split(":")
                yield source, name


def _reads(statement: ast.stmt) -> set[str]:
    """Variables whose values a definition takes: `config.NAME`, or `environ.get("NAME")` of a node for any dataflow."""
    found, handed_on = set[str](), set[ast.AST]()
    for node in ast.walk(statement):
        match node:
            case ast.Call(ast.Name("replace"), _, keywords):  # settings from settings: not yet read
                for each in keywords:
                    parts = (part for part in ast.walk(each.value) if isinstance(part, ast.Attribute))
                    handed_on |= {part for part in parts if part.attr == each.arg}
            case ast.Attribute(ast.Name("config") | ast.Attribute(_, "config" | "_config"), name) if name in NAMES:
                found |= set() if node in handed_on else {NAMES[name]}  # a call is walked before its arguments
            case ast.Call(ast.Attribute(ast.Name("environ"), "get"), [ast.Constant(name), *_]) if (
                name in NAMES.values()
            ):
                found.add(str(name))
    return found
