"""Muon: steps of one size in every direction, and the same result after an interruption."""

import numpy as np
import pytest
import torch
from torch import nn

from models.training.muon import muon, orthogonalised


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (24, 24)])
def test_an_orthogonalised_matrix_keeps_its_directions_and_loses_its_sizes(shape):
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(shape, generator=generator) @ torch.diag(10 ** torch.linspace(0, -1, shape[1]))
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    within = left.mT @ orthogonalised(matrix) @ right.mT
    sizes = within.diagonal()
    assert sizes.min() > 0.5 and sizes.max() < 1.4, "the iteration brings singular values near one"
    assert (within - torch.diag(sizes)).abs().max() < 0.1


def test_matrices_go_to_muon_and_the_rest_to_adamw():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, 2))
    matrices, others = muon(net, 0.02, 1e-3, plain=("0.", "2.")).param_groups
    assert [tuple(p.shape) for p in matrices["params"]] == [(4, 4, 3, 3)]
    assert len(others["params"]) == 5 and (matrices["lr"], others["lr"]) == (0.02, 1e-3)


def test_it_fits_a_line_and_its_state_can_be_taken_over():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 8, generator=generator)
    y = x @ torch.randn(8, 4, generator=generator)

    def train(steps: int, stop: int | None = None) -> tuple[float, np.ndarray]:
        torch.manual_seed(0)
        net = nn.Linear(8, 4)
        optimiser = muon(net, 0.1, 1e-2)
        loss = torch.zeros(())
        for step in range(steps):
            if step == stop:
                state = optimiser.state_dict()
                optimiser = muon(net, 0.1, 1e-2)
                optimiser.load_state_dict(state)
            for group in optimiser.param_groups:
                group["lr"] = 0.1 * (1 - step / 200)
            optimiser.zero_grad()
            loss = (net(x) - y).square().mean()
            loss.backward()
            optimiser.step()
        return float(loss.detach()), net.weight.detach().numpy()

    begun, _ = train(1)
    ended, weight = train(200)
    assert ended < 0.01 * begun
    assert np.array_equal(weight, train(200, stop=90)[1])
