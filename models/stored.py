"""What of a checkpoint can be read without torch: its place, its JSON, its files, and small networks for numpy."""

import json
from collections.abc import Mapping
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


def located(name: str) -> Path:
    """The path, without suffix, of a checkpoint by its name in FOLDER, or by a path to it."""
    path = Path(name) if len(Path(name).parts) > 1 else FOLDER / name
    return path.with_suffix("") if path.suffix in (".json", ".md", ".safetensors") else path


def beside(path: Path, name: str) -> Path:
    """Where the checkpoint is that another one needs: in the same folder, or in FOLDER."""
    near = path.with_name(name)
    return near if near.with_suffix(".json").is_file() else FOLDER / name


def full_name(path: Path, about: Mapping[str, Any]) -> str:
    """`name:hash`, as others say what they were made for."""
    return f"{path.stem}:{about['hash']}"


def read_about(path: Path) -> dict[str, Any]:
    """The JSON of a checkpoint.

    Raises:
        BadCheckpoint: it is missing or damaged, or does not say of which kind it is and of which weights.
    """
    described, whole = path.with_suffix(".json"), path.with_suffix(".safetensors")
    for file in (whole, described):
        if not file.is_file():
            both = f"{whole.name} and {described.name}"
            raise BadCheckpoint(f"{file}: expected a checkpoint of {both}, found none: train it (docs/training.md)")
    try:
        about = json.loads(described.read_text())
        missing = [key for key in ("kind", "hash") if not isinstance(about.get(key), str)]
    except (ValueError, AttributeError) as error:
        raise BadCheckpoint(f"{described}: expected a JSON object, got {error}") from error
    if missing:
        raise BadCheckpoint(f"{described}: expected the keys kind and hash, {', '.join(missing)} is missing")
    return about


def read_files(path: Path) -> tuple[bytes, dict[str, Any]]:
    """The safetensors file and the JSON beside it.

    Raises:
        BadCheckpoint: a file is missing or damaged, or the two do not belong together.
    """
    about, path = read_about(path), path.with_suffix(".safetensors")
    whole = path.read_bytes()
    digest = sha256(whole).hexdigest()[:8]
    if digest != about["hash"]:
        raise BadCheckpoint(f"{path}: expected weights of hash {about['hash']} as the JSON says, got {digest}")
    return whole, about


def read_head(policy: str) -> Head:
    """The correction head trained for a policy, which must be the one beside it.

    Raises:
        BadCheckpoint: one of the two is missing or damaged, or they do not fit.
    """
    base = located(policy)
    path = base.with_name(f"a2c2_{base.name}")
    whole, about = read_files(path)
    name = full_name(base, read_about(base))
    if about.get("policy") != name:
        raise BadCheckpoint(f"{path}: made for policy {about.get('policy')}, but policy is {name}")
    try:
        tensors = {name: tensor.astype(np.float32) for name, tensor in load(whole).items()}
        count = sum(name.endswith(".weight") for name in tensors)
        layers = tuple((tensors[f"{2 * i}.weight"], tensors[f"{2 * i}.bias"]) for i in range(count))
        return Head(tensors["mean"], tensors["spread"], layers)
    except (SafetensorError, KeyError) as error:
        raise BadCheckpoint(f"{path}: expected mean, spread and layers of a correction head, got {error}") from error
