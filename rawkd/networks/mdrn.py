"""MDRN: noise removed in groups that each degrade to half size, aggregate scales, and reconstruct.

Source: MDRN's paper states the idea and two sizes (770 K and 2.38 M parameters); number of groups, widths and the
aggregation block are our choice, made to meet both.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rawkd.networks.blocks import ChannelAttention
from rawkd.networks.haar import ConvIWT, DWTConv

REDUCTION = 16
CELL_PX = 4
"""Of channel attention, at half size."""


@dataclass(frozen=True)
class MDRNConfig:
    """Planes in and out (1 grey, 3 colour, 4 packed mosaic); aggregation blocks a group; widths; groups.

    2 blocks make 778,084 parameters for a mosaic and 774,625 for grey, 7 make 2,380,724 and 2,377,265.
    """

    channels: int = 4
    blocks: int = 7
    width: int = 64
    branch_width: int = 46
    groups: int = 4


class MDRN(nn.Module):
    """Anchored packed mosaic (n, 4, h, w), or a picture of 1 or 3 channels -> the same, denoised; by 8 pixels."""

    stride = 2 * CELL_PX
    """Packed pixels that height and width are multiples of."""

    def __init__(self, config: MDRNConfig) -> None:
        super().__init__()
        self.config = config
        self.in_channels = config.channels
        self.head = nn.Conv2d(config.channels, config.width, 3, padding=1)
        self.groups = nn.ModuleList(_Group(config) for _ in range(config.groups))
        self.tail = nn.Conv2d(config.width, config.channels, 3, padding=1)

    @property
    def taps(self) -> tuple[str, ...]:
        """The groups' outputs."""
        return tuple(f"groups.{index}" for index in range(self.config.groups))

    @property
    def decoder_taps(self) -> tuple[str, ...]:
        """The second half of the groups' outputs: there are no levels."""
        groups = self.config.groups
        return tuple(f"groups.{index}" for index in range(groups // 2, groups))

    def forward(self, planes: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, channels, h, w), anchored values."""
        features = self.head(planes)
        for group in self.groups:
            features = group(features)
        answer: Tensor = planes - self.tail(features)
        return answer


class _Group(nn.Module):
    """To half size by wavelets, aggregation blocks, back; plus identity."""

    def __init__(self, config: MDRNConfig) -> None:
        super().__init__()
        width = config.width
        self.degrade = DWTConv(width, width)
        self.blocks = nn.Sequential(*(_Aggregation(width, config.branch_width) for _ in range(config.blocks)))
        self.reconstruct = ConvIWT(width, width)

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, h, w) -> the same."""
        out: Tensor = features + self.reconstruct(self.blocks(self.degrade(features)))
        return out


class _Aggregation(nn.Module):
    """Fields of 1, 3, 5 and 7 pixels side by side, mixed, weighted by channel attention; plus identity."""

    def __init__(self, width: int, branch_width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(branch_width if index else width, branch_width, 3, padding=1) for index in range(3)
        )
        self.point = nn.Conv2d(width, branch_width, 1)
        self.mix = nn.Conv2d(4 * branch_width, width, 1)
        self.attention = ChannelAttention(width, max(1, width // REDUCTION), CELL_PX)

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, h, w) -> the same."""
        scales, wider = [], features
        for branch in self.branches:
            wider = torch.relu(branch(wider))
            scales.append(wider)
        scales.append(torch.relu(self.point(features)))
        out: Tensor = features + self.attention(self.mix(torch.cat(scales, 1)))
        return out
