"""A simulated camera: draws what is asked for. Which camera it is, its output says: frame_front or frame_wrist."""

from dora import Node

from nodes._wire import Wire, settings
from operators.messages import Episode, Request, Scene
from operators.settings import Settings
from simulation.renderer import Renderer
from simulation.shutter import Shutter
from simulation.tasks import task_class

INPUTS = {"scene": Scene, "request": Request, "episode": Episode}


def main() -> None:
    config = settings()  # before Node(): a wrong variable ends the run before it begins
    run(Node(), config)


def run(node: Node, config: Settings) -> None:
    output = next(name for name in node.node_config()["outputs"] if name.startswith("frame_"))
    wire = Wire(node, output.replace("frame", "camera"), INPUTS)
    renderer = Renderer(task_class(config.task), config.image_width, config.image_height)
    shutter = Shutter()
    for _, message in wire.messages():
        if isinstance(message, Episode):
            shutter.restart()
        elif isinstance(message, Scene | Request) and (scene := shutter.receive(message)):
            pixels = renderer.render(scene, output.removeprefix("frame_"))
            wire.send_frame(output, pixels, scene.t_ns)


if __name__ == "__main__":
    main()
