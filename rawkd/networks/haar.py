"""The orthonormal Haar wavelet transform of feature maps and its exact inverse.

Channel c becomes channels 4c..4c+3 = LL, LH, HL, HH at half size (the convention of MWRCANet's published network).
"""

from __future__ import annotations

import torch
from torch import Tensor


def dwt(features: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, 4c, h/2, w/2); h and w even."""
    a, b = features[..., 0::2, 0::2], features[..., 0::2, 1::2]
    c, d = features[..., 1::2, 0::2], features[..., 1::2, 1::2]
    bands = torch.stack((a + b + c + d, a + b - c - d, a - b + c - d, b + c - a - d), 2) * 0.5
    return bands.flatten(1, 2)


def iwt(bands: Tensor) -> Tensor:
    """(n, 4c, h, w) -> (n, c, 2h, 2w): the inverse of `dwt`."""
    n, channels, h, w = bands.shape
    ll, lh, hl, hh = bands.reshape(n, channels // 4, 4, h, w).unbind(2)
    a, b = ll + lh + hl - hh, ll + lh - hl + hh
    c, d = ll - lh + hl + hh, ll - lh - hl - hh
    top = torch.stack((a, b), -1).flatten(-2)
    bottom = torch.stack((c, d), -1).flatten(-2)
    return torch.stack((top, bottom), -2).flatten(-3, -2) * 0.5
