"""Building blocks that several networks share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rawkd.photo import CFAPattern
from rawkd.sensor.cfa import lattices_of

LEAST_SQUARE = 1e-6
"""Added to a pixel's mean square before the division, so that a pixel of zeros gives no division by zero."""


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

    reads_normalised = ("mix",)
    """Convolutions behind a norm, whose inputs 8 bits can hold (`inference.graph.int8`). In a `GatedBlock` int8 would
    save half as much of the time and cost more (docs/training-log.md)."""

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


def half_cells(planes: Tensor) -> Tensor:
    """Convert groups of 36 planes of X-Trans, (n, 36 g, h, w), to nine of one colour each, (n, 9 g, 2h, 2w).

    The nine are the lattices of `sensor.cfa.lattices_of`: half a cell is the transposed other half with R and B
    exchanged.
    """
    _, sites = lattices_of(CFAPattern.XTRANS)
    parity = torch.arange(2)
    rows = 3 * parity[:, None] + torch.from_numpy(sites[..., 0])
    columns = 3 * parity + torch.from_numpy(sites[..., 1])
    order = (6 * rows + columns).flatten()  # plane of each lattice, parity of its row, parity of its column
    groups = planes.shape[1] // len(order)
    index = (len(order) * torch.arange(groups)[:, None] + order).flatten().to(planes.device)
    return F.pixel_shuffle(planes[:, index], 2)
