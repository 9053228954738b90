"""Names of policies and codecs. A policy's module is imported only when it is chosen."""

from importlib import import_module

from operators.codec import Codec, DctCodec
from operators.policy import Policy
from operators.settings import Settings

POLICIES = {"expert": "simulation.expert_policy:ExpertPolicy", "replay": "recordings.replay_policy:ReplayPolicy"}


def make_policy(config: Settings) -> Policy:
    """The policy named by POLICY, made from the settings.

    Raises:
        ValueError: what it needs is missing.
    """
    module, name = POLICIES[config.policy].split(":")
    return getattr(import_module(module), name)(config)


def make_codec(name: str) -> Codec:
    """The codec named by CODEC."""
    return {"dct": DctCodec}[name]()
