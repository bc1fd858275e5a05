"""The optimiser Muon: the momentum of a weight matrix is orthogonalised before the step.

All directions of a layer then learn at the same rate, while Adam follows a few strong ones; docs/training.md states the
gain. Source: Jordan et al., Muon (2024), with its quintic Newton-Schulz iteration; step size, Liu et al., "Muon is
scalable for LLM training" (arXiv 2502.16982, eq. 4). One matrix per group of a grouped convolution is our choice.
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
"""Coefficients of the iteration x -> a x + b x^3 + c x^5, which moves every singular value to about 1."""
ITERATIONS = 5
LEAST_SIDE = 16
"""Smallest side of a kernel's matrix for Muon. Adam trains thinner ones, and layers that read or write a picture."""
ADAM_LIKE = 0.2
"""Rms of a step in units of the learning rate. It is about that of Adam, so that similar learning rates work."""


def orthogonal(matrices: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Return (n, rows, columns) matrices with the same singular vectors and singular values of 0.7 to 1.2.

    The computation is in `dtype`; input and output are float32.
    """
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = (matrices if wide else matrices.mT).to(dtype)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) * 1.02 + 1e-7)
    first, third, fifth = QUINTIC
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=third, alpha=fifth), x, beta=first)
    return (x if wide else x.mT).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """Optimiser with steps of equal size in every direction, for the kernels of `wide_kernels`."""

    def __init__(self, kernels: Iterable[tuple[Tensor, int]], rate: float, dtype: torch.dtype = torch.bfloat16) -> None:
        """Create it for kernels (out, in / groups, height, width), each with its number of groups."""
        pairs = list(kernels)
        super().__init__([{"params": [kernel for kernel, _ in pairs]}], {"lr": rate})
        self._groups = [groups for _, groups in pairs]
        self._dtype = dtype

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override] # noqa: ARG002 -- the base class's
        """Make one step; kernels of the same shape are computed together."""
        (group,) = self.param_groups
        by_shape: dict[torch.Size, list[tuple[Tensor, Tensor]]] = defaultdict(list)
        for kernel, groups in zip(group["params"], self._groups, strict=True):
            if kernel.grad is None:
                continue
            state = self.state[kernel]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(kernel)
            momentum: Tensor = state["momentum"]
            momentum.lerp_(kernel.grad, 1 - MOMENTUM)
            ahead = kernel.grad.lerp(momentum, MOMENTUM)  # Nesterov momentum
            matrices = ahead.reshape(groups, kernel.shape[0] // groups, -1)
            by_shape[matrices.shape].append((kernel, matrices))
        for shape, members in by_shape.items():
            steps = orthogonal(torch.cat([matrices for _, matrices in members]), self._dtype)
            rate = group["lr"] * ADAM_LIKE * math.sqrt(max(shape[-2:]))
            for (kernel, _), own in zip(members, torch.split(steps, shape[0]), strict=True):
                kernel.add_(own.reshape(kernel.shape), alpha=-rate)


class MuonAndAdam:
    """One optimiser with Muon for wide kernels and Adam for all other parameters."""

    def __init__(
        self, network: nn.Module, adam_rate: float, kernel_rate: float, dtype: torch.dtype = torch.bfloat16
    ) -> None:
        """Create it for all parameters of `network` that require gradients."""
        kernels = [(kernel, groups) for kernel, groups in wide_kernels(network) if kernel.requires_grad]
        taken = {id(kernel) for kernel, _ in kernels}
        others = [one for one in network.parameters() if one.requires_grad and id(one) not in taken]
        adam = torch.optim.Adam([{"params": others}], adam_rate, fused=True)  # either list may be empty
        self._members = [adam, Muon(kernels, kernel_rate, dtype)]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Parameter groups of Adam, then of Muon."""
        return [group for member in self._members for group in member.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Reset the gradients."""
        for member in self._members:
            member.zero_grad(set_to_none)

    def step(self) -> None:
        """Make one step with both optimisers."""
        for member in self._members:
            member.step()

    def state_dict(self) -> dict[str, Any]:
        """Return the states of both, with keys "0" (Adam) and "1" (Muon)."""
        return {str(place): member.state_dict() for place, member in enumerate(self._members)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the states that `state_dict` returned."""
        for place, member in enumerate(self._members):
            member.load_state_dict(state[str(place)])


def wide_kernels(network: nn.Module) -> list[tuple[Tensor, int]]:
    """Return the kernels of convolutions between features, each with its number of groups.

    The two halves of a gate count as two groups: they are separate maps, and two matrices of half the height take half
    the time.
    """
    gates = {id(block.mix) for block in network.modules() if isinstance(block, DenseGatedBlock)}
    return [
        (layer.weight, 2 if id(layer) in gates else layer.groups)
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d)
        and min(layer.in_channels, layer.out_channels) > LEAST_SIDE
        and min(layer.out_channels // layer.groups, layer.weight[0].numel()) >= LEAST_SIDE
    ]
