"""The U-Net without feature alignment from the Feature-Align paper's ablation; it resamples with wavelets.

Source: arXiv 2103.01524, section 4.1 and Table 1 (1.98 GMACs per megapixel); widths are our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from rawkd.networks.blocks import ARNetBlock
from rawkd.networks.haar import dwt, iwt
from rawkd.networks.levels import LevelledNetwork


@dataclass(frozen=True)
class WaveletUNetConfig:
    """Size of a wavelet U-Net; the fields mean the same as in `FANetConfig`."""

    widths: tuple[int, ...] = (16, 24, 40, 72, 144)
    encoder_blocks: tuple[int, ...] = (1, 1, 1, 1, 1)
    decoder_blocks: tuple[int, ...] = (2, 1, 1, 1)
    shrink: int = 4
    groups: int = 8


class WaveletUNet(LevelledNetwork):
    """Denoises an anchored packed mosaic, (n, 4, h, w). By default it has 235,330 parameters."""

    in_channels = 4

    def __init__(self, config: WaveletUNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        levels = range(len(widths))
        self.stem = nn.Conv2d(4, widths[0], 3, padding=1)
        self.head = nn.Conv2d(widths[0], 4, 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(4 * widths[level], widths[level + 1], 1) for level in levels[:-1])
        self.up = nn.ModuleList(nn.Conv2d(widths[level + 1], 4 * widths[level], 1) for level in levels[:-1])
        self.skips = nn.ModuleList(nn.Conv2d(widths[level], widths[level] // config.shrink, 1) for level in levels[:-1])
        self.encoder = nn.ModuleList(self._blocks(widths[level], config.encoder_blocks[level]) for level in levels)
        self.decoder = nn.ModuleList(self._blocks(widths[level], config.decoder_blocks[level]) for level in levels[:-1])

    def _blocks(self, width: int, num_blocks: int) -> nn.Sequential:
        return nn.Sequential(*(ARNetBlock(width, width, self.config.groups) for _ in range(num_blocks)))

    def forward(self, planes: Tensor) -> Tensor:
        """Return the denoised anchored values, (n, 4, h, w)."""
        features, kept = self.stem(planes), []
        for level, blocks in enumerate(self.encoder):
            if level:
                features = self.down[level - 1](dwt(features))
            features = blocks(features)
            kept.append(features)
        for level in reversed(range(len(self.decoder))):
            skip = self.skips[level](kept[level]).repeat(1, self.config.shrink, 1, 1)
            features = self.decoder[level](iwt(self.up[level](features)) + skip)
        output: Tensor = planes + self.head(features)
        return output
