"""The orthonormal Haar wavelet transform of feature maps, and its exact inverse.

Channel c becomes channels 4c..4c+3 = LL, LH, HL, HH at half size, as in the published MWRCANet.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def dwt(features: Tensor) -> Tensor:
    """Return the wavelet bands, (n, 4c, h/2, w/2), of (n, c, h, w) features; h and w must be even."""
    a, b = features[..., 0::2, 0::2], features[..., 0::2, 1::2]
    c, d = features[..., 1::2, 0::2], features[..., 1::2, 1::2]
    bands = torch.stack((a + b + c + d, a + b - c - d, a - b + c - d, b + c - a - d), 2) * 0.5
    return bands.flatten(1, 2)


def iwt(bands: Tensor) -> Tensor:
    """Return the features, (n, c, 2h, 2w), of (n, 4c, h, w) bands: the inverse of `dwt`."""
    n, channels, h, w = bands.shape
    a, b, c, d = _corners(*bands.reshape(n, channels // 4, 4, h, w).unbind(2))
    top = torch.stack((a, b), -1).flatten(-2)
    bottom = torch.stack((c, d), -1).flatten(-2)
    return torch.stack((top, bottom), -2).flatten(-3, -2) * 0.5


def _corners(ll: Tensor, lh: Tensor, hl: Tensor, hh: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return twice the values of the four pixels of every cell, row by row."""
    return ll + lh + hl - hh, ll + lh - hl + hh, ll - lh + hl + hh, ll - lh - hl - hh


class DWTConv(nn.Conv2d):
    """Applies `dwt` and then a 1x1 convolution, computed as one 2x2 convolution with stride 2.

    The transform is orthonormal, so the pixel weights are the inverse transform of the band weights. On a CPU the
    transform alone would take longer than the convolutions around it.
    """

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__(4 * channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of shape (n, out_channels, h/2, w/2) for an input of (n, channels, h, w); h and w even."""
        bands = self.weight.reshape(self.out_channels, -1, 4).unbind(2)
        pixels = torch.stack(_corners(*bands), 2) * 0.5
        return F.conv2d(features, pixels.reshape(self.out_channels, -1, 2, 2), self.bias, stride=2)


class ConvIWT(nn.Conv2d):
    """Applies a 1x1 convolution and then `iwt`, computed as one convolution and a pixel shuffle."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(in_channels, 4 * channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of shape (n, channels, 2h, 2w) for an input of (n, in_channels, h, w)."""
        weight = torch.stack(_corners(*self.weight.reshape(-1, 4, self.in_channels).unbind(1)), 1) * 0.5
        bias = None
        if self.bias is not None:
            bias = (torch.stack(_corners(*self.bias.reshape(-1, 4).unbind(1)), 1) * 0.5).flatten()
        return F.pixel_shuffle(F.conv2d(features, weight.reshape(self.weight.shape), bias), 2)
