"""Who may be named by POLICY and CODEC. A module is imported only when it is chosen: most processes need no torch.

A name is one of the table, an entry point of the group `rtr.policies` in a package of your own, or a checkpoint: its
name in models/checkpoints, or a path to one. The checkpoint's JSON says by its `kind` which class it is made into.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from models.stored import FOLDER, located, read_about
from operators.chunks.codec import Codec
from operators.policy import Policy
from operators.settings import Settings

LEARNED = "models.policies.learned:LearnedPolicy"


@dataclass(frozen=True)
class Names:
    """What a variable may name; each place is `module:Class`."""

    variable: str
    own: dict[str, str]  # name -> place
    trained: dict[str, str]  # kind of a checkpoint -> place
    group: str = ""  # of entry points, each of which may be named and may be a kind

    def find(self, name: str) -> tuple[str, Mapping[str, Any] | None]:
        """Place of a name, and what the JSON says where it is a checkpoint.

        Raises:
            ValueError: nothing is named so; what is nearest comes first. Or the checkpoint's JSON is damaged.
        """
        outside = self._outside()
        if place := (outside | self.own).get(name):
            return place, None
        path = located(name)
        described = path.with_suffix(".json")
        if described.is_file() or path.parent != FOLDER:
            about = read_about(path)
            if place := (outside | self.trained).get(about["kind"]):
                return place, about
        raise ValueError(f"{self.variable}: expected one of {', '.join(self.nearest(name))}, got {name!r}")

    def all(self) -> list[str]:
        """Every name there is; checkpoints at other places have no name but their path."""
        outside = self._outside()
        kinds = outside | self.trained
        checkpoints = [path.stem for path in sorted(FOLDER.glob("*.json")) if read_about(path)["kind"] in kinds]
        return [*dict.fromkeys([*self.own, *outside, *checkpoints])]

    def nearest(self, name: str) -> list[str]:
        """Every name, the one most like this one first."""
        return sorted(self.all(), key=lambda known: -SequenceMatcher(None, name, known).ratio())

    def _outside(self) -> dict[str, str]:
        return {found.name: found.value for found in entry_points(group=self.group)} if self.group else {}


POLICIES = Names(
    "POLICY",
    {
        "expert": "simulation.expert_policy:ExpertPolicy",
        "expert_flow": "models.policies.expert_flow:ExpertFlowPolicy",
        "replay": "models.policies.replay:ReplayPolicy",
    },
    {"dp": LEARNED, "flow": LEARNED, "rtcflow": LEARNED},
    "rtr.policies",
)
CODECS = Names(
    "CODEC",
    {"dct": "operators.chunks.codec:DctCodec"},
    {"pca": "models.codecs.pca:PcaCodec", "vae": "models.codecs.vae:VaeCodec"},
)


def check(config: Settings) -> None:
    """Are policy and codecs known, and was the policy trained for the task? Loads none of them.

    Raises:
        ValueError: no; says what there is.
    """
    _place_of_policy(config)
    for codec in {config.codec, config.refine_codec} - {""}:
        CODECS.find(codec)


def policy_class(name: str) -> type[Policy]:
    """The class of the policy of this name, such as for its cameras."""
    return _imported(POLICIES.find(name)[0])


def make_policy(config: Settings) -> Policy:
    """The policy named by POLICY, made from the settings.

    Raises:
        ValueError: there is none, it was trained for other tasks, or what it needs is missing.
    """
    return _imported(_place_of_policy(config))(config)


def make_codec(name: str) -> Codec:
    """The codec named by CODEC.

    Raises:
        ValueError: there is none, or its checkpoint is missing or damaged.
    """
    place, about = CODECS.find(name)
    return _imported(place)() if about is None else _imported(place)(located(name))


def _place_of_policy(config: Settings) -> str:
    place, about = POLICIES.find(config.policy)
    if about is not None and config.task not in ("", *(tasks := about.get("tasks", []))):
        trained = " and ".join(tasks) or "no task"
        raise ValueError(f"POLICY={config.policy}: expected one trained for TASK={config.task}, got one for {trained}")
    return place


def _imported(place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(module), name)
