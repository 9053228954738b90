"""Names of policies and codecs. A module is imported only when it is chosen: most processes need no torch."""

from importlib import import_module

from operators.chunks.codec import Codec
from operators.policy import Policy
from operators.settings import Settings

POLICIES = {
    "expert": "simulation.expert_policy:ExpertPolicy",
    "expert_flow": "models.policies.expert_flow:ExpertFlowPolicy",
    "replay": "models.policies.replay:ReplayPolicy",
    "dp_latent60": "models.policies.learned:LatentPolicy",
    "dp_action60": "models.policies.learned:ActionPolicy",
    "flow_latent60": "models.policies.flow:FlowLatentPolicy",
    "flow_action60": "models.policies.flow:FlowActionPolicy",
    "rtcflow_action60": "models.policies.flow:RtcFlowActionPolicy",
}
CODECS = {
    "dct": "operators.chunks.codec:DctCodec",
    "pca": "models.codecs.pca:PcaCodec",
    "vae": "models.codecs.vae:VaeCodec",
}


def policy_class(name: str) -> type[Policy]:
    """The class of the policy of this name: what it can do, before it is made."""
    return _named(POLICIES[name])


def make_policy(config: Settings) -> Policy:
    """The policy named by POLICY, made from the settings.

    Raises:
        ValueError: what it needs is missing.
    """
    return _named(POLICIES[config.policy])(config)


def make_codec(name: str) -> Codec:
    """The codec named by CODEC.

    Raises:
        ValueError: its checkpoint is missing or damaged.
    """
    return _named(CODECS[name])()


def _named(place: str):
    module, name = place.split(":")
    return getattr(import_module(module), name)
