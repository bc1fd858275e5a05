"""MSCN coefficients with gradients: what both no-reference extractors begin with.

Sources: `rawkd.training.losses.no_reference`. Of feature maps, channels are standardised first and the constant beside
the deviation is `FEATURE_CONSTANT` (our choice). Filters are matrices along rows and columns, which is
faster than convolutions of single channels.
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
"""What lies beyond the border: nothing, its value again and again, or the picture mirrored with its edge repeated."""

FEATURE_CONSTANT = 0.05
"""Added to local deviations of standardised features; published is 1, of luma 0..255."""
LEAST_VARIANCE = 1e-6
"""Added to variances under roots: of channels, and of windows in units of the constant squared."""


def standardise(features: Tensor) -> Tensor:
    """(n, c, h, w) -> each channel of each crop with mean 0 and variance 1; flat channels become 0."""
    centred = features - features.mean((2, 3), keepdim=True)
    return centred * torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + LEAST_VARIANCE)


def mscn(maps: Tensor, constant: float, border: Border) -> Tensor:
    """(n, c, h, w) less its local mean, over its local deviation + `constant`; any size.

    Parameters
    ----------
    border : "zero" as BRISQUE has it, or "edge" as PIQE has it.
    """
    filters = [_filter(length, border) for length in maps.shape[-2:]]
    mean = _filtered(maps, *filters)
    variance = (_filtered(maps * maps, *filters) - mean * mean).clamp(min=0)
    return (maps - mean) / (torch.sqrt(variance + LEAST_VARIANCE * constant**2) + constant)


def half_size(maps: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, c, ceil(h / 2), ceil(w / 2)), edges mirrored."""
    return _filtered(maps, *(_halving(length) for length in maps.shape[-2:]))


def whole_blocks(maps: Tensor, block_px: int) -> Tensor:
    """(n, c, h, w) mirrored below and to the right, over and over where needed, up to multiples of `block_px`."""
    for axis in (-2, -1):
        length = maps.shape[axis]
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
    """(len(starts), length) sums of taps over samples from each start on."""
    matrix = np.zeros((len(starts), length))
    for offset, tap in enumerate(taps):
        samples = starts + offset
        inside = (samples >= 0) & (samples < length) if border == "zero" else np.full(len(starts), True)
        np.add.at(matrix, (np.flatnonzero(inside), _places(samples[inside], length, border)), tap)
    return matrix


def _places(samples: Places, length: int, border: Border) -> Places:
    """Where samples of an axis are found, those beyond its border by what lies there."""
    if border == "mirror":
        turn = samples % (2 * length)
        return np.minimum(turn, 2 * length - 1 - turn)
    return np.clip(samples, 0, length - 1)
