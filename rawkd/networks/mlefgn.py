"""MLEFGN: an image branch and an edge branch that are fused three times. MDRN's paper uses it as teacher.

Source: Fang et al., TNNLS 2020, and the layer list of its code. Our own implementation, because that code is licensed
for research only. We leave out the separate edge loss: the edge network is trained through the denoised image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rawkd.networks.blocks import DenseBlock, ResidualBlock


@dataclass(frozen=True)
class MLEFGNConfig:
    """Size of an MLEFGN network.

    Attributes
    ----------
    channels : of input and output: 1 grey, 3 colour, 4 packed mosaic. width : channels of the features.
    dense_layers : layers of a dense block. group_blocks : residual blocks per group.
    """

    channels: int = 4
    width: int = 64
    dense_layers: int = 8
    group_blocks: int = 5


class MLEFGN(nn.Module):
    """Denoises an anchored packed mosaic, (n, 4, h, w): 6,862,792 parameters (6,859,910 for colour pictures)."""

    stride = 1
    """Height and width must be multiples of it, packed pixels."""
    taps = ("fuse.0", "fuse.1", "fuse.2")
    decoder_taps = ("fuse.2",)

    def __init__(self, config: MLEFGNConfig) -> None:
        super().__init__()
        self.config = config
        self.in_channels = config.channels
        channels, width = config.channels, config.width
        self.edge_net = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            ResidualBlock(width),
            DenseBlock(width, width, config.dense_layers),
            ResidualBlock(width),
            nn.Conv2d(width, channels, 3, padding=1),
        )
        self.enter_image = nn.Conv2d(channels, width, 3, padding=1)
        self.enter_edge = nn.Conv2d(channels, width, 3, padding=1)
        self.image, self.edge = self._branch(), self._branch()
        self.fuse = nn.ModuleList(
            nn.Sequential(nn.Conv2d(2 * width, width, 1), _ResidualGroup(width, config.group_blocks)) for _ in range(3)
        )
        self.leave = nn.Conv2d(width, channels, 3, padding=1)

    def _branch(self) -> nn.ModuleList:
        width, blocks = self.config.width, self.config.group_blocks
        dense = DenseBlock(width, width, self.config.dense_layers)
        return nn.ModuleList((dense, _ResidualGroup(width, blocks), _ResidualGroup(width, blocks)))

    def forward(self, planes: Tensor) -> Tensor:
        """Return the denoised values, (n, channels, h, w); the network has no global shortcut."""
        image = self.enter_image(planes)
        edge = self.enter_edge(planes - self.edge_net(planes))
        levels = []
        for image_stage, edge_stage in zip(self.image, self.edge, strict=True):
            image, edge = image_stage(image), edge_stage(edge)
            levels.append(image + edge)
        first = self.fuse[0](torch.cat(levels[:2], 1))
        second = self.fuse[1](torch.cat(levels[1:], 1))
        output: Tensor = self.leave(self.fuse[2](torch.cat((first, second), 1)))
        return output


class _ResidualGroup(nn.Module):
    """Residual blocks, plus an identity shortcut."""

    def __init__(self, width: int, num_blocks: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(num_blocks)))

    def forward(self, features: Tensor) -> Tensor:
        """Return features of the same shape as the input, (n, width, h, w)."""
        out: Tensor = features + self.blocks(features)
        return out
