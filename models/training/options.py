"""The options that every training has, and what follows from them: where its state is, how it runs, what it writes."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from models.checkpoint import FOLDER, write
from models.training.loop import Loop
from models.training.samples import Told


@dataclass(frozen=True)
class Options:
    """Options of a training; `run` plays one piece of it."""

    data: tuple[Path, ...] = (Path("datasets/demos"),)
    steps: int = 1000
    batch: int = 128
    rate: float = 1e-3
    seed: int = 0
    minutes: float = 10.0
    """Of this piece; the next run goes on."""
    threads: int = 2
    out: Path = FOLDER
    state: Path = Path("out/training")

    INDECISIVE: ClassVar = {"data", "out", "state", "minutes", "threads"}  # say only where and for how long

    def run(self) -> bool:
        """One piece -> whether the checkpoint is written.

        Raises:
            ValueError: an option that is none, data or a checkpoint that do not fit.
        """
        torch.set_num_threads(self.threads)
        torch.manual_seed(self.seed)
        return self.train()

    def train(self) -> bool:
        """One piece, seeded -> whether the checkpoint is written."""
        raise NotImplementedError

    @property
    def decisive(self) -> dict[str, Any]:
        """The options that decide the outcome."""
        return {name: value for name, value in asdict(self).items() if name not in self.INDECISIVE}

    def loop(
        self,
        name: str,
        modules: Mapping[str, nn.Module],
        optimiser: torch.optim.Optimizer,
        step: Callable[[int, torch.Generator], Tensor],
        made_for: Mapping[str, str] | None = None,
        **hooks: Any,
    ) -> Loop:
        """The loop of this training, its state file named by `name`; arguments as for `Loop`.

        Args:
            made_for: what decides the outcome besides the options.
            hooks: `after` and `milestones`.
        """
        state, about = self.state / f"{name}.safetensors", {**self.decisive, **(made_for or {})}
        return Loop(
            f"train {name}", self.steps, state, modules, optimiser, step, about, self.seed, self.minutes, **hooks
        )

    def write(self, path: Path, tensors: Mapping[str, Tensor], told: Told, about: dict[str, Any], half: bool) -> None:
        """Write a checkpoint.

        Args:
            about: `kind` and what else its JSON says; `description` may have a place for the task's words.
        """
        kind, description = about.pop("kind"), about.pop("description").format(task=told.text)
        said = {"kind": kind, "tasks": told.tasks, **about, "configuration": self.decisive, "description": description}
        write(path, tensors, said, half)


def one_of(name: str, value: str, choices: Mapping[str, Any] | tuple[str, ...]) -> None:
    """Refuse a choice that there is not.

    Raises:
        ValueError: names the choices.
    """
    if value not in choices:
        raise ValueError(f"expected a {name} of {', '.join(choices)}, got {value}")
