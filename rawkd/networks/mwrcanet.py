"""MWRCANet: residual channel attention between wavelet transforms, winner of the NTIRE 2020 raw track.

Source: the published network's layers, described in its repository (there is no paper). The global pooling of channel
attention makes its answer depend on the tile: a card states a halo of half a tile.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from rawkd.networks.blocks import ChannelAttention
from rawkd.networks.haar import dwt, iwt

REDUCTION = 16


@dataclass(frozen=True)
class MWRCANetConfig:
    """Widths per level, finest first; attention blocks in every one of the five groups."""

    widths: tuple[int, int, int] = (96, 128, 128)
    blocks: int = 20


class MWRCANet(nn.Module):
    """Anchored packed mosaic (n, 4, h, w) -> the same, denoised; 27,215,965 parameters as published."""

    in_channels = 4
    stride = 4
    """Packed pixels that height and width are multiples of."""
    taps = ("down.0", "down.1", "middle")

    def __init__(self, config: MWRCANetConfig) -> None:
        super().__init__()
        self.config = config
        fine, mid, coarse = config.widths
        self.enter = nn.ModuleList(
            nn.Sequential(nn.Conv2d(inputs, width, 3, padding=1), nn.PReLU())
            for inputs, width in ((4, fine), (4 * fine, mid), (4 * mid, coarse))
        )
        self.down = nn.ModuleList(_AttentionGroup(width, config.blocks) for width in (fine, mid))
        self.middle = _AttentionGroup(coarse, config.blocks)
        self.up = nn.ModuleList(_AttentionGroup(width, config.blocks) for width in (fine, mid))
        self.leave = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, outputs, 3, padding=1), nn.PReLU())
            for width, outputs in ((mid, 4 * fine), (coarse, 4 * mid))
        )
        self.tail = nn.Conv2d(fine, 4, 3, padding=1)

    def forward(self, planes: Tensor) -> Tensor:
        """(n, 4, h, w) -> (n, 4, h, w), anchored values."""
        head = dwt(F.pixel_shuffle(planes, 2))
        fine = self.down[0](self.enter[0](head))
        mid = self.down[1](self.enter[1](dwt(fine)))
        features = self.middle(self.enter[2](dwt(mid)))
        features = mid + iwt(self.leave[1](features))
        features = fine + iwt(self.leave[0](self.up[1](features)))
        return F.pixel_unshuffle(iwt(head + self.tail(self.up[0](features))), 2)


class _AttentionGroup(nn.Module):
    """Attention blocks and a 3x3 convolution, plus identity."""

    def __init__(self, width: int, num_blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_AttentionBlock(width) for _ in range(num_blocks)))
        self.leave = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, h, w) -> the same."""
        out: Tensor = features + self.leave(self.blocks(features))
        return out


class _AttentionBlock(nn.Module):
    """3x3, PReLU, 3x3, channel attention, plus identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.PReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            ChannelAttention(width, max(1, width // REDUCTION)),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(n, width, h, w) -> the same."""
        out: Tensor = features + self.body(features)
        return out
