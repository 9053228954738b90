"""What of a checkpoint can be read without torch: its files, checked, and small networks for numpy."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from operators.chunks.correct import Head

FOLDER = Path(__file__).with_name("checkpoints")


class BadCheckpoint(ValueError):
    """A checkpoint that is missing, damaged or does not fit."""


def read_files(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The safetensors file and the json beside it.

    Raises:
        BadCheckpoint: a file is missing or damaged, or the two do not belong together.
    """
    path = path.with_suffix(".safetensors")
    described = path.with_suffix(".json")
    for file in (path, described):
        if not file.is_file():
            both = f"{path.name} and {described.name}"
            raise BadCheckpoint(f"{file}: expected a checkpoint of {both}, found none: train it (docs/training.md)")
    whole = path.read_bytes()
    try:
        about = json.loads(described.read_text())
        missing = [key for key in ("kind", "hash") if not isinstance(about.get(key), str)]
    except (ValueError, AttributeError) as error:
        raise BadCheckpoint(f"{described}: expected a JSON object, got {error}") from error
    if missing:
        raise BadCheckpoint(f"{described}: expected the keys kind and hash, {', '.join(missing)} is missing")
    digest = sha256(whole).hexdigest()[:8]
    if digest != about["hash"]:
        raise BadCheckpoint(f"{path}: expected weights of hash {about['hash']} as {described.name} says, got {digest}")
    return whole, about


def read_head(policy: str, folder: Path = FOLDER) -> Head:
    """The correction head trained for a policy, which must be the one beside it.

    Raises:
        BadCheckpoint: one of the two is missing or damaged, or they do not fit.
    """
    path = folder / f"a2c2_{policy}"
    whole, about = read_files(path)
    _, base = read_files(folder / policy)
    name = f"{base['kind']}:{base['hash']}"
    if about.get("policy") != name:
        raise BadCheckpoint(f"{path}: made for policy {about.get('policy')}, but policy is {name}")
    try:
        tensors = {name: tensor.astype(np.float32) for name, tensor in load(whole).items()}
        count = sum(name.endswith(".weight") for name in tensors)
        layers = tuple((tensors[f"{2 * i}.weight"], tensors[f"{2 * i}.bias"]) for i in range(count))
        return Head(tensors["mean"], tensors["spread"], layers)
    except (SafetensorError, KeyError) as error:
        raise BadCheckpoint(f"{path}: expected mean, spread and layers of a correction head, got {error}") from error
