"""The learned policy by flow matching: what its network learns, and how it is sampled, is all that differs."""

from typing import ClassVar

from models.policies.learned import DpPolicy
from models.samplers.guidance import FLOW_GUIDES, LATENT_FLOW_GUIDES


class FlowLatentPolicy(DpPolicy):
    """Predicts latents."""

    name = "flow_latent60"
    guides: ClassVar = LATENT_FLOW_GUIDES


class FlowActionPolicy(DpPolicy):
    """Predicts 60 Hz chunks directly."""

    name = "flow_action60"
    guides: ClassVar = FLOW_GUIDES


class RtcFlowActionPolicy(DpPolicy):
    """The same, trained with clean first rows: training-time real-time chunking."""

    name = "rtcflow_action60"
    guides: ClassVar = ("rtc_trained", *FLOW_GUIDES)
