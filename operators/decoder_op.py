"""The decoder as a dora operator."""

import os
import time

from models.registry import make_codec
from nodes._operator import ActorOperator
from operators.actors.decoding import Decoding
from operators.settings import parse


class Operator(ActorOperator):
    def __init__(self):
        super().__init__("decoder", Decoding(parse(os.environ), make_codec, time.monotonic_ns))
