"""CycleISP's raw denoiser: recursive groups of dual attention blocks.

Source: Zamir et al., CVPR 2020 (arXiv 2003.07761), section 3.3. The paper leaves details open; we chose them to match
the parameter counts of its published network and of the Feature-Align paper's CycleISP-Lite (a 3x3 spatial attention
without bias). Our own implementation, because the licence of the authors' code allows research only.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rawkd.networks.blocks import ChannelAttention, with_variance

REDUCTION = 16
CELL_PX = 8
"""Side of a cell of the channel attention, packed pixels."""


@dataclass(frozen=True)
class CycleISPConfig:
    """Size of a CycleISP network.

    Attributes
    ----------
    width : channels. groups : number of groups. blocks : dual attention blocks per group.
    in_channels, anchor : as in `UPIUNetConfig`.
    """

    width: int = 16
    groups: int = 1
    blocks: int = 1
    in_channels: int = 4
    anchor: tuple[float, float] | None = None


class CycleISP(nn.Module):
    """Denoises (n, in_channels, h, w) to (n, 4, h, w). The default is CycleISP-Lite with 11,063 parameters."""

    stride = CELL_PX
    """Height and width must be multiples of it, packed pixels."""
    decoder_taps = ("merge",)

    def __init__(self, config: CycleISPConfig) -> None:
        super().__init__()
        self.config = config
        self.in_channels = 4 if config.anchor else config.in_channels
        width = config.width
        self.head = nn.Conv2d(config.in_channels, width, 3, padding=1)
        activation = nn.PReLU(width)  # one for the whole network
        self.groups = nn.ModuleList(_Group(width, config.blocks, activation) for _ in range(config.groups))
        self.merge = nn.Conv2d(width, width, 3, padding=1)
        self.activation = activation
        self.tail = nn.Conv2d(width, 4, 3, padding=1)

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the modules whose outputs are the features of the groups."""
        return tuple(f"groups.{index}" for index in range(self.config.groups))

    def forward(self, planes: Tensor) -> Tensor:
        """Return the first four planes, denoised."""
        if self.config.anchor and self.config.in_channels == 8:
            planes = with_variance(planes, *self.config.anchor)
        features = self.head(planes)
        for group in self.groups:
            features = group(features)
        output: Tensor = planes[:, :4] + self.tail(self.activation(self.merge(features)))
        return output


class _Group(nn.Module):
    """Dual attention blocks and a 3x3 convolution, plus an identity shortcut."""

    def __init__(self, width: int, num_blocks: int, activation: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_DualAttention(width, activation) for _ in range(num_blocks)))
        self.leave = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape as the input, (n, width, h, w)."""
        out: Tensor = features + self.leave(self.blocks(features))
        return out


class _DualAttention(nn.Module):
    """Two 3x3 convolutions, parallel spatial and channel attention, a 1x1 that merges them, and a shortcut."""

    def __init__(self, width: int, activation: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), activation, nn.Conv2d(width, width, 3, padding=1)
        )
        self.spatial = nn.Conv2d(2, 1, 3, padding=1, bias=False)
        self.channels = ChannelAttention(width, max(1, width // REDUCTION), CELL_PX)
        self.mix = nn.Conv2d(2 * width, width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape as the input, (n, width, h, w)."""
        out = self.body(features)
        summary = torch.cat((out.amax(1, keepdim=True), out.mean(1, keepdim=True)), 1)
        by_place = out * torch.sigmoid(self.spatial(summary))
        mixed: Tensor = features + self.mix(torch.cat((by_place, self.channels(out)), 1))
        return mixed
