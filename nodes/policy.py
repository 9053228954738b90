"""Answer requests with chunks. From what, and when a chunk counts, is decided in operators.actors.inferring."""

import sys

from dora import Node

from models.registry import make_policy
from nodes._stage import POLICY, serve
from nodes._wire import settings
from operators.actors.inferring import Inferring
from operators.policy import Policy, check_features, check_guide
from operators.settings import Settings

INPUTS = Inferring.INPUTS


def main() -> None:
    config = settings()
    try:
        policy = make_policy(config)
    except ValueError as error:
        sys.exit(str(error))
    if policy.cameras and "simulation" in sys.modules:
        sys.exit(f"expected POLICY={config.policy} to know the task from pictures alone, but it loads the simulation")
    run(Node(), config, policy)


def run(node: Node, config: Settings, policy: Policy) -> None:
    wired = node.node_config()
    try:
        if "executed" in wired["inputs"]:
            check_guide(policy, config.policy, config.guide)
        sees = check_features(policy, config.policy) if "features" in wired.get("outputs", ()) else None
    except ValueError as error:
        sys.exit(str(error))
    serve("policy", Inferring(config, policy, sees), node, POLICY)


if __name__ == "__main__":
    main()
