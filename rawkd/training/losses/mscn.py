"""MSCN coefficients (mean-subtracted, contrast-normalised) with gradients, the first step of BRISQUE and PIQE.

Sources: `rawkd.training.losses.no_reference`. Feature maps are standardised per channel first, and their constant is
`FEATURE_CONSTANT` (our choice). Filters are matrix products along rows and columns, which is faster than convolutions
of single channels.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rawkd.photo import DoubleArray
from rawkd.training.losses.no_reference import HALVING, WINDOW_PX, gaussian_window

Places = NDArray[np.signedinteger]
Border = Literal["zero", "edge", "mirror"]
"""Padding: zeros, the repeated edge value, or the picture mirrored including its edge."""

FEATURE_CONSTANT = 0.05
"""Added to the local standard deviation of standardised features. The published value is 1, for luma 0..255."""
LEAST_VARIANCE = 1e-6
"""Added to variances before the square root: of channels, and of windows in units of the constant squared."""


def standardise(features: Tensor) -> Tensor:
    """Return (n, c, h, w) features with mean 0 and variance 1 in each channel of each crop; flat channels become 0.

    The result is contiguous: rows and columns of a channels-last tensor are filtered several times more slowly.
    """
    features = features.contiguous()
    centred = features - features.mean((2, 3), keepdim=True)
    return centred * torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + LEAST_VARIANCE)


def mscn(maps: Tensor, constant: float, border: Border) -> Tensor:
    """Return (maps - local mean) / (local standard deviation + constant), (n, c, h, w), any size.

    Parameters
    ----------
    border : "zero" as in BRISQUE, or "edge" as in PIQE.
    """
    filters = [_filter(length, border) for length in maps.shape[-2:]]
    mean = _filtered(maps, *filters)
    variance = (_filtered(maps * maps, *filters) - mean * mean).clamp(min=0)
    return (maps - mean) / (torch.sqrt(variance + LEAST_VARIANCE * constant**2) + constant)


def half_size(maps: Tensor) -> Tensor:
    """Return the maps at half size, (n, c, ceil(h / 2), ceil(w / 2)); edges are mirrored."""
    return _filtered(maps, *(_halving(length) for length in maps.shape[-2:]))


def whole_blocks(maps: Tensor, block_px: int) -> Tensor:
    """Return the maps padded at the bottom and right by (repeated) mirroring to multiples of `block_px`."""
    for axis in (-2, -1):
        length = maps.shape[axis]
        if length % block_px == 0:
            continue
        place = _places(np.arange(length + -length % block_px), length, "mirror")
        maps = maps.index_select(axis, torch.as_tensor(place, device=maps.device))
    return maps


def _filtered(maps: Tensor, of_columns: DoubleArray, of_rows: DoubleArray) -> Tensor:
    across = maps @ torch.as_tensor(of_rows).to(maps).T
    return torch.as_tensor(of_columns).to(maps) @ across


@cache
def _filter(length: int, border: Border) -> DoubleArray:
    return _matrix(np.arange(length) - WINDOW_PX // 2, gaussian_window(), length, border)


@cache
def _halving(length: int) -> DoubleArray:
    starts = np.arange(0, length, 2) - (len(HALVING) // 2 - 1)
    return _matrix(starts, np.array(HALVING) / 256, length, "mirror")


def _matrix(starts: Places, taps: DoubleArray, length: int, border: Border) -> DoubleArray:
    """Return a (len(starts), length) filter matrix; row i applies the taps from sample starts[i] on."""
    matrix = np.zeros((len(starts), length))
    for offset, tap in enumerate(taps):
        samples = starts + offset
        inside = (samples >= 0) & (samples < length) if border == "zero" else np.full(len(starts), True)
        np.add.at(matrix, (np.flatnonzero(inside), _places(samples[inside], length, border)), tap)
    return matrix


def _places(samples: Places, length: int, border: Border) -> Places:
    """Return the positions of samples on an axis, with padding for those outside it."""
    if border == "mirror":
        turn = samples % (2 * length)
        return np.minimum(turn, 2 * length - 1 - turn)
    return np.clip(samples, 0, length - 1)
