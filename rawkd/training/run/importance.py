"""How much each channel of a FA-Net of dense gated blocks matters, for `prune`.

A channel matters by the Fisher information of a mask: the mean square, over crops, of the loss's derivative by a factor
on that channel wherever it occurs. Sources: Theis et al., arXiv 1801.05787; one mask for all layers that share a
channel, Liu et al., ICML 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from rawkd.networks.blocks import DenseGatedBlock
from rawkd.networks.fanet import FANet
from rawkd.training.config import Recipe
from rawkd.training.data.batches import batches_of
from rawkd.training.data.clean import CleanSet
from rawkd.training.data.dataset import Batch

Loss = Callable[[nn.Module, Batch], Tensor]
"""Computes the loss of a network for a batch."""
Place = tuple[str, int]
"""Side ("encoder" or "decoder") and level, finest 0."""
SEED, CROPS = 55, 96
"""Of the crops that importance is measured on (our choice)."""


@dataclass(frozen=True)
class Importance:
    """Importance of channels; only ratios have a meaning.

    Attributes
    ----------
    channels : (width,) by side and level. The two channels of a decoder that add the same channel of a skip have equal
        values: they stay or go together.
    inner : (width,) of the channels behind the gate, by side, level and block.
    """

    channels: dict[Place, Tensor]
    inner: dict[tuple[Place, int], Tensor]


def single_crops(pictures: CleanSet | None, recipe: Recipe, subrange: int) -> list[Batch]:
    """Return crops as in training, each a batch of its own; `batches_of` explains the parameters."""
    made = batches_of(pictures, replace(recipe, batch=1), subrange, seed=SEED, length=CROPS)
    return [made[index] for index in range(CROPS)]


def level_of(network: Any, place: Place) -> nn.ModuleList:
    """Return the modules of a level."""
    side, level = place
    found: nn.ModuleList = getattr(network, side)[level]
    return found


def blocks_of(level: nn.ModuleList) -> list[int]:
    """Return the positions of the blocks among the modules of a level; a feature-align layer follows each."""
    return [index for index, module in enumerate(level) if isinstance(module, DenseGatedBlock)]


def importance_of(network: FANet, blocks: dict[Place, list[int]], loss: Loss, batches: Sequence[Batch]) -> Importance:
    """Return how much the channels of a network matter.

    Parameters
    ----------
    blocks : positions of the blocks that are not skipped, by side and level. batches : of one crop each.
    """
    widths = network.config.widths
    device = network.stem.weight.device
    streams = {place: _mask(widths[place[1]], device) for place in blocks}
    inner = {(place, block): _mask(widths[place[1]], device) for place, kept in blocks.items() for block in kept}
    hooks = [network.stem.register_forward_hook(_times(streams["encoder", 0]))]
    for place, kept in blocks.items():
        level = level_of(network, place)
        parts: list[Any] = [level[index + step] for index in kept for step in (0, 1)]
        if place[0] == "decoder":
            hooks.append(parts[0].register_forward_pre_hook(_times_input(streams[place])))
        elif place[1]:
            parts.append(level[0])
        hooks += [part.register_forward_hook(_times(streams[place])) for part in parts]
    for (place, block), mask in inner.items():
        leave: Any = level_of(network, place)[block].leave
        hooks.append(leave.register_forward_pre_hook(_times_input(mask)))
    masks = [*streams.values(), *inner.values()]
    totals = [torch.zeros_like(mask).flatten() for mask in masks]
    try:
        for batch in batches:
            slopes = torch.autograd.grad(loss(network, batch), masks)
            torch._foreach_add_(totals, [slope.flatten().square() for slope in slopes])
    finally:
        for hook in hooks:
            hook.remove()
    by_level = dict(zip(streams, totals, strict=False))
    for place, total in by_level.items():
        if place[0] == "decoder":
            by_level[place] = total.view(2, -1).sum(0).repeat(2)
    return Importance(by_level, dict(zip(inner, totals[len(streams) :], strict=True)))


def _mask(channels: int, device: torch.device) -> Tensor:
    return torch.ones(1, channels, 1, 1, device=device, requires_grad=True)


def _times(mask: Tensor) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    return lambda _, __, output: output * mask


def _times_input(mask: Tensor) -> Callable[[nn.Module, Any], tuple[Tensor]]:
    return lambda _, inputs: (inputs[0] * mask,)
