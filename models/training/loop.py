"""The training loop all trainings share: resumable, seeded by step, in pieces, and stopped when it diverges.

What is drawn at a step follows from (seed, step) alone, and the state file holds weights and optimiser, so a training
that was interrupted ends where an uninterrupted one does.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from models.checkpoint import BadCheckpoint

SAVE_EVERY_S = 60.0
WARM_UP = 200  # steps over which the learning rate rises
DIVERGED = 20.0  # times the smoothed loss


class Diverged(RuntimeError):
    """The loss is not finite or has exploded; the last good state is on disk."""


@dataclass
class Loop:
    """Runs `step` until `steps` are done or `minutes` are over.

    Args:
        modules: what is saved in the state file, by name; those with gradients are optimised by `optimiser`.
        step: number and generator -> loss; whatever is drawn at random is drawn from the generator.
        after: called after each optimiser step, e.g. to update an average of the weights.
        milestones: called when so many steps are done.
        configuration: everything that decides the outcome, so that a state of another training is refused.
    """

    title: str
    steps: int
    state: Path
    modules: Mapping[str, nn.Module]
    optimiser: torch.optim.Optimizer
    step: Callable[[int, torch.Generator], Tensor]
    configuration: Mapping[str, Any]
    seed: int = 0
    minutes: float = 10.0
    after: Callable[[], None] = lambda: None
    milestones: Mapping[int, Callable[[], None]] = field(default_factory=dict)
    done: int = 0
    seconds: float = 0.0  # of all pieces so far

    def run(self) -> bool:
        """One piece -> whether the training is finished.

        Raises:
            Diverged: the state file keeps the last good state.
            BadCheckpoint: the state file is damaged or of another training.
        """
        if self.state.exists():
            self._restore()
        rates = [group.setdefault("initial_lr", group["lr"]) for group in self.optimiser.param_groups]
        begun = saved = time.monotonic()
        base, smoothed = self.seconds, math.nan
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        with Progress(*columns, TimeRemainingColumn()) as progress:
            bar = progress.add_task(self.title, total=self.steps, completed=self.done)
            while self.done < self.steps and time.monotonic() - begun < 60 * self.minutes:
                for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
                    group["lr"] = rate * schedule(self.done, self.steps)
                loss = self._one_step()
                if not math.isfinite(loss) or loss > DIVERGED * smoothed:
                    raise Diverged(
                        f"{self.title}: loss {loss:.3g} at step {self.done}; {self.state} is the last good state"
                    )
                smoothed = loss if math.isnan(smoothed) else 0.99 * smoothed + 0.01 * loss
                self.done += 1
                self.seconds = base + time.monotonic() - begun
                progress.update(bar, completed=self.done, description=f"{self.title} loss {smoothed:.4f}")
                if self.done in self.milestones:
                    self.milestones[self.done]()
                if time.monotonic() - saved > SAVE_EVERY_S:
                    self._save()
                    saved = time.monotonic()
        self._save()
        return self.done >= self.steps

    @property
    def minutes_taken(self) -> float:
        """By all pieces so far."""
        return round(self.seconds / 60, 1)

    @property
    def _configured(self) -> str:
        return json.dumps(self.configuration, sort_keys=True, default=str)

    def _one_step(self) -> float:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.done)
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.step(self.done, generator)
        value = float(loss.detach())
        if math.isfinite(value):
            loss.backward()
            nn.utils.clip_grad_norm_([p for group in self.optimiser.param_groups for p in group["params"]], 1.0)
            self.optimiser.step()
            self.after()
        return value

    def _save(self) -> None:
        tensors: dict[str, Tensor] = {}
        for name, module in self.modules.items():
            tensors |= {f"{name}/{key}": tensor for key, tensor in module.state_dict().items()}
        for index, moments in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser/{index}/{key}": t for key, t in moments.items()}
        about = {"done": str(self.done), "seconds": str(self.seconds), "configuration": self._configured}
        self.state.parent.mkdir(parents=True, exist_ok=True)
        part = self.state.with_name(self.state.name + ".part")
        save_file({key: t.contiguous().clone() for key, t in tensors.items()}, part, about)
        part.replace(self.state)

    def _restore(self) -> None:
        try:
            with safe_open(self.state, "pt") as file:
                about = file.metadata() or {}
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, not a dictionary
        except SafetensorError as error:
            raise BadCheckpoint(f"{self.state}: expected the state of a training, got {error}") from error
        if about.get("configuration") != self._configured:
            found = about.get("configuration")
            raise BadCheckpoint(f"{self.state}: expected a training of {self._configured}, got {found}; remove it")
        self.done, self.seconds = int(about["done"]), float(about["seconds"])
        for name, module in self.modules.items():
            module.load_state_dict({k.split("/", 1)[1]: t for k, t in tensors.items() if k.split("/", 1)[0] == name})
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith("optimiser/"):
                _, index, moment = key.split("/")
                state.setdefault(int(index), {})[moment] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": state})


def schedule(step: int, steps: int) -> float:
    """Factor of the learning rate: a linear warm-up, then half a cosine down to 1 %."""
    warm = min(1.0, (step + 1) / min(WARM_UP, max(steps // 5, 1)))
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * step / steps)))
