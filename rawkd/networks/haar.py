"""The orthonormal Haar wavelet transform of feature maps and its exact inverse.

Channel c becomes channels 4c..4c+3 = LL, LH, HL, HH at half size (the convention of MWRCANet's published network).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def dwt(features: Tensor) -> Tensor:
    """(n, c, h, w) -> (n, 4c, h/2, w/2); h and w even."""
    a, b = features[..., 0::2, 0::2], features[..., 0::2, 1::2]
    c, d = features[..., 1::2, 0::2], features[..., 1::2, 1::2]
    bands = torch.stack((a + b + c + d, a + b - c - d, a - b + c - d, b + c - a - d), 2) * 0.5
    return bands.flatten(1, 2)


def iwt(bands: Tensor) -> Tensor:
    """(n, 4c, h, w) -> (n, c, 2h, 2w): the inverse of `dwt`."""
    n, channels, h, w = bands.shape
    a, b, c, d = _corners(*bands.reshape(n, channels // 4, 4, h, w).unbind(2))
    top = torch.stack((a, b), -1).flatten(-2)
    bottom = torch.stack((c, d), -1).flatten(-2)
    return torch.stack((top, bottom), -2).flatten(-3, -2) * 0.5


def _corners(ll: Tensor, lh: Tensor, hl: Tensor, hh: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Twice the four pixels of every cell, row by row."""
    return ll + lh + hl - hh, ll + lh - hl + hh, ll - lh + hl + hh, ll - lh - hl - hh


class DWTConv(nn.Conv2d):
    """`dwt` and a 1x1 convolution of its bands in one pass: a 2x2 convolution with stride 2 of mixed weights.

    The transform is orthonormal, so the weights of the pixels are the inverse transform of those of the bands. On a CPU
    the transform alone would take longer than the convolutions around it.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(4 * channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, out_channels, h/2, w/2); h and w even."""
        bands = self.weight.reshape(self.out_channels, -1, 4).unbind(2)
        pixels = torch.stack(_corners(*bands), 2) * 0.5
        return F.conv2d(features, pixels.reshape(self.out_channels, -1, 2, 2), self.bias, stride=2)


class ConvIWT(nn.Conv2d):
    """A 1x1 convolution and `iwt` of its answer in one pass: the convolution gives the pixels of every cell."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(in_channels, 4 * channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(n, in_channels, h, w) -> (n, channels, 2h, 2w)."""
        weight = torch.stack(_corners(*self.weight.reshape(-1, 4, self.in_channels).unbind(1)), 1) * 0.5
        bias = None
        if self.bias is not None:
            bias = (torch.stack(_corners(*self.bias.reshape(-1, 4).unbind(1)), 1) * 0.5).flatten()
        return F.pixel_shuffle(F.conv2d(features, weight.reshape(self.weight.shape), bias), 2)
