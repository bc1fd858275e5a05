"""Initialise a FA-Net with the weights of a smaller one, so that it computes the same function at first.

Source: Net2Net (Chen et al., ICLR 2016): layers become wider, and new blocks start as the identity. New channels are
zero at first. The weights that read them stay random, so that every new channel can learn. The positions of the old
channels and the factor for the norm are our choice.

A network for X-Trans can start from the body of one for Bayer. Its stem stays random and its head zero, so it starts as
the identity; its guide reads the mean of each colour.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rawkd.errors import ModelError
from rawkd.networks.blocks import DenseGatedBlock, FeatureAlign, GatedBlock
from rawkd.networks.fanet import FANet, FANetConfig
from rawkd.photo import CFAPattern
from rawkd.sensor.cfa import lattices_of

EQUAL_FIELDS = ("shrink", "patch", "block", "align_hidden")
"""Configuration fields that must be equal in both networks; `patch` only for equal planes. `guide_limit` may differ: a
limit changes nothing within the training range of the small network."""
GROWN_BLOCKS = ("gated", "dense-gated")


@torch.no_grad()
def grow(small: nn.Module, large: nn.Module) -> None:
    """Change the weights of `large`, which is newly initialised, so that it computes the function of `small`.

    If they take other planes, only the body is copied: the first blocks of each level, as many as both have.

    Raises
    ------
    ModelError: unless both are FA-Nets with gated blocks, skips of half width and the same number of levels, no level
        of `large` is narrower. For the same planes, both must have patches, and no level may be shallower.
    """
    if not (isinstance(small, FANet) and isinstance(large, FANet)):
        raise ModelError("only a FA-Net can start from the weights of another FA-Net of a different size")
    _refuse_other_shape(small, large)
    _grow(small, large, [_halves(*pair) for pair in zip(small.config.widths, large.config.widths, strict=True)])


def _grow(small: Any, large: Any, places: list[Tensor]) -> None:
    """Copy all weights; `places` are the positions of the small network's channels in the large one, by level."""
    if small.config.planes == large.config.planes:
        _write(large.stem, small.stem, places[0], slice(None))
        large.head.weight[:, places[0]] = small.head.weight
        large.head.bias.copy_(small.head.bias)
    for level, (own, levels) in enumerate(zip(places, small.encoder, strict=True)):
        _grow_level(levels, large.encoder[level], own)
        if level:
            finer, coarser = places[level - 1], own
            _write(large.encoder[level][0], small.encoder[level][0], coarser, finer)
            _write(large.up[level - 1], small.up[level - 1], finer, coarser)
            _write(large.skips[level - 1], small.skips[level - 1], torch.arange(len(finer) // 2), finer)
            _grow_level(small.decoder[level - 1], large.decoder[level - 1], finer)


def _refuse_other_shape(small: FANet, large: FANet) -> None:
    one, other = small.config, large.config
    mine, theirs = one.widths, other.widths
    if one.planes == other.planes and len(mine) == len(theirs):
        mine, theirs = ((*config.widths, *config.encoder_blocks, *config.decoder_blocks) for config in (one, other))
    more = len(mine) == len(theirs) and all(few <= many for few, many in zip(mine, theirs, strict=True))
    known = (
        one.block in GROWN_BLOCKS
        and one.patch
        and one.shrink == 2
        and _changes_by_halves(one)
        and _changes_by_halves(other)
    )
    names = [name for name in EQUAL_FIELDS if one.planes == other.planes or name != "patch"]
    equal = all(getattr(one, name) == getattr(other, name) for name in names)
    if not (more and known and equal and (one.anchor is None) == (other.anchor is None)):
        raise ModelError(
            "the larger network cannot start from the smaller one. Both must be FA-Nets with gated blocks, patches (of "
            "Bayer) and skips of half width, the larger one nowhere narrower or shallower, with a width that changes "
            f"from level to level. These are: {_described(one)}; {_described(other)}"
        )


def _described(config: FANetConfig) -> str:
    kind = ", ".join(f"{name} {getattr(config, name)}" for name in EQUAL_FIELDS)
    return f"widths {config.widths}, blocks {config.encoder_blocks} and {config.decoder_blocks}, {kind}"


def _changes_by_halves(config: FANetConfig) -> bool:
    """Return whether all widths are even and every level but the finest starts with a 1x1 convolution."""
    even = all(width % 2 == 0 for width in config.widths)
    return even and all(few != many for few, many in pairwise(config.widths)) and all(config.encoder_blocks[1:])


def _halves(few: int, many: int) -> Tensor:
    """Return the positions of `few` channels among `many`; each half goes into its half, for gates and tiled skips."""
    half = torch.arange(few // 2)
    return torch.cat((half, half + many // 2))


def _write(large: Any, small: Any, rows: Tensor, columns: Tensor | slice) -> None:
    """Copy a convolution into output channels `rows` and input channels `columns`; other outputs become zero."""
    kept = large.weight[rows].clone()
    kept[:, columns] = small.weight
    large.weight.zero_()
    large.weight[rows] = kept
    large.bias.zero_()
    large.bias[rows] = small.bias


def _grow_level(small: Any, large: Any, places: Tensor) -> None:
    """Copy the blocks of a level; further blocks of the large level start as the identity."""
    for few, many in zip(
        (block for block in small if not isinstance(block, nn.Conv2d)),
        (block for block in large if not isinstance(block, nn.Conv2d)),
        strict=False,
    ):
        if isinstance(few, GatedBlock):
            _grow_block(few, many, places)
        elif isinstance(few, DenseGatedBlock):
            _grow_dense_block(few, many, places)
        elif isinstance(few, FeatureAlign):
            _grow_align(few, many, places)


def _grow_block(small: Any, large: Any, places: Tensor) -> None:
    few, many = small.leave.weight.shape[0], large.leave.weight.shape[0]
    hidden = torch.cat((places, places + many))  # positions in both halves of a gate
    factor = math.sqrt(few / many)  # the norm divides by a mean over more channels, so its output is larger
    for name in ("enter", "widen"):
        wide, narrow = getattr(large, name), getattr(small, name)
        wide.weight[hidden[:, None], places] = narrow.weight * factor
        wide.bias[hidden] = narrow.bias
    large.mix.weight[hidden] = small.mix.weight
    large.mix.bias[hidden] = small.mix.bias
    for name in ("leave", "narrow"):
        wide, narrow = getattr(large, name), getattr(small, name)
        kept = torch.zeros_like(wide.weight[places])
        kept[:, places] = narrow.weight
        wide.weight[places] = kept
        wide.bias[places] = narrow.bias
    large.scale_space[:, places] = small.scale_space
    large.scale_channels[:, places] = small.scale_channels


def _grow_dense_block(small: Any, large: Any, places: Tensor) -> None:
    few, many = small.leave.weight.shape[0], large.leave.weight.shape[0]
    hidden = torch.cat((places, places + many))
    large.mix.weight[hidden[:, None], places] = small.mix.weight * math.sqrt(few / many)
    large.mix.bias[hidden] = small.mix.bias
    kept = torch.zeros_like(large.leave.weight[places])
    kept[:, places] = small.leave.weight
    large.leave.weight[places] = kept
    large.leave.bias[places] = small.leave.bias
    large.scale[:, places] = small.scale


def _of_colours(weight: Tensor, channels: int) -> Tensor:
    """Return the weights of a Bayer guide, (hidden, 8, 1, 1), for a guide of X-Trans: the mean of each colour.

    Parameters
    ----------
    channels : of the other guide: 8, or 72 (all sites) or 18 (the lattices of half cells).
    """
    if weight.shape[1] == channels:
        return weight
    red, green_r, green_b, blue = weight.reshape(len(weight), 2, 4).unbind(2)
    of_colour = torch.stack((red, green_r + green_b, blue), 2)
    if channels == 2 * CFAPattern.XTRANS.side**2:
        colours = CFAPattern.XTRANS.class_of_site.ravel()
    else:
        _, sites = lattices_of(CFAPattern.XTRANS)
        colours = CFAPattern.XTRANS.class_of_site[tuple(sites[:, 0, 0].T)]
    index = torch.from_numpy(colours.copy()).to(weight.device)
    shares = of_colour / torch.from_numpy(np.bincount(colours, minlength=3)).to(weight.device)
    return shares[:, :, index].reshape(len(weight), channels, 1, 1)


def _grow_align(small: Any, large: Any, places: Tensor) -> None:
    large.embed.weight.copy_(_of_colours(small.embed.weight, large.embed.weight.shape[1]))
    large.embed.bias.copy_(small.embed.bias)
    for name in ("gamma", "beta"):
        wide, narrow = getattr(large, name), getattr(small, name)
        wide.weight[places] = narrow.weight
        wide.bias[places] = narrow.bias
