"""NAFNet, a U-Net without activation functions. It is our main teacher network.

Source: NAFNet, Chen et al., ECCV 2022 (arXiv 2204.04676), implemented from the paper; its block is `GatedBlock`.
Patches and units of noise are our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from rawkd.networks.blocks import GatedBlock
from rawkd.networks.levels import LevelledNetwork
from rawkd.networks.noise_units import NoiseUnits


@dataclass(frozen=True)
class NAFNetConfig:
    """Size and options of a NAFNet.

    Attributes
    ----------
    widths : channels per level, finest first. encoder_blocks : blocks per level; the last entry is the middle.
    decoder_blocks : the same, for every level but the coarsest.
    patch : whether level 0 works on patches of 2x2 packed pixels, as in `FANetConfig`.
    anchor : (gain, read variance) of the k-sigma anchor: the network works in units of noise. None: it works on
        anchored values.
    """

    widths: tuple[int, ...]
    encoder_blocks: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    patch: bool = False
    anchor: tuple[float, float] | None = None


class NAFNet(LevelledNetwork):
    """Denoises an anchored packed mosaic, (n, 4, h, w); h and w must be multiples of `stride`."""

    in_channels = 4

    def __init__(self, config: NAFNetConfig) -> None:
        super().__init__()
        self.config = config
        widths, inner = config.widths, range(len(config.widths) - 1)
        self.noise_units = NoiseUnits(*config.anchor) if config.anchor else None
        inputs = 8 if config.anchor else 4
        if config.patch:
            self.stem = nn.Conv2d(inputs, widths[0], 4, stride=2, padding=1)
            self.head = nn.Conv2d(widths[0], 16, 3, padding=1)
        else:
            self.stem = nn.Conv2d(inputs, widths[0], 3, padding=1)
            self.head = nn.Conv2d(widths[0], 4, 3, padding=1)
        self.encoder = nn.ModuleList(
            nn.Sequential(*(GatedBlock(width) for _ in range(blocks)))
            for width, blocks in zip(widths, config.encoder_blocks, strict=True)
        )
        self.down = nn.ModuleList(nn.Conv2d(widths[level], widths[level + 1], 2, stride=2) for level in inner)
        self.up = nn.ModuleList(nn.Conv2d(widths[level + 1], 4 * widths[level], 1, bias=False) for level in inner)
        self.decoder = nn.ModuleList(
            nn.Sequential(*(GatedBlock(widths[level]) for _ in range(config.decoder_blocks[level]))) for level in inner
        )
        nn.init.zeros_(self.head.weight)  # starts as the identity
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    @property
    def stride(self) -> int:
        """Height and width must be multiples of it, packed pixels."""
        pooled: int = super().stride << self.config.patch
        return max(pooled, NoiseUnits.local_px) if self.noise_units else pooled

    def forward(self, planes: Tensor) -> Tensor:
        """Return the denoised anchored values, (n, 4, h, w)."""
        if self.noise_units is None:
            return planes + self._restore(planes)
        _, guide, stabilised = self.noise_units(planes)
        return self.noise_units.subtract(stabilised, self._restore(guide).float())

    def _restore(self, features: Tensor) -> Tensor:
        features, kept = self.stem(features), []
        for level, blocks in enumerate(self.encoder):
            features = blocks(self.down[level - 1](features) if level else features)
            kept.append(features)
        for level in reversed(range(len(self.up))):
            features = self.decoder[level](F.pixel_shuffle(self.up[level](features), 2) + kept[level])
        output: Tensor = self.head(features)
        return F.pixel_shuffle(output, 2) if self.config.patch else output
