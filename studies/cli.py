"""`rtr`: what dora has no word for. Each command is a dataclass of its options with a `run`."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from studies.check import Check


@dataclass(frozen=True)
class Doctor:
    """Is this machine fit? One line a question, with the fix."""

    def run(self) -> None:
        from studies.doctor import main

        main()


@dataclass(frozen=True)
class Report:
    """Make report.html and report.json of a folder of traces, or of a recording (*.drec)."""

    source: Annotated[Path, tyro.conf.Positional]
    out: Path = Path("out")

    def run(self) -> None:
        from reports.report import write_report
        from studies.logs import logs

        write_report(logs(self.source), self.out)
        print(self.out / "report.html")


@dataclass(frozen=True)
class Variables:
    """Print the table of all environment variables, that of docs/variables.md."""

    def run(self) -> None:
        from studies.variables import table

        print(table(), end="")


def main() -> None:
    try:
        _command().run()
    except (ValueError, OSError) as error:
        sys.exit(f"rtr: {error}")
    except KeyboardInterrupt:
        sys.exit("rtr: stopped; the same command goes on where it was (evaluate: with --trace)")


def _command() -> Any:
    if sys.argv[1:2] == ["check"] and len(sys.argv) == 3:
        return Check(Path(sys.argv[2]))  # runs before every demo: do not load what it does not need
    from studies.bench import Bench
    from studies.collect import Collect
    from studies.compare import Compare
    from studies.dataset import DataSet
    from studies.evaluate import Evaluate
    from studies.live import Live
    from studies.openloop import OpenLoop
    from studies.recording import Recording
    from studies.shifts import Shifts
    from studies.speed import Speed
    from studies.video import Video

    commands = {"evaluate": Evaluate, "collect": Collect, "check": Check, "doctor": Doctor, "bench": Bench}
    commands |= {"report": Report, "video": Video, "speed": Speed, "shifts": Shifts, "variables": Variables}
    commands |= {"recording": Recording, "dataset": DataSet, "openloop": OpenLoop, "compare": Compare, "live": Live}
    if sys.argv[1:2] == [] or sys.argv[1] not in commands:
        commands |= _trainings()  # they load torch
    return tyro.extras.subcommand_cli_from_dict(commands, prog="rtr", description=__doc__)


def _trainings() -> dict[str, Any]:
    from models.training.a2c2 import TrainA2c2
    from models.training.policy import TrainPolicy
    from models.training.vae import TrainVae
    from models.training.vision import TrainVision
    from studies.curve import Curve
    from studies.models import Models

    trainings = {"train-vae": TrainVae, "train-vision": TrainVision, "train-policy": TrainPolicy}
    trainings["train-a2c2"] = TrainA2c2
    return {**trainings, "models": Models, "curve": Curve}


if __name__ == "__main__":
    main()
