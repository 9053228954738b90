"""Muon: steps along the orthogonalised momentum of each weight matrix, AdamW for everything else.

After Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks" (kellerjordan.github.io/posts/muon).
torch's own takes matrices only; here a convolution's kernel is one, (out, in x places).
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

MOMENTUM = 0.95
DECAY = 0.02
ROUNDS = 5  # of the iteration
_A, _B, _C = 3.4445, -4.7750, 2.0315  # its polynomial
_BETAS, _EPS = (0.9, 0.999), 1e-8  # of AdamW


class Muon(torch.optim.Optimizer):
    """Optimises `matrices` by Muon at `rate` and `others` by AdamW at `adam_rate`."""

    def __init__(self, matrices: Iterable[nn.Parameter], others: Iterable[nn.Parameter], rate: float, adam_rate: float):
        groups = [{"params": list(matrices), "lr": rate}, {"params": list(others), "lr": adam_rate}]
        super().__init__(groups, {"lr": rate})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        matrices, others = self.param_groups
        for parameter in matrices["params"]:
            parameter.mul_(1 - DECAY * matrices["lr"]).sub_(self._turned(parameter), alpha=matrices["lr"])
        for parameter in others["params"]:
            parameter.mul_(1 - DECAY * others["lr"]).sub_(self._scaled(parameter), alpha=others["lr"])

    def _turned(self, parameter: nn.Parameter) -> Tensor:
        """Muon's direction: Nesterov momentum, orthogonalised."""
        gradient = _gradient(parameter)
        state = self._state(parameter, "momentum")
        state["momentum"].lerp_(gradient, 1 - MOMENTUM)
        flat = gradient.lerp(state["momentum"], MOMENTUM).flatten(1)
        stretch = max(1.0, flat.shape[0] / flat.shape[1]) ** 0.5
        return orthogonalised(flat).mul_(stretch).view_as(parameter)

    def _scaled(self, parameter: nn.Parameter) -> Tensor:
        """Adam's direction."""
        gradient = _gradient(parameter)
        state = self._state(parameter, "mean", "square")
        count = state.setdefault("count", torch.zeros(()))
        count += 1
        state["mean"].lerp_(gradient, 1 - _BETAS[0])
        state["square"].lerp_(gradient.square(), 1 - _BETAS[1])
        mean, square = (state[name] / (1 - beta**count) for name, beta in zip(("mean", "square"), _BETAS, strict=True))
        return mean / (square.sqrt() + _EPS)

    def _state(self, parameter: nn.Parameter, *names: str) -> dict:
        state = self.state[parameter]
        for name in names:
            if name not in state:
                state[name] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
        return state


def muon(module: nn.Module, rate: float, adam_rate: float, plain: tuple[str, ...] = ()) -> Muon:
    """An optimiser for a module: matrices and kernels by Muon, but for those whose names begin with one of `plain`.

    A layer that reads pixels or gives the result belongs to AdamW.
    """
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    chosen = {name for name, p in named if p.ndim > 1 and not name.startswith(plain)}
    return Muon([p for n, p in named if n in chosen], [p for n, p in named if n not in chosen], rate, adam_rate)


def orthogonalised(matrix: Tensor) -> Tensor:
    """(m, n) -> nearly U V^T of its singular value decomposition, by a Newton-Schulz iteration in bfloat16."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.mT).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(ROUNDS):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    return (x if wide else x.mT).to(matrix.dtype)


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.contiguous()
