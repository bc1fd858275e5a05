"""Blocks that two networks or more are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEAST_SQUARE = 1e-6
"""Added to a pixel's mean square, so that a pixel of zeros can be scaled."""
ANSCOMBE = 3 / 8
"""Anscombe's constant: 2 sqrt(e + 3/8) of a Poisson number e has a deviation of nearly 1."""


class ARNetBlock(nn.Module):
    """1x1, ReLU, 3x3 group convolution, ReLU, 1x1; identity shortcut where the width is kept.

    MobileNetV2's block with its depthwise convolution replaced by a group convolution (Feature-Align paper, section
    3.1; the shortcut rule is MobileNetV2's, expansion 1 our choice).
    """

    def __init__(self, in_channels: int, out_channels: int, groups: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(in_channels, in_channels, 1)
        self.mix = nn.Conv2d(in_channels, in_channels, 3, padding=1, groups=groups)
        self.leave = nn.Conv2d(in_channels, out_channels, 1)
        self.has_shortcut = in_channels == out_channels

    def forward(self, features: Tensor) -> Tensor:
        """(n, in_channels, h, w) -> (n, out_channels, h, w)."""
        out: Tensor = self.leave(torch.relu(self.mix(torch.relu(self.enter(features)))))
        return features + out if self.has_shortcut else out


class FeatureAlign(nn.Module):
    """gamma(image) * features + beta(image), at the features' resolution (Feature-Align paper, eq. 2).

    Starts as the identity: gamma 1, beta 0.
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
        """(n, channels, h, w) features and (n, image_channels, h, w) image -> features."""
        embedded = torch.relu(self.embed(image))
        return torch.addcmul(self.beta(embedded), self.gamma(embedded), features)


class GatedBlock(nn.Module):
    """Space, then channels: each a norm, a gate in place of an activation, and a residual that starts at nothing.

    Source: NAFNet, Chen et al., ECCV 2022 (arXiv 2204.04676), without its channel attention: with no global pooling a
    tile's answer is exact beyond the halo. Its layer norm is an `rms_norm`, which a CPU computes in half the time.
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
        """(n, width, h, w) -> the same."""
        features = features + self.scale_space * self.leave(gate(self.mix(self.enter(rms_norm(features)))))
        out: Tensor = features + self.scale_channels * self.narrow(gate(self.widen(rms_norm(features))))
        return out


class DenseGatedBlock(nn.Module):
    """A norm, a full 3x3 convolution into a gate, a 1x1 convolution, and a residual that starts at zero.

    The first half of `GatedBlock` with one full convolution in place of its 1x1 and depthwise pair. Full convolutions
    run on a CPU's matrix unit; depthwise ones wait for memory. Our choice (docs/training-log.md has the comparison).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.leave = nn.Conv2d(width, width, 1)
        self.scale = nn.Parameter(torch.zeros(1, width, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, h, w) -> the same."""
        out: Tensor = features + self.scale * self.leave(gate(self.mix(rms_norm(features))))
        return out


def rms_norm(features: Tensor) -> Tensor:
    """(n, c, h, w) with every pixel's channels scaled to a mean square of 1; those near nothing stay so.

    Source: Zhang & Sennrich, NeurIPS 2019, without its gain, which the 1x1 convolution behind it holds already.
    """
    return features * torch.rsqrt(features.square().mean(1, keepdim=True) + LEAST_SQUARE)


def gate(features: Tensor) -> Tensor:
    """(n, 2c, h, w) -> (n, c, h, w), the product of both halves of the channels."""
    first, second = features.chunk(2, 1)
    return first * second


class ResidualBlock(nn.Module):
    """3x3, ReLU, 3x3, plus identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, h, w) -> the same."""
        out: Tensor = features + self.body(features)
        return out


class DenseBlock(nn.Module):
    """Every layer sees all before it and adds `growth` channels; a 1x1 convolution sums up; plus identity.

    The residual dense block of RDN (Zhang et al., CVPR 2018).
    """

    def __init__(self, width: int, growth: int, num_layers: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Conv2d(width + growth * index, growth, 3, padding=1) for index in range(num_layers)
        )
        self.leave = nn.Conv2d(width + growth * num_layers, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, h, w) -> the same."""
        seen = features
        for layer in self.layers:
            seen = torch.cat((seen, torch.relu(layer(seen))), 1)
        out: Tensor = features + self.leave(seen)
        return out


class ChannelAttention(nn.Module):
    """Features times a weight per channel, learnt from their local means (RCAN, ECCV 2018, with windows).

    RCAN's means are of the whole picture: of a crop in training, of something else in a photo. Windows of a crop's size
    see the same in both, and a tile's answer is exact beyond the halo (Chu et al., ECCV 2022, who put the windows in
    after training; cells and windows are our choice, docs/accuracy.md).
    """

    window_cells = 5
    """Edge of the window of cells."""

    def __init__(self, width: int, hidden: int, cell_px: int) -> None:
        """Of features whose height and width are multiples of `cell_px`."""
        super().__init__()
        self.cell_px = cell_px
        self.weigh = nn.Sequential(nn.Conv2d(width, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, width, 1), nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, h, w) -> the same."""
        weights = self.weigh(averaged(F.avg_pool2d(features, self.cell_px), self.window_cells))
        out: Tensor = features * spread(weights, self.cell_px)
        return out


def averaged(cells: Tensor, window_cells: int) -> Tensor:
    """(n, c, h, w) means of cells -> means of the windows about them, of the cells that there are at the edge."""
    return F.avg_pool2d(cells, window_cells, 1, window_cells // 2, count_include_pad=False)


def spread(cells: Tensor, cell_px: int) -> Tensor:
    """(n, c, h, w) values of cells -> (n, c, h * cell_px, w * cell_px), interpolated, so that no grid shows."""
    return F.interpolate(cells, scale_factor=float(cell_px), mode="bilinear", align_corners=False)


def with_variance(planes: Tensor, gain: float | Tensor, read_variance: float | Tensor) -> Tensor:
    """(n, 4, h, w) values -> (n, 8, h, w): beside them the noise variance that they tell, gain * max(x, 0) + read.

    Source: the variance map of unprocessing (Brooks et al. 2019), made from the noisy values. On anchored values the
    noise is the anchor's; tensors are (n, 4, 1, 1).
    """
    return torch.cat((planes, torch.clamp(planes, min=0) * gain + read_variance), 1)


class NoiseUnits(nn.Module):
    """An anchored mosaic in units of its own noise, so that bf16 and one set of weights serve every exposure.

    With anchor (k, v), ``e = y / k + v / k^2`` counts equivalent electrons: Var e = E[e] (the k-sigma transform, PMRID
    section 3.2). Their Anscombe root ``f = 2 sqrt(e + 3/8)``, continued as a line below 0, has noise of deviation 1 at
    every sample, beside a lamp as in its shadow. The network sees f without its local mean, and answers with what is
    to be taken from f. Our choice.
    """

    local_px = 2
    """Inputs are multiples of it, packed pixels: the local mean is taken of cells of this size."""
    window_cells = 5
    """Edge of the window of cells that is averaged, twice over; it moves with the picture, so that no grid shows."""

    def __init__(self, gain: float, read_variance: float, guide_limit: float | None = None) -> None:
        """Of an anchor; the guide's structure, by which feature-align layers multiply, is cut off at `guide_limit`."""
        super().__init__()
        self.gain, self.guide_limit = gain, guide_limit
        self.offset = read_variance / gain**2

    def forward(self, planes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(n, 4, h, w) anchored values -> f - local mean (n, 4, h, w), guide (n, 8, h, w), f (n, 4, h, w).

        The guide of feature-align layers holds the level, log(1 + e), and the structure again; f is for `subtract`.
        """
        electrons = planes * (1 / self.gain) + self.offset
        positive = torch.clamp(electrons, min=0)
        stabilised = 2 * torch.sqrt(positive + ANSCOMBE) + (electrons - positive) * ANSCOMBE**-0.5
        cells = averaged(averaged(F.avg_pool2d(stabilised, self.local_px), self.window_cells), self.window_cells)
        structure = stabilised - spread(cells, self.local_px)
        guide = structure * 0.25
        if self.guide_limit is not None:
            guide = torch.clamp(guide, -self.guide_limit, self.guide_limit)
        return structure, torch.cat((torch.log1p(positive) * 0.25, guide), 1), stabilised

    def subtract(self, stabilised: Tensor, answer: Tensor) -> Tensor:
        """Anchored values of f - answer: e = (f / 2)^2 - 3/8, and the line below e = 0."""
        cleaned = stabilised - answer
        curved = torch.clamp(cleaned, min=2 * ANSCOMBE**0.5)
        electrons = curved * curved * 0.25 - ANSCOMBE + (cleaned - curved) * ANSCOMBE**0.5
        restored: Tensor = (electrons - self.offset) * self.gain
        return restored
