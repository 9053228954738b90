"""The manifests that dora-hub reads: each says what its node's code and the graphs say."""

import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from unittest.mock import ANY

import pytest
import yaml

from operators.settings import Settings
from studies.variables import CAMERA, meaning, readers

PROJECT = tomllib.loads(Path("pyproject.toml").read_text())["project"]
NODES = sorted(name.removeprefix("rtr-") for name in PROJECT["scripts"] if name.startswith("rtr-"))
GRAPHS = {path.stem: yaml.safe_load(path.read_text())["nodes"] for path in Path("dataflows").glob("*.yml")}
FOLDER = Path("nodes/manifests")
KINDS = {str: "string", int: "int", float: "float"}


@pytest.fixture(params=NODES)
def name(request) -> str:
    return request.param


@pytest.fixture
def manifest(name) -> dict:
    return yaml.safe_load((FOLDER / name / "dora-node.yml").read_text())


def in_graphs(name: str) -> Iterator[dict]:
    """The node as each graph has it, also where it is an operator."""
    for node in (node for nodes in GRAPHS.values() for node in nodes):
        if node.get("path", f"rtr-{node['id']}") == f"rtr-{name}":
            yield {**node, **node.get("operator", {})}


def test_every_node_has_a_manifest():
    assert sorted(path.parent.name for path in FOLDER.glob("*/dora-node.yml")) == NODES


def test_dora_finds_it_valid(name, dora_env):
    command = ["dora", "validate", "--node-manifest", FOLDER / name / "dora-node.yml"]
    done = subprocess.run(command, env=dora_env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_names_and_versions_are_those_of_the_package(name, manifest):
    assert manifest["name"] == manifest["entrypoint"] == f"rtr-{name}"
    assert manifest["namespace"] == PROJECT["name"]
    assert f"dora-rs=={manifest['dora'].removeprefix('~')}.*" in PROJECT["dependencies"]


def test_inputs_are_what_the_node_reads_and_the_graphs_wire(name, manifest):
    known = import_module(f"nodes.{name}").INPUTS
    wired = {port for node in in_graphs(name) for port in node["inputs"]}
    assert set(manifest["inputs"]) == wired | {port for port in known if "*" not in port}
    assert all(any(fnmatchcase(port, each) for each in known) for port in manifest["inputs"])


def test_what_is_required_is_wired_in_every_graph(name, manifest):
    required = {port for port, about in manifest["inputs"].items() if about["required"]}
    assert required and all(required <= set(node["inputs"]) for node in in_graphs(name))


def test_outputs_are_those_of_the_graphs(name, manifest):
    assert set(manifest["outputs"]) == {output for node in in_graphs(name) for output in node["outputs"]}


def test_variables_are_those_the_node_reads(name, manifest):
    read = {variable for variable, nodes in readers().items() if name in nodes}
    expected = {
        f.name.upper(): {"type": KINDS[type(f.default)], "default": f.default, "description": meaning(f)}
        for f in fields(Settings)
        if f.name.upper() in read
    }
    if CAMERA in read:
        cameras = [port[6:].upper() for port in manifest["outputs"] if port.startswith("frame_")]
        expected |= {f"CAMERA_{each}": {"type": "string", "default": "sim", "description": ANY} for each in cameras}
    assert manifest.get("env", {}) == expected


def test_every_port_and_variable_is_described(manifest):
    for part in ("inputs", "outputs", "env"):
        assert all(about["description"] for about in manifest.get(part, {}).values())


def test_the_example_is_a_part_of_a_graph(name, manifest):
    (shown,) = yaml.safe_load(manifest["example"])
    required = {port for port, about in manifest["inputs"].items() if about["required"]}
    assert required <= set(shown["inputs"]) and shown["path"] == f"rtr-{name}"
    found = [node for node in in_graphs(name) if shown["inputs"].items() <= node["inputs"].items()]
    assert any(all(node[key] == shown[key] for key in ("id", "outputs")) for node in found)
