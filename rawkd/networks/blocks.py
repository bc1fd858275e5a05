"""Building blocks that several networks share."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST_SQUARE = 1e-6
"""Added to a pixel's mean square before the division, so that a pixel of zeros gives no division by zero."""
ANSCOMBE = 3 / 8
"""Anscombe's constant: for a Poisson count e, 2 sqrt(e + 3/8) has a standard deviation of nearly 1."""


class ARNetBlock(nn.Module):
    """1x1, ReLU, 3x3 group convolution, ReLU, 1x1; plus an identity shortcut if input and output width are equal.

    Source: MobileNetV2's block with a group convolution in place of the depthwise one (Feature-Align paper, section
    3.1). The shortcut rule is from MobileNetV2; expansion 1 is our choice.
    """

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(in_channels, in_channels, 1)
        self.mix = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=groups)
        self.leave = nn.Conv2d(in_channels, out_channels, 1)
        self.has_shortcut = in_channels == out_channels

    def forward(self, features: Tensor) -> Tensor:
        """Return features of shape (n, out_channels, h, w) for an input of (n, in_channels, h, w)."""
        out: Tensor = self.leave(torch.relu(self.mix(torch.relu(self.enter(features)))))
        return features + out if self.has_shortcut else out


class FeatureAlign(nn.Module):
    """Computes gamma(image) * features + beta(image) at the resolution of the features.

    Starts as the identity (gamma 1, beta 0). Source: Feature-Align paper, eq. 2.
    """

    def __init__(self, image_channels: int, channels: int, hidden: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(image_channels, hidden, 1)
        self.gamma = nn.Conv2d(hidden, channels, 1)
        self.beta = nn.Conv2d(hidden, channels, 1)
        for conv, bias in ((self.gamma, 1.0), (self.beta, 0.0)):
            nn.init.zeros_(conv.weight)
            nn.init.constant_(conv.bias, bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """Return features of shape (n, channels, h, w) for such features and an (n, image_channels, h, w) image."""
        embedded = torch.relu(self.embed(image))
        return torch.addcmul(self.beta(embedded), self.gamma(embedded), features)


class GatedBlock(nn.Module):
    """A spatial half and a channel half, each with a norm, a gate instead of an activation, and a residual from zero.

    Source: NAFNet, Chen et al., ECCV 2022 (arXiv 2204.04676). Two changes are our choice. We leave out its channel
    attention: without global pooling, a tile's output is exact beyond the halo. We use `rms_norm` instead of layer
    norm, because a CPU computes it in half the time.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(width, 2 * width, 1)
        self.mix = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width)
        self.leave = nn.Conv2d(width, width, 1)
        self.widen = nn.Conv2d(width, 2 * width, 1)
        self.narrow = nn.Conv2d(width, width, 1)
        self.scale_space = nn.Parameter(torch.zeros(1, width, 1, 1))
        self.scale_channels = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape as the input, (n, width, h, w)."""
        features = features + self.scale_space * self.leave(gate(self.mix(self.enter(rms_norm(features)))))
        out: Tensor = features + self.scale_channels * self.narrow(gate(self.widen(rms_norm(features))))
        return out


class DenseGatedBlock(nn.Module):
    """A norm, a full 3x3 convolution, a gate, a 1x1 convolution, and a residual that starts at zero.

    This is the first half of `GatedBlock` with one full convolution instead of the 1x1 and depthwise pair. Full
    convolutions run on a CPU's matrix unit; depthwise ones are limited by memory bandwidth. Our choice
    (docs/training-log.md has the comparison).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.leave = nn.Conv2d(width, width, 1)
        self.scale = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape as the input, (n, width, h, w)."""
        out: Tensor = features + self.scale * self.leave(gate(self.mix(rms_norm(features))))
        return out


def rms_norm(features: Tensor) -> Tensor:
    """Return (n, c, h, w) features whose channels have a mean square of 1 at every pixel.

    Pixels near zero stay near zero. Source: Zhang & Sennrich, NeurIPS 2019, without the learned gain: the convolution
    that follows already contains it.
    """
    return features * torch.rsqrt(features.square().mean(1, keepdim=True) + LEAST_SQUARE)


def gate(features: Tensor) -> Tensor:
    """Return the product of the two halves of the channels: (n, 2c, h, w) -> (n, c, h, w)."""
    first, second = features.chunk(2, 1)
    return first * second


class ResidualBlock(nn.Module):
    """3x3, ReLU, 3x3, plus an identity shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape as the input, (n, width, h, w)."""
        out: Tensor = features + self.body(features)
        return out


class DenseBlock(nn.Module):
    """Densely connected 3x3 convolutions, a 1x1 convolution that merges them, and an identity shortcut.

    Every layer takes the outputs of all layers before it and adds `growth` channels. Source: the residual dense block
    of RDN (Zhang et al., CVPR 2018).
    """

    def __init__(self, width: int, growth: int, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(width + growth * index, growth, 3, padding=1) for index in range(num_layers)
        )
        self.leave = nn.Conv2d(width + growth * num_layers, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape as the input, (n, width, h, w)."""
        seen = features
        for layer in self.layers:
            seen = torch.cat((seen, torch.relu(layer(seen))), 1)
        out: Tensor = features + self.leave(seen)
        return out


class ChannelAttention(nn.Module):
    """Multiplies each channel by a weight that is computed from local means of the features.

    Source: RCAN, ECCV 2018, which takes the means over the whole input. That is a crop in training but a much larger
    area in a photo. We take them over windows of about the size of a crop, so both see the same statistics and a tile's
    output is exact beyond the halo. Chu et al., ECCV 2022, use such windows after training; the cells and the window
    size are our choice (docs/accuracy.md).
    """

    window_cells = 5
    """Side of the window, in cells."""

    def __init__(self, width: int, hidden: int, cell_px: int) -> None:
        """Create the layer. Height and width of its features must be multiples of `cell_px`."""
        super().__init__()
        self.cell_px = cell_px
        self.weigh = nn.Sequential(nn.Conv2d(width, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, width, 1), nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape as the input, (n, width, h, w)."""
        weights = self.weigh(averaged(F.avg_pool2d(features, self.cell_px), self.window_cells))
        out: Tensor = features * spread(weights, self.cell_px)
        return out


def averaged(cells: Tensor, window_cells: int) -> Tensor:
    """Return the mean over the window around every cell, (n, c, h, w); at the edge, over the cells that exist."""
    return F.avg_pool2d(cells, window_cells, 1, window_cells // 2, count_include_pad=False)


def spread(cells: Tensor, cell_px: int) -> Tensor:
    """Return (n, c, h, w) cell values at pixel resolution; bilinear, so that the grid of cells does not show."""
    return F.interpolate(cells, scale_factor=float(cell_px), mode="bilinear", align_corners=False)


def with_variance(planes: Tensor, gain: float | Tensor, read_variance: float | Tensor) -> Tensor:
    """Return (n, 8, h, w): the (n, 4, h, w) planes and an estimate of their noise variance, gain * max(x, 0) + read.

    Source: the variance map of unprocessing (Brooks et al. 2019), computed from the noisy values. For anchored values,
    pass the noise of the anchor.

    Parameters
    ----------
    gain, read_variance : numbers, or tensors of shape (n, 4, 1, 1).
    """
    return torch.cat((planes, torch.clamp(planes, min=0) * gain + read_variance), 1)


def group_means(planes: Tensor, groups: Sequence[int]) -> Tensor:
    """Return the mean of the planes of each group, (n, number of groups, h, w), of (n, planes, h, w)."""
    members = ([plane for plane, other in enumerate(groups) if other == one] for one in range(max(groups) + 1))
    return torch.cat([planes[:, some].mean(1, keepdim=True) for some in members], 1)


class NoiseUnits(nn.Module):
    """Converts an anchored mosaic to units of its own noise and back.

    One set of weights then works for every exposure, and bf16 is precise enough. With anchor (k, v),
    ``e = y / k + v / k^2`` counts equivalent electrons: Var e = E[e] (the k-sigma transform, PMRID section 3.2). The
    Anscombe transform ``f = 2 sqrt(e + 3/8)``, continued as a straight line below e = 0, has noise of standard
    deviation 1 at every sample, bright or dark. The network gets f minus its local mean and returns what to subtract
    from f. Our choice.
    """

    local_px = 2
    """Side of a cell of the local mean, packed pixels. Input height and width must be multiples of it."""
    window_cells = 5
    """Side of the window of cells. The local mean averages twice over it; it slides, so that no grid shows."""

    def __init__(
        self,
        gain: float,
        read_variance: float,
        guide_limit: float | None = None,
        local_px: int = local_px,
        window_cells: int = window_cells,
        groups: Sequence[int] = (),
    ) -> None:
        """Create the conversion for an anchor.

        The network cannot see what a local mean keeps of the noise: with 36 planes of X-Trans, each averaged by itself,
        that is 1/54 of the variance. Wider windows and groups of planes keep less.

        Parameters
        ----------
        guide_limit, groups : limit of the guide's structure, and group of every plane (`FANetConfig`).
        """
        super().__init__()
        self.gain, self.guide_limit, self.local_px = gain, guide_limit, local_px
        self.offset = read_variance / gain**2
        self.window_cells, self.groups = window_cells, tuple(groups)

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return structure (n, c, h, w), guide (n, 2c, h, w) and f (n, c, h, w) of (n, c, h, w) anchored values.

        The structure is f minus its local mean. The guide, for feature-align layers, holds the level log(1 + e) and the
        structure, each times 0.25. `subtract` needs f.
        """
        electrons = planes * (1 / self.gain) + self.offset
        positive = torch.clamp(electrons, min=0)
        stabilised = 2 * torch.sqrt(positive + ANSCOMBE) + (electrons - positive) * ANSCOMBE**-0.5
        cells = F.avg_pool2d(stabilised, self.local_px) if self.local_px > 1 else stabilised
        if self.groups:
            cells = group_means(cells, self.groups)
        cells = averaged(averaged(cells, self.window_cells), self.window_cells)
        if self.groups:
            cells = cells[:, self.groups]
        structure = stabilised - (spread(cells, self.local_px) if self.local_px > 1 else cells)
        guide = structure * 0.25
        if self.guide_limit is not None:
            guide = torch.clamp(guide, -self.guide_limit, self.guide_limit)
        return structure, torch.cat((torch.log1p(positive) * 0.25, guide), 1), stabilised

    def subtract(self, stabilised: Tensor, output: Tensor) -> Tensor:
        """Return f - output converted back to anchored values: e = (f / 2)^2 - 3/8, and the line below e = 0."""
        cleaned = stabilised - output
        curved = torch.clamp(cleaned, min=2 * ANSCOMBE**0.5)
        electrons = curved * curved * 0.25 - ANSCOMBE + (cleaned - curved) * ANSCOMBE**0.5
        restored: Tensor = (electrons - self.offset) * self.gain
        return restored
