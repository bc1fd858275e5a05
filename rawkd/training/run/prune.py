"""Initialise a FA-Net of dense gated blocks with the parts of a larger one that matter most.

A block matters as much as the loss rises without it; `importance` weighs the channels. The steps and the factor for the
norm are our choice. At first the network is worse than the larger one and must be trained.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import torch
from torch import Tensor, nn

from rawkd.errors import ModelError
from rawkd.networks.blocks import DenseGatedBlock
from rawkd.networks.fanet import FANet, FANetConfig
from rawkd.training.data.dataset import Batch
from rawkd.training.run.importance import Importance, Loss, Place, blocks_of, importance_of, level_of

EQUAL_FIELDS = ("shrink", "patch", "align_hidden")
"""Configuration fields that must be equal in both networks."""


@dataclass(frozen=True)
class Parts:
    """The parts of a network that a smaller one keeps.

    Attributes
    ----------
    blocks : positions of the kept blocks in the list of each level. channels : kept channels of each level.
    inner : kept channels behind the gate of each kept block.
    """

    blocks: dict[Place, list[int]]
    channels: dict[Place, Tensor]
    inner: dict[tuple[Place, int], Tensor]


def prune(large: Any, small: Any, loss: Loss, batches: Sequence[Batch]) -> None:
    """Change the weights of `small`, which is newly initialised, to the most important ones of `large`.

    `large` gets the units of noise of `small`, which have no weights, and its parameters no gradients.

    Parameters
    ----------
    loss : the supervised loss. batches : to measure it on, of one crop each, as for the training of `small`.

    Raises
    ------
    ModelError: unless `can_prune`, and both have feature alignment, patches, and skips of half width.
    """
    _refuse_other_shape(large.config, small.config)
    large.eval().requires_grad_(False)
    large.noise_units = small.noise_units
    with ExitStack() as without:
        blocks = _kept_blocks(large, small.config, loss, batches, without)
        parts = _kept_channels(small.config, blocks, importance_of(large, blocks, loss, batches))
        factors = _norm_factors(large, parts, batches)
    _copy(large, small, parts, factors)


def can_prune(large: nn.Module, small: nn.Module) -> bool:
    """Return whether `small` is a FA-Net of dense gated blocks as `large`, for as many planes, and the smaller one.

    That is: no level is wider or deeper, some narrower or shallower.
    """
    if not (isinstance(small, FANet) and isinstance(large, FANet)):
        return False
    if {small.config.block, large.config.block} != {"dense-gated"} or small.config.planes != large.config.planes:
        return False
    few, many = (
        (*network.config.widths, *network.config.encoder_blocks, *network.config.decoder_blocks)
        for network in (small, large)
    )
    same_levels = len(small.config.widths) == len(large.config.widths)
    return same_levels and few != many and all(one <= other for one, other in zip(few, many, strict=True))


def _refuse_other_shape(large: FANetConfig, small: FANetConfig) -> None:
    equal = all(getattr(large, name) == getattr(small, name) for name in EQUAL_FIELDS)
    known = large.patch and large.shrink == 2 and large.align_hidden > 0
    changes = all(one != other for config in (large, small) for one, other in pairwise(config.widths))
    even = all(width % 2 == 0 for width in (*large.widths, *small.widths))
    filled = all((*small.encoder_blocks[1:], *small.decoder_blocks))
    if not (equal and known and changes and even and filled and (large.anchor is None) == (small.anchor is None)):
        raise ModelError(
            "the smaller network cannot start from the larger one. Both must have feature alignment, patches and"
            " skips of half width, with an even width that changes from level to level"
            " and a block at each level but the encoder's finest."
        )


def _places(config: FANetConfig) -> list[tuple[Place, int]]:
    """Return each side and level with its number of blocks."""
    return [
        *((("encoder", level), count) for level, count in enumerate(config.encoder_blocks)),
        *((("decoder", level), count) for level, count in enumerate(config.decoder_blocks)),
    ]


@contextmanager
def _skipped(level: nn.ModuleList, block: int) -> Iterator[None]:
    """Let the features pass a block and its feature-align layer unchanged."""
    hooks = [module.register_forward_hook(lambda _, inputs, __: inputs[0]) for module in level[block : block + 2]]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def _kept_blocks(
    large: FANet, config: FANetConfig, loss: Loss, batches: Sequence[Batch], without: ExitStack
) -> dict[Place, list[int]]:
    """Drop the block whose absence costs least until each level has as many as it should; `without` undoes that."""
    kept = {}
    for place, count in _places(config):
        level = level_of(large, place)
        kept[place] = blocks_of(level)
        while len(kept[place]) > count:
            costs = {}
            for block in kept[place]:
                with _skipped(level, block):
                    cost = sum(float(loss(large, batch)) for batch in batches)
                costs[block] = cost if math.isfinite(cost) else math.inf
            least = min(costs, key=costs.__getitem__)
            without.enter_context(_skipped(level, least))
            kept[place].remove(least)
    return kept


def _kept_channels(config: FANetConfig, blocks: dict[Place, list[int]], importance: Importance) -> Parts:
    channels = {}
    for place, score in importance.channels.items():
        width = config.widths[place[1]]
        if place[0] == "encoder":
            channels[place] = _largest(score, width)
        else:
            half = _largest(score[: len(score) // 2], width // 2)
            channels[place] = torch.cat((half, half + len(score) // 2))
    inner = {key: _largest(score, config.widths[key[0][1]]) for key, score in importance.inner.items()}
    return Parts(blocks, channels, inner)


def _largest(score: Tensor, count: int) -> Tensor:
    return score.topk(count).indices.sort().values


@torch.no_grad()
def _norm_factors(large: FANet, parts: Parts, batches: Sequence[Batch]) -> dict[tuple[Place, int], float]:
    """Return, for each kept block, the rms of its kept input channels as a share of the rms of all of them.

    The norm of the small network divides by the former; its kernels must make up for that.
    """
    shares: dict[tuple[Place, int], list[float]] = {key: [] for key in parts.inner}
    hooks = []
    for key in shares:
        place, block = key

        def see(_: nn.Module, inputs: tuple[Tensor, ...], key: tuple[Place, int] = key) -> None:
            squares = inputs[0].square()
            kept, everything = squares[:, parts.channels[key[0]]].mean(1), squares.mean(1)
            shares[key].append(float((kept / everything.clamp(min=1e-12)).sqrt().mean()))

        hooks.append(level_of(large, place)[block].register_forward_pre_hook(see))
    try:
        for batch in batches:
            large(batch.noisy)
    finally:
        for hook in hooks:
            hook.remove()
    return {key: sum(found) / len(found) for key, found in shares.items()}


@torch.no_grad()
def _copy(large: Any, small: Any, parts: Parts, factors: dict[tuple[Place, int], float]) -> None:
    last = len(small.config.widths) - 1
    encoder = [parts.channels["encoder", level] for level in range(last + 1)]
    decoder = [parts.channels["decoder", level] for level in range(last)] + [encoder[last]]
    _take(large.stem, small.stem, encoder[0], slice(None))
    _take(large.head, small.head, slice(None), decoder[0])
    for level in range(last):
        finer, coarser = encoder[level], encoder[level + 1]
        _take(large.encoder[level + 1][0], small.encoder[level + 1][0], coarser, finer)
        _take(large.up[level], small.up[level], decoder[level], decoder[level + 1])
        _take(large.skips[level], small.skips[level], decoder[level][: len(decoder[level]) // 2], finer)
    for place, kept in parts.blocks.items():
        of_large, of_small, channels = level_of(large, place), level_of(small, place), parts.channels[place]
        for mine, theirs in zip(blocks_of(of_small), kept, strict=True):
            one, other = cast(DenseGatedBlock, of_small[mine]), cast(DenseGatedBlock, of_large[theirs])
            inner = parts.inner[place, theirs]
            both = torch.cat((inner, inner + other.scale.shape[1]))
            _take(other.mix, one.mix, both, channels)
            one.mix.weight.mul_(factors[place, theirs])
            _take(other.leave, one.leave, channels, inner)
            one.scale.copy_(other.scale[:, channels])
            align, wide = of_small[mine + 1], of_large[theirs + 1]
            _take(wide.embed, align.embed, slice(None), slice(None))
            for name in ("gamma", "beta"):
                _take(getattr(wide, name), getattr(align, name), channels, slice(None))


def _take(large: Any, small: Any, rows: Tensor | slice, columns: Tensor | slice) -> None:
    """Copy output channels `rows` and input channels `columns` of a convolution."""
    small.weight.copy_(large.weight[rows][:, columns])
    small.bias.copy_(large.bias[rows])
