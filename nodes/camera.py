"""A camera. Its name stands in its output, `frame_front`; its driver in a variable, CAMERA_FRONT (nodes.drivers)."""

import os
import sys
from collections.abc import Mapping

import numpy as np
from dora import Node

from nodes._wire import Wire, settings
from nodes.drivers import make_camera
from operators.drivers import DriverError
from operators.messages import TOPICS
from operators.settings import Settings, camera_driver
from reports.film import fitted

INPUTS = {name: TOPICS[name].message for name in ("episode", "scene", "request")}  # a driver hears what it asks for


def main() -> None:
    config = settings()  # before Node(): a wrong variable ends the run before it begins
    run(Node(), config, os.environ)


def run(node: Node, config: Settings, environ: Mapping[str, str]) -> None:
    output = next(name for name in node.node_config()["outputs"] if name.startswith("frame_"))
    name = output.removeprefix("frame_")
    try:
        driver = make_camera(config, name, camera_driver(environ, name))
    except DriverError as error:
        sys.exit(str(error))
    wire = Wire(node, f"camera_{name}", {topic: TOPICS[topic].message for topic in ("episode", *driver.INPUTS)})

    def send(pixels: np.ndarray, t_ns: int) -> None:
        if wire.open and wire.episode >= 0:  # before the first episode nobody could tell what it belongs to
            wire.send_frame(output, fitted(pixels, config.image_width, config.image_height), t_ns)

    driver.start(send, wire.fault)
    try:
        while wire.open:
            if found := wire.next(0.1):
                driver.receive(found[1])
    finally:
        driver.close()


if __name__ == "__main__":
    main()
