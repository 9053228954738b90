"""Checkpoints: `name.safetensors` beside `name.json`, both needed, and what is wrong with them in one line.

A model card, `name.md`, is written with them for people.

The JSON says what the weights are: `kind` (a policy's family, vae, pca, vision, a2c2), tasks, space, codec, encoder,
metrics, configuration. It holds their hash: the first eight digits of the SHA-256 of the safetensors file. `name:hash`,
with the name of the file, is what others were made for, so that a latent of another codec is recognised.
"""

import json
import subprocess
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from models.stored import FOLDER, BadCheckpoint, full_name, read_files


class Checkpoint(NamedTuple):
    path: Path  # of the safetensors file
    tensors: dict[str, Tensor]  # float32
    about: dict[str, Any]  # the JSON

    @property
    def name(self) -> str:
        """`name:hash`."""
        return full_name(self.path, self.about)

    def fill(self, module: nn.Module, prefix: str = "") -> None:
        """Put the tensors whose names begin with `prefix` into a module.

        Raises:
            BadCheckpoint: names or shapes are not the module's.
        """
        tensors = {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}
        expected = {name: tuple(t.shape) for name, t in module.state_dict().items()}
        found = {name: tuple(t.shape) for name, t in tensors.items()}
        wrong = sorted(n for n in expected.keys() | found.keys() if expected.get(n) != found.get(n))
        if wrong:
            name = wrong[0]
            raise BadCheckpoint(
                f"{self.path}: expected {prefix}{name} of shape {expected.get(name)}, got {found.get(name)}"
            )
        module.load_state_dict(tensors)


def write(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any], half: bool = True) -> str:
    """Write a checkpoint -> its hash. Files appear whole or not at all.

    Args:
        path: without or with `.safetensors`.
        about: goes into the JSON; must hold `kind`. `description`, `metrics` and `configuration` go into the card.
        half: store floating point numbers in 16 bits.
    """
    path = path.with_suffix(".safetensors")
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = save({name: _stored(t, half) for name, t in sorted(tensors.items())})
    digest = sha256(whole).hexdigest()[:8]
    _replace(path, whole)
    about = {**about, "hash": digest, "revision": revision()}
    _replace(path.with_suffix(".json"), json.dumps(about, indent=1, default=str).encode() + b"\n")
    _replace(path.with_suffix(".md"), card(path.stem, about).encode())
    return digest


def read(path: Path) -> Checkpoint:
    """Read and check a checkpoint.

    Raises:
        BadCheckpoint: a file is missing or damaged, or the two do not belong together.
    """
    path = path.with_suffix(".safetensors")
    whole, about = read_files(path)
    try:
        tensors = load(whole)
    except SafetensorError as error:
        raise BadCheckpoint(f"{path}: expected a safetensors file, got {error}") from error
    return Checkpoint(path, {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}, about)


def require(checkpoint: Checkpoint, key: str, expected: str) -> None:
    """Refuse a checkpoint that was made for another codec, encoder or space.

    Raises:
        BadCheckpoint: naming both.
    """
    found = checkpoint.about.get(key)
    if found != expected:
        raise BadCheckpoint(f"{checkpoint.path}: made for {key} {found}, but {key} is {expected}")


def card(name: str, about: Mapping[str, Any]) -> str:
    """A model card in markdown."""
    lines = [f"# {name}:{about['hash']}", "", about.get("description", ""), ""]
    parts = "facts", "metrics", "configuration"
    elsewhere = "hash", "description", "curve", *parts  # docs/results has the curve
    plain = {k: ", ".join(v) if k == "tasks" else v for k, v in about.items() if k not in elsewhere}
    for title, facts in (("", plain), *((part.capitalize(), about.get(part)) for part in parts)):
        if facts:
            lines += [f"## {title}", ""] if title else []
            lines += ["| | |", "|---|---|", *(f"| {name} | {told(value)} |" for name, value in facts.items()), ""]
    return "\n".join(lines)


def told(value: object) -> str:
    """A mean with its interval, or what else was measured."""
    if isinstance(value, dict) and {"mean", "ci95"} <= value.keys():
        low, high = value["ci95"]
        return f"{value['mean']:.3g} ({low:.3g} .. {high:.3g})"
    return str(value)


def revision() -> str:
    """The checkout's git revision, eight digits; empty where there is none."""
    command = ["git", "-C", str(FOLDER), "rev-parse", "--short=8", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:  # there is no git
        return ""


def _stored(tensor: Tensor, half: bool) -> Tensor:
    kept = tensor.detach().cpu().contiguous()
    return kept.to(torch.float16) if half and kept.is_floating_point() else kept


def _replace(path: Path, content: bytes) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    part.replace(path)
