"""MDRN: groups that each downsample to half size, aggregate several scales, and reconstruct.

Source: MDRN, arXiv 2204.13873. The paper gives the idea and two sizes (770 K and 2.38 M parameters). The number of
groups, the widths and the aggregation block are our choice; they match both sizes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rawkd.networks.blocks import ChannelAttention
from rawkd.networks.haar import ConvIWT, DWTConv

REDUCTION = 16
CELL_PX = 4
"""Side of a cell of the channel attention, pixels of the half-size features."""


@dataclass(frozen=True)
class MDRNConfig:
    """Size of an MDRN network.

    With 2 blocks it has 778,084 parameters for a mosaic and 774,625 for grey; with 7 blocks 2,380,724 and 2,377,265.

    Attributes
    ----------
    channels : of input and output: 1 grey, 3 colour, 4 packed mosaic. blocks : aggregation blocks per group.
    width, branch_width : channels of the features and of a branch. groups : number of groups.
    """

    channels: int = 4
    blocks: int = 7
    width: int = 64
    branch_width: int = 46
    groups: int = 4


class MDRN(nn.Module):
    """Denoises an anchored packed mosaic, (n, 4, h, w), or a picture of 1 or 3 channels."""

    stride = 2 * CELL_PX
    """Height and width must be multiples of it, packed pixels (or pixels of a picture)."""

    def __init__(self, config: MDRNConfig) -> None:
        super().__init__()
        self.config = config
        self.in_channels = config.channels
        self.head = nn.Conv2d(config.channels, config.width, 3, padding=1)
        self.groups = nn.ModuleList(_Group(config) for _ in range(config.groups))
        self.tail = nn.Conv2d(config.width, config.channels, 3, padding=1)

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of all groups."""
        return tuple(f"groups.{index}" for index in range(self.config.groups))

    @property
    def decoder_taps(self) -> tuple[str, ...]:
        """Names of the second half of the groups, since the network has no decoder levels."""
        groups = self.config.groups
        return tuple(f"groups.{index}" for index in range(groups // 2, groups))

    def forward(self, planes: Tensor) -> Tensor:
        """Return the denoised values, (n, channels, h, w); anchored values for a mosaic."""
        features = self.head(planes)
        for group in self.groups:
            features = group(features)
        output: Tensor = planes - self.tail(features)
        return output


class _Group(nn.Module):
    """Wavelet transform to half size, aggregation blocks, inverse transform, and an identity shortcut."""

    def __init__(self, config: MDRNConfig) -> None:
        super().__init__()
        width = config.width
        self.degrade = DWTConv(width, width)
        self.blocks = nn.Sequential(*(_Aggregation(width, config.branch_width) for _ in range(config.blocks)))
        self.reconstruct = ConvIWT(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape as the input, (n, width, h, w)."""
        out: Tensor = features + self.reconstruct(self.blocks(self.degrade(features)))
        return out


class _Aggregation(nn.Module):
    """Branches with receptive fields of 1, 3, 5 and 7 pixels, merged, with channel attention and a shortcut."""

    def __init__(self, width: int, branch_width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(branch_width if index else width, branch_width, 3, padding=1) for index in range(3)
        )
        self.point = nn.Conv2d(width, branch_width, 1)
        self.mix = nn.Conv2d(4 * branch_width, width, 1)
        self.attention = ChannelAttention(width, max(1, width // REDUCTION), CELL_PX)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape as the input, (n, width, h, w)."""
        scales, wider = [], features
        for branch in self.branches:
            wider = torch.relu(branch(wider))
            scales.append(wider)
        scales.append(torch.relu(self.point(features)))
        out: Tensor = features + self.attention(self.mix(torch.cat(scales, 1)))
        return out
