"""Muon: momentum whose matrix is made orthogonal before it is taken as a step.

Every direction of a layer then learns at one pace, where Adam follows the few strongest; what that brings
stands in docs/training.md.
Source: Jordan et al., Muon (2024), its quintic Newton-Schulz iteration; scale of the step after Liu et al., "Muon is
scalable for LLM training" (arXiv 2502.16982, eq. 4). Grouped kernels, a matrix a group, are our choice.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from rawkd.networks.blocks import DenseGatedBlock

MOMENTUM = 0.95
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration x -> a x + b x^3 + c x^5, which brings every singular value to about 1."""
ITERATIONS = 5
LEAST_SIDE = 16
"""Of a kernel's matrix: thinner ones, and layers that read or write a picture, are Adam's."""
ADAM_LIKE = 0.2
"""Root mean square of a step in units of the learning rate: about Adam's, so that both share one rate."""


def orthogonal(matrices: Tensor) -> Tensor:
    """(n, rows, columns) float32 -> the same singular vectors with singular values of 0.7 to 1.2, computed in bf16."""
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = (matrices if wide else matrices.mT).to(torch.bfloat16)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * 1.02 + 1e-7)
    first, third, fifth = QUINTIC
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=third, alpha=fifth), x, beta=first)
    return (x if wide else x.mT).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Steps of equal strength in every direction, for the kernels of `wide_kernels`."""

    def __init__(self, kernels: Iterable[tuple[Tensor, int]], rate: float) -> None:
        """Of kernels (out, in / groups, height, width) and their numbers of groups."""
        pairs = list(kernels)
        super().__init__([{"params": [kernel for kernel, _ in pairs]}], {"lr": rate})
        self._groups = [groups for _, groups in pairs]

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override] # noqa: ARG002 -- the base class's
        """One step against the gradients; kernels of one shape are computed together."""
        (group,) = self.param_groups
        alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for kernel, groups in zip(group["params"], self._groups, strict=True):
            if kernel.grad is None:
                continue
            momentum = self.state[kernel].setdefault("momentum", torch.zeros_like(kernel))
            momentum.lerp_(kernel.grad, 1 - MOMENTUM)
            ahead = kernel.grad.lerp(momentum, MOMENTUM)  # Nesterov's
            matrices = ahead.reshape(groups, kernel.shape[0] // groups, -1)
            alike[matrices.shape].append((kernel, matrices))
        for shape, members in alike.items():
            steps = orthogonal(torch.cat([matrices for _, matrices in members]))
            rate = group["lr"] * ADAM_LIKE * math.sqrt(max(shape[-2:]))
            for (kernel, _), own in zip(members, torch.split(steps, shape[0]), strict=True):
                kernel.add_(own.reshape(kernel.shape), alpha=-rate)


class MuonAndAdam:
    """Muon for wide kernels, Adam for every other parameter, as one optimiser."""

    def __init__(self, network: nn.Module, adam_rate: float, kernel_rate: float) -> None:
        """Of all parameters of `network`."""
        kernels = wide_kernels(network)
        taken = {id(kernel) for kernel, _ in kernels}
        others = [parameter for parameter in network.parameters() if id(parameter) not in taken]
        self._members = [torch.optim.Adam(others, adam_rate, fused=True), Muon(kernels, kernel_rate)]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Adam's, then Muon's, to set their rates."""
        return [group for member in self._members for group in member.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for member in self._members:
            member.zero_grad(set_to_none)

    def step(self) -> None:
        """One step of both."""
        for member in self._members:
            member.step()

    def state_dict(self) -> dict[str, Any]:
        """Of both, by their place."""
        return {str(place): member.state_dict() for place, member in enumerate(self._members)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As `state_dict` gave it."""
        for place, member in enumerate(self._members):
            member.load_state_dict(state[str(place)])


def wide_kernels(network: nn.Module) -> list[tuple[Tensor, int]]:
    """Kernels of convolutions between features, and their numbers of groups; a gate's halves are two groups.

    The halves are separate maps, and two matrices of half the height cost half the time.
    """
    gates = {id(block.mix) for block in network.modules() if isinstance(block, DenseGatedBlock)}
    return [
        (layer.weight, 2 if id(layer) in gates else layer.groups)
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
        and min(layer.in_channels, layer.out_channels) > LEAST_SIDE
        and min(layer.out_channels // layer.groups, layer.weight[0].numel()) >= LEAST_SIDE
    ]
