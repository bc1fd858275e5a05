"""The U-Net of "Unprocessing Images" (UPI), the teacher of the Feature-Align paper.

Source: Brooks et al., CVPR 2019 (arXiv 1811.11127), network.py of its code (Apache-2.0). Each block has three 3x3
convolutions with leaky ReLU 0.2; max pooling, bilinear upsampling, concatenation, residual output.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rawkd.networks.blocks import with_variance
from rawkd.networks.levels import LevelledNetwork


@dataclass(frozen=True)
class UPIUNetConfig:
    """Size and options of a UPI U-Net.

    Attributes
    ----------
    widths : channels per level, finest first. convolutions : per block.
    in_channels : of the first convolution: 8 with the variance map, 4 without.
    anchor : (gain, read variance) of the k-sigma anchor: the network computes the variance map from anchored planes.
        None: the variance map is part of the input, as published.
    """

    widths: tuple[int, ...] = (32, 64, 128, 256, 512)
    convolutions: int = 3
    in_channels: int = 8
    anchor: tuple[float, float] | None = None


UPI_LITE = UPIUNetConfig(widths=(9, 19, 38, 76, 153), convolutions=1)
"""UPI-Lite of the Feature-Align paper (Table 5): widths times 0.3, one convolution, exactly 347,733 parameters."""


class UPIUNet(LevelledNetwork):
    """Denoises (n, 4 or 8, h, w) to (n, 4, h, w); h and w must be multiples of `stride`.

    It has 11,776,708 parameters, as published.
    """

    def __init__(self, config: UPIUNetConfig) -> None:
        super().__init__()
        self.config = config
        self.in_channels = 4 if config.anchor else config.in_channels
        widths = config.widths
        inputs = (config.in_channels, *widths[:-1])
        self.encoder = nn.ModuleList(self._block(i, o) for i, o in zip(inputs, widths, strict=True))
        inner = range(len(widths) - 1)
        self.decoder = nn.ModuleList(self._block(widths[level] + widths[level + 1], widths[level]) for level in inner)
        self.tail = nn.Conv2d(widths[0], 4, 3, padding=1)

    def _block(self, in_channels: int, out_channels: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for index in range(self.config.convolutions):
            layers += [nn.Conv2d(out_channels if index else in_channels, out_channels, 3, padding=1), nn.LeakyReLU(0.2)]
        return nn.Sequential(*layers)

    def forward(self, planes: Tensor) -> Tensor:
        """Return the first four planes, denoised."""
        if self.config.anchor and self.config.in_channels == 8:
            planes = with_variance(planes, *self.config.anchor)
        features, kept = planes, []
        for level, block in enumerate(self.encoder):
            features = block(F.max_pool2d(features, 2) if level else features)
            kept.append(features)
        for level in reversed(range(len(self.decoder))):
            wide = F.interpolate(features, scale_factor=2.0, mode="bilinear", align_corners=False)
            features = self.decoder[level](torch.cat((wide, kept[level]), 1))
        output: Tensor = planes[:, :4] + self.tail(features)
        return output
