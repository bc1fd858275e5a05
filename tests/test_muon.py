"""Muon: steps of equal strength in every direction."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from rawkd.training.run.muon import (
    ADAM_LIKE,
    ITERATIONS,
    MOMENTUM,
    QUINTIC,
    Muon,
    MuonAndAdam,
    orthogonal,
    wide_kernels,
)


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(4, 32, 3, padding=1),
        nn.Conv2d(32, 32, 3, padding=1, groups=2),
        nn.Conv2d(32, 48, 1),
        nn.Conv2d(48, 16, 3),
    )


def test_singular_values_become_alike() -> None:
    matrices = torch.randn(3, 16, 40, generator=torch.Generator().manual_seed(1))
    matrices[1] *= 1e-3  # strength does not matter
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert values.min() > 0.6
    assert values.max() < 1.25
    assert torch.linalg.svdvals(matrices / matrices.norm(dim=(1, 2), keepdim=True)).min() < 0.2  # they were not


def test_singular_vectors_stay() -> None:
    matrix = torch.randn(1, 24, 24, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    left, _, right = torch.linalg.svd(matrix)
    turned = left.mT @ orthogonal(matrix.float()).double() @ right.mT
    outside = turned - torch.diag_embed(torch.diagonal(turned, dim1=-2, dim2=-1))
    assert outside.abs().max() < 0.1  # bf16 has 8 bits, five products of three
    assert torch.diagonal(turned[0]).min() > 0.5


def test_a_tall_matrix_is_as_good_as_its_wide_twin() -> None:
    matrix = torch.randn(2, 50, 20, generator=torch.Generator().manual_seed(4))
    assert torch.equal(orthogonal(matrix), orthogonal(matrix.mT).mT)


def test_a_zero_gradient_moves_nothing() -> None:
    assert not orthogonal(torch.zeros(1, 16, 16)).any()


def test_kernels_between_features_are_its_own() -> None:
    layers = list(network())
    kernels = wide_kernels(network())
    assert [kernel.shape for kernel, _ in kernels] == [layers[1].weight.shape, layers[2].weight.shape]
    assert [groups for _, groups in kernels] == [2, 1]


def test_the_first_step_worked_by_hand() -> None:
    """Momentum begins at nothing, so the first direction is the gradient's; every group of a kernel has its own."""
    net = network()
    optimiser = MuonAndAdam(net, 1e-3, 2e-2)
    before = [parameter.detach().clone() for parameter in net.parameters()]
    generator = torch.Generator().manual_seed(5)
    for parameter in net.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimiser.step()
    kernel, old = net[1].weight, before[2]
    assert kernel.grad is not None
    directions = orthogonal(kernel.grad.reshape(2, 16, 144))
    expected = -2e-2 * ADAM_LIKE * math.sqrt(144) * directions.reshape(kernel.shape)
    off = (kernel.detach() - old - expected).norm() / expected.norm()
    assert off < 0.05  # products of 8 bits, added up in another order
    stem = (net[0].weight.detach() - before[0]).abs()
    torch.testing.assert_close(stem, torch.full_like(stem, 1e-3), rtol=1e-3, atol=0)  # Adam's first step is its rate


def test_the_groups_are_adams_and_muons() -> None:
    """In the order of `Recipe.rates`, by which the schedule sets them."""
    optimiser = MuonAndAdam(network(), 1e-3, 2e-2)
    assert [group["lr"] for group in optimiser.param_groups] == [1e-3, 2e-2]


def test_momentum_is_allocated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network()
    optimiser, made, zeros_like = Muon(wide_kernels(net), 1e-2), [], torch.zeros_like
    monkeypatch.setattr(torch, "zeros_like", lambda kernel: made.append(kernel) or zeros_like(kernel))
    for _ in range(3):
        for parameter in net.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimiser.step()
    assert len(made) == 2  # a kernel each


def test_state_resumes_to_the_bit() -> None:
    def trained(steps: int, net: nn.Module, optimiser: MuonAndAdam, seed: int) -> None:
        for step in range(seed, seed + steps):
            x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(step))
            optimiser.zero_grad()
            net(x).square().mean().backward()
            optimiser.step()

    whole, first, second = network(), network(), network()
    trained(4, whole, MuonAndAdam(whole, 1e-3, 1e-2), 0)
    begun = MuonAndAdam(first, 1e-3, 1e-2)
    trained(2, first, begun, 0)
    second.load_state_dict(first.state_dict())
    resumed = MuonAndAdam(second, 1e-3, 1e-2)
    resumed.load_state_dict(begun.state_dict())
    trained(2, second, resumed, 2)
    for a, b in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


STEPS = 4
OURS = {"momentum": MOMENTUM, "ns_coefficients": QUINTIC, "ns_steps": ITERATIONS, "adjust_lr_fn": "match_rms_adamw"}
"""What torch calls our choices."""


def spread_by_rounding(matrix: torch.Tensor, generator: torch.Generator) -> float:
    """The largest of 12 relative distances between two computations whose every product is rounded at random.

    bf16 has 8 bits, so a rounding is off by up to 2^-8 of the value; everything else is in float64.
    """

    def rounded(values: torch.Tensor) -> torch.Tensor:
        return values * (1 + 2.0**-8 * (2 * torch.rand(values.shape, generator=generator, dtype=values.dtype) - 1))

    def computed() -> torch.Tensor:
        x = rounded(matrix.double())
        x = rounded(x / rounded(1.02 * x.norm()))
        first, third, fifth = QUINTIC
        for _ in range(ITERATIONS):
            square = rounded(x @ x.mT)
            x = rounded(first * x + rounded(third * square + fifth * square @ square) @ x)
        return x

    pairs = [(computed(), computed()) for _ in range(12)]
    return max(float((one - other).norm() / one.norm()) for one, other in pairs)


def distance_from_torch(shape: tuple[int, int], **choices: Any) -> float:
    """Largest relative distance of our steps from those of torch.optim.Muon over `STEPS` gradients.

    We divide a matrix by 1.02 times its norm, torch by the greater of norm and `eps`: `eps` is set to our divisor.
    """
    generator = torch.Generator().manual_seed(7)
    start = torch.randn(shape, generator=generator)
    kernel = start.clone().reshape(*shape, 1, 1).requires_grad_()
    theirs = nn.Parameter(start.clone())
    ours, oracle = Muon([(kernel, 1)], 1e-2), torch.optim.Muon([theirs], 1e-2, 0.0, **{**OURS, **choices})
    momentum, furthest = torch.zeros(shape), 0.0
    for _ in range(STEPS):
        gradient = torch.randn(shape, generator=generator)
        momentum = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
        ahead = MOMENTUM * momentum + (1 - MOMENTUM) * gradient
        oracle.param_groups[0]["eps"] = 1.02 * float(ahead.norm())
        kernel.grad, theirs.grad = gradient.reshape(kernel.shape), gradient.clone()
        before = kernel.detach().clone().reshape(shape), theirs.detach().clone()
        ours.step()
        oracle.step()
        step, expected = kernel.detach().reshape(shape) - before[0], theirs.detach() - before[1]
        furthest = max(furthest, float((step - expected).norm() / expected.norm()))
    return furthest


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="needs the Muon of torch 2.9")
@pytest.mark.parametrize("shape", [(16, 40), (40, 16), (32, 32), (64, 288)])
def test_steps_are_those_of_torch(shape: tuple[int, int]) -> None:
    """To the roundings of bf16, with half as much again for the few draws; every other choice is told from ours."""
    generator = torch.Generator().manual_seed(9)
    tolerance = 1.5 * spread_by_rounding(torch.randn(shape, generator=generator), generator)
    assert tolerance < 0.06
    assert distance_from_torch(shape) < tolerance
    for other in (
        {"nesterov": False},
        {"momentum": 0.9},
        {"ns_steps": 4},
        {"ns_coefficients": (3.4445, -4.7750, 2.1)},
        {"adjust_lr_fn": "original"},
    ):
        assert distance_from_torch(shape, **other) > tolerance, other
