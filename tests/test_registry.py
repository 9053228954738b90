"""Names of policies and codecs: the table, checkpoints by their JSON, entry points of other packages."""

import json
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint, EntryPoints

import numpy as np
import pytest

from models import registry
from models.checkpoint import FOLDER, card
from models.registry import CODECS, POLICIES, check, make_codec, make_policy, policy_class
from models.samplers.guidance import KINDS
from operators.messages import HORIZON
from operators.policy import Prediction
from operators.settings import Settings

SHIPPED = sorted(path.stem for path in FOLDER.glob("*.json"))
NEEDED = {"kind": str, "tasks": list, "description": str, "hash": str, "revision": str}
FACTS = {  # kind -> what its JSON must say besides
    **{key: {"space": str, "codec": str, "encoder": str, "samples": int, "temperature": float} for key in KINDS},
    "a2c2": {"policy": str, "encoder": str},
    "vae": {"architecture": dict},
    "vision": {"architecture": dict},
    "pca": {},
}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_checkpoint_says_what_it_is_and_its_card_is_made_of_that(name):
    about = json.loads((FOLDER / f"{name}.json").read_text())
    wanted = NEEDED | FACTS[about["kind"]]
    assert {key: type(about.get(key)) for key in wanted} == wanted
    assert about["tasks"] and (FOLDER / f"{name}.md").read_text() == card(name, about)


def test_what_is_no_name_is_refused_with_the_nearest_first():
    with pytest.raises(ValueError, match=r"^POLICY: expected one of dp_latent60, .*expert.*, got 'dp_laten60'$"):
        make_policy(Settings(policy="dp_laten60"))
    with pytest.raises(ValueError, match=r"^CODEC: expected one of vae, (dct, pca|pca, dct), got 'vea'$"):
        make_codec("vea")
    for name, wrong in [("policy", "vae"), ("policy", "dp"), ("codec", "dp_latent60"), ("refine_codec", "none")]:
        with pytest.raises(ValueError, match=r"expected one of .*got"):
            check(replace(Settings(), **{name: wrong}))


def test_names_are_checked_without_loading_what_they_name():
    check(Settings(policy="rtcflow_action60", codec="pca", refine_codec="dct"))
    assert set(CODECS.all()) == {"dct", "pca", "vae"} and "dp_latent60" in POLICIES.all()
    assert policy_class("dp_latent60").cameras and not policy_class("expert").cameras


class Still:
    """A policy of somebody else's package."""

    cameras = ()

    def __init__(self, config: Settings):
        self.name = config.policy

    def start(self, episode):
        """Nothing to remember."""

    def predict(self, observation):
        return Prediction(np.tile(np.array([0, 0, 0, 1, 0, 0, 0, 1, 0, 0], np.float32), (HORIZON, 1)))


def test_a_policy_of_another_package_is_found_and_is_loaded_only_when_chosen(monkeypatch, tmp_path):
    found = [EntryPoint("still", "tests.test_registry:Still", "rtr.policies")]
    found.append(EntryPoint("broken", "a_module_that_is_not_there:Policy", "rtr.policies"))
    monkeypatch.setattr(registry, "entry_points", lambda group: EntryPoints(found).select(group=group))
    assert {"still", "broken"} < set(POLICIES.all()) and "a_module_that_is_not_there" not in sys.modules
    assert type(make_policy(Settings(policy="still"))).__name__ == "Still"
    (tmp_path / "mine.json").write_text('{"kind": "still", "hash": "00000000", "tasks": ["write_board"]}')
    (tmp_path / "mine.safetensors").write_bytes(b"")
    made = make_policy(Settings(policy=str(tmp_path / "mine")))
    assert type(made).__name__ == "Still" and made.name == str(tmp_path / "mine")  # pyright: ignore[reportAttributeAccessIssue]
    check(Settings(policy="broken"))
