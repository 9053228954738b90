"""The scheduler as a dora operator, async only."""

import os

from nodes._operator import ActorOperator
from operators.actors.scheduling import Scheduling
from operators.settings import parse


class Operator(ActorOperator):
    def __init__(self):
        super().__init__("scheduler", Scheduling(parse(os.environ), sync=False))
