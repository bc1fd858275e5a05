"""FA-Net, the student: a small U-Net of ARNet blocks, each followed by a feature-align layer, with shrunk skips.

Source: the Feature-Align paper (arXiv 2103.01524, section 3.1 and figures 2-4). Widths, block counts, groups and the
fusion by addition are not stated there and are our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from rawkd.errors import ModelError
from rawkd.networks.blocks import ARNetBlock, DenseGatedBlock, FeatureAlign, GatedBlock, NoiseUnits


@dataclass(frozen=True)
class FANetConfig:
    """What a FA-Net is made of.

    Attributes
    ----------
    widths : channels per level, finest first.
    encoder_blocks : ARNet blocks per level. decoder_blocks : the same, for every level but the coarsest.
    shrink : factor by which a skip is narrowed before it is kept and tiled again; 0 leaves the skips out.
    groups : groups of every 3x3 convolution; 0 for groups of `group_width` channels.
    align_hidden : hidden width of the feature-align layers; 0 leaves them out.
    patch : level 0 sees patches of 2x2 packed pixels (stem 4x4 with stride 2, head with pixel shuffle): fewer, wider
        layers, which a CPU runs faster. False: level 0 is the packed mosaic itself, as in the paper.
    guide_limit : in units of four deviations of noise, where the guide's structure is cut off, since each feature-align
        layer multiplies by it: far below the gains of training, deep networks overflow without; None for no limit.
    block : "arnet", as in the paper; "gated", NAFNet's (`GatedBlock`); "dense-gated" (`DenseGatedBlock`). The last two
        stand behind a 1x1 convolution where the width changes.
    anchor : (gain, read variance) of the k-sigma anchor, and the network works in units of noise; None: it works on
        anchored values, as in the paper.
    """

    widths: tuple[int, ...]
    encoder_blocks: tuple[int, ...]
    decoder_blocks: tuple[int, ...]
    shrink: int = 4
    groups: int = 8
    group_width: int = 16
    align_hidden: int = 8
    patch: bool = False
    guide_limit: float | None = None
    block: str = "arnet"
    anchor: tuple[float, float] | None = None


KEEPING_WIDTH: dict[str, type[nn.Module]] = {"gated": GatedBlock, "dense-gated": DenseGatedBlock}
"""Blocks that keep the width of their features."""

FANET_239K = FANetConfig(widths=(16, 32, 48, 80, 192), encoder_blocks=(1, 2, 1, 1, 2), decoder_blocks=(2, 2, 1, 1))
"""The paper's 239,304 parameters (its Table 5) exactly."""
FANET_90K = FANetConfig(widths=(16, 24, 64, 144), encoder_blocks=(1, 1, 2, 1), decoder_blocks=(2, 1, 2), shrink=2)
"""The paper's 89,696 parameters (text of its Table 4) exactly."""


class FANet(nn.Module):
    """Anchored packed mosaic (n, 4, h, w) -> the same, denoised; h and w multiples of `stride`."""

    in_channels = 4

    def __init__(self, config: FANetConfig) -> None:
        """Raises ModelError for a block that does not exist."""
        super().__init__()
        if config.block not in ("arnet", *KEEPING_WIDTH):
            raise ModelError(f"a FA-Net has no block {config.block!r}: choose arnet, {', '.join(KEEPING_WIDTH)}")
        self.config = config
        widths, levels = config.widths, range(len(config.widths))
        self.noise_units = NoiseUnits(*config.anchor, config.guide_limit) if config.anchor else None
        if config.patch:
            self.stem = nn.Conv2d(4, widths[0], 4, stride=2, padding=1)
            self.head = nn.Conv2d(widths[0], 16, 3, padding=1)
        else:
            self.stem = nn.Conv2d(4, widths[0], 3, padding=1)
            self.head = nn.Conv2d(widths[0], 4, 3, padding=1)
        self.encoder = nn.ModuleList(
            self._level(widths[level - 1] if level else widths[0], widths[level], config.encoder_blocks[level])
            for level in levels
        )
        inner = levels[:-1]
        shrink = config.shrink
        self.skips = nn.ModuleList(nn.Conv2d(widths[level], widths[level] // shrink, 1) for level in inner if shrink)
        self.up = nn.ModuleList(nn.Conv2d(widths[level + 1], widths[level], 1) for level in inner)
        self.decoder = nn.ModuleList(
            self._level(widths[level], widths[level], config.decoder_blocks[level]) for level in inner
        )
        if config.anchor:  # starts as the identity in units of noise
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def _level(self, in_channels: int, out_channels: int, num_blocks: int) -> nn.ModuleList:
        config = self.config
        blocks = nn.ModuleList()
        for index in range(num_blocks):
            blocks += self._block(out_channels if index else in_channels, out_channels)
            if config.align_hidden:
                image_channels = 8 if config.anchor else 4
                blocks.append(FeatureAlign(image_channels, out_channels, config.align_hidden))
        return blocks

    def _block(self, in_channels: int, out_channels: int) -> list[nn.Module]:
        config = self.config
        if config.block == "arnet":
            return [ARNetBlock(in_channels, out_channels, config.groups or max(1, in_channels // config.group_width))]
        change = [nn.Conv2d(in_channels, out_channels, 1)] if in_channels != out_channels else []
        return [*change, KEEPING_WIDTH[config.block](out_channels)]

    @property
    def stride(self) -> int:
        """Packed pixels that height and width are multiples of."""
        pooled = 1 << (len(self.config.widths) - 1 + self.config.patch)
        return max(pooled, NoiseUnits.local_px) if self.noise_units else pooled

    @property
    def taps(self) -> tuple[str, ...]:
        """The last block of every encoder level (the stem where a level has none), finest first, at most four."""
        return tuple(
            f"encoder.{level}.{len(blocks) - 1}" if len(blocks) else "stem"  # type: ignore[arg-type]
            for level, blocks in enumerate(self.encoder)
        )[:4]

    @property
    def decoder_taps(self) -> tuple[str, ...]:
        """The last block of every decoder level (what comes from below where a level has none), coarsest first."""
        return tuple(
            f"decoder.{level}.{len(blocks) - 1}" if len(blocks) else f"up.{level}"  # type: ignore[arg-type]
            for level, blocks in reversed(list(enumerate(self.decoder)))
        )

    def forward(self, planes: Tensor) -> Tensor:
        """(n, 4, h, w) -> (n, 4, h, w), anchored values."""
        if self.noise_units is None:
            return planes + self._restore(planes, planes)
        structure, guide, stabilised = self.noise_units(planes)
        return self.noise_units.subtract(stabilised, self._restore(structure, guide).float())

    def _restore(self, features: Tensor, guide: Tensor) -> Tensor:
        kept = []
        if self.config.patch:
            guide = F.avg_pool2d(guide, 2)
        guides = [guide]
        features = self.stem(features)
        for level, blocks in enumerate(self.encoder):
            if level:
                features = F.max_pool2d(features, 2)
                guides.append(F.avg_pool2d(guides[-1], 2))
            features = _through(blocks, features, guides[level])  # type: ignore[arg-type]
            kept.append(features)
        for level in reversed(range(len(self.up))):
            features = F.interpolate(self.up[level](features), scale_factor=2.0, mode="bilinear", align_corners=False)
            if self.config.shrink:
                features = features + self.skips[level](kept[level]).repeat(1, self.config.shrink, 1, 1)
            features = _through(self.decoder[level], features, guides[level])  # type: ignore[arg-type]
        answer = self.head(features)
        return F.pixel_shuffle(answer, 2) if self.config.patch else answer


def _through(blocks: nn.ModuleList, features: Tensor, guide: Tensor) -> Tensor:
    for block in blocks:
        features = block(features, guide) if isinstance(block, FeatureAlign) else block(features)
    return features
