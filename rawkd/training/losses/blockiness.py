"""PIQE's block tests in a differentiable form.

Source: Venkatanath et al., NCC 2015. Our choices for the steps without a gradient: a sigmoid replaces every test, and a
soft minimum replaces the smallest deviation among the segments of a block.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rawkd.training.losses.mscn import FEATURE_CONSTANT, mscn, standardise, whole_blocks
from rawkd.training.losses.no_reference import ACTIVE, IMPAIRED, NOISY, BlockMaps

VARIANCE_WIDTH, SEGMENT_WIDTH, NOISE_WIDTH = 0.02, 0.02, 0.1
"""Widths of the sigmoids that replace the tests of a block's variance, segments and noise."""
FEATURE_BLOCK_PX, FEATURE_SEGMENT_PX = 8, 4
NO_VARIANCE = 1e-8
"""Added to a variance before the square root, so that flat blocks have finite gradients."""


def block_tests(features: Tensor) -> Tensor:
    """Return activity, impairment and noise of blocks, (n, 3, c, rows, columns), 0..1, of (n, c, h, w) features."""
    maps = block_maps(standardise(features), FEATURE_CONSTANT, FEATURE_BLOCK_PX, FEATURE_SEGMENT_PX)
    return torch.stack(maps[:3], 1)


def block_maps(maps: Tensor, constant: float, block_px: int, segment_px: int) -> BlockMaps:
    """Return tests (0..1) and variance of blocks, (n, c, rows, columns) each, of (n, c, h, w) maps.

    PIQE itself uses luma 0..255, a constant of 1, and blocks of 16 and segments of 6 pixels.

    Parameters
    ----------
    constant : added to the local standard deviation. block_px, segment_px : side of a block, length of a segment.
    """
    coefficients = mscn(whole_blocks(maps, block_px), constant, "edge")
    blocks = coefficients.unfold(2, block_px, block_px).unfold(3, block_px, block_px)
    variance = _variance(blocks.flatten(-2))
    deviation = _root(variance)
    active = torch.sigmoid((variance - ACTIVE) / VARIANCE_WIDTH)
    impaired = torch.sigmoid((IMPAIRED - _least_segment(blocks, segment_px)) / SEGMENT_WIDTH)
    contrast = _contrast(blocks)
    difference = (deviation - contrast).abs() / torch.maximum(deviation, contrast)
    noisy = torch.sigmoid((deviation - NOISY * difference) / NOISE_WIDTH)
    return BlockMaps(active, active * impaired, active * noisy, variance)


def _least_segment(blocks: Tensor, segment_px: int) -> Tensor:
    """Return the soft minimum of the standard deviations of all segments on the four edges of each block."""
    edges = torch.stack([blocks[..., 0, :], blocks[..., -1, :], blocks[..., 0], blocks[..., -1]], -2)
    deviations = _root(_variance(edges.unfold(-1, segment_px, 1))).flatten(-2)
    return -SEGMENT_WIDTH * torch.logsumexp(deviations / -SEGMENT_WIDTH, -1)


def _contrast(blocks: Tensor) -> Tensor:
    """Return the ratio of the standard deviation of the two middle columns to that of all other columns."""
    middle = blocks.shape[-1] // 2
    centre = blocks[..., middle - 1 : middle + 1]
    surround = torch.cat((blocks[..., : middle - 1], blocks[..., middle + 1 :]), -1)
    return _root(_variance(centre.flatten(-2))) / _root(_variance(surround.flatten(-2)))


def _variance(values: Tensor) -> Tensor:
    """Return the unbiased variance over the last axis; several times faster than `Tensor.var` and its gradient."""
    centred = values - values.mean(-1, keepdim=True)
    return centred.square().sum(-1) / (values.shape[-1] - 1)


def _root(variance: Tensor) -> Tensor:
    return torch.sqrt(variance + NO_VARIANCE)
