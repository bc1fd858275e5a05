"""FA-Net, the student network: a small U-Net whose blocks are each followed by a feature-align layer.

Its skip connections are narrowed. Source: the Feature-Align paper (arXiv 2103.01524, section 3.1 and figures 2-4). The
paper does not state widths, block counts, groups or how skips are fused; these, and fusion by addition, are our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from rawkd.errors import ModelError
from rawkd.networks.blocks import ARNetBlock, DenseGatedBlock, FeatureAlign, GatedBlock, NoiseUnits


@dataclass(frozen=True)
class FANetConfig:
    """Size and options of a FA-Net.

    Attributes
    ----------
    widths : channels per level, finest first.
    encoder_blocks : blocks per level. decoder_blocks : the same, for every level but the coarsest.
    shrink : factor by which a skip connection is narrowed; it is repeated to full width when it is added. 0 removes the
        skips.
    groups : groups of every 3x3 convolution of ARNet blocks; 0 for groups of `group_width` channels.
    align_hidden : hidden width of the feature-align layers; 0 removes them.
    patch : whether level 0 works on patches of 2x2 packed pixels (4x4 stem with stride 2, head with pixel shuffle).
        Fewer, wider layers run faster on a CPU. False: level 0 is the packed mosaic, as in the paper.
    guide_limit : limit of the structure in the guide, in units of four noise standard deviations; None for no limit.
        Every feature-align layer multiplies by the guide, so deep networks overflow without a limit at gains far below
        the training range.
    block : "arnet" as in the paper, "gated" (`GatedBlock`, from NAFNet) or "dense-gated" (`DenseGatedBlock`). The gated
        ones follow a 1x1 convolution where the width changes.
    anchor : (gain, read variance) of the k-sigma anchor: the network works in units of noise. None: it works on
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


GATED_BLOCKS: dict[str, type[nn.Module]] = {"gated": GatedBlock, "dense-gated": DenseGatedBlock}
"""Block classes with equal input and output width."""

FANET_239K = FANetConfig(widths=(16, 32, 48, 80, 192), encoder_blocks=(1, 2, 1, 1, 2), decoder_blocks=(2, 2, 1, 1))
"""Has exactly the 239,304 parameters of Table 5 of the paper."""
FANET_90K = FANetConfig(widths=(16, 24, 64, 144), encoder_blocks=(1, 1, 2, 1), decoder_blocks=(2, 1, 2), shrink=2)
"""Has exactly the 89,696 parameters that the paper's text states for Table 4."""


class FANet(nn.Module):
    """Denoises an anchored packed mosaic, (n, 4, h, w); h and w must be multiples of `stride`."""

    in_channels = 4

    def __init__(self, config: FANetConfig) -> None:
        """Create the network; raise ModelError for an unknown block."""
        super().__init__()
        if config.block not in ("arnet", *GATED_BLOCKS):
            raise ModelError(f"FA-Net has no block {config.block!r}. Choose arnet, {', '.join(GATED_BLOCKS)}.")
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
        return [*change, GATED_BLOCKS[config.block](out_channels)]

    @property
    def stride(self) -> int:
        """Height and width must be multiples of it, packed pixels."""
        pooled = 1 << (len(self.config.widths) - 1 + self.config.patch)
        return max(pooled, NoiseUnits.local_px) if self.noise_units else pooled

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the last block of every encoder level, finest first, at most four; "stem" for a level without."""
        return tuple(
            f"encoder.{level}.{len(blocks) - 1}" if len(blocks) else "stem"  # type: ignore[arg-type]
            for level, blocks in enumerate(self.encoder)
        )[:4]

    @property
    def decoder_taps(self) -> tuple[str, ...]:
        """Names of the last block of every decoder level, coarsest first; "up" of that level where it has none."""
        return tuple(
            f"decoder.{level}.{len(blocks) - 1}" if len(blocks) else f"up.{level}"  # type: ignore[arg-type]
            for level, blocks in reversed(list(enumerate(self.decoder)))
        )

    def forward(self, planes: Tensor) -> Tensor:
        """Return the denoised anchored values, (n, 4, h, w)."""
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
        output = self.head(features)
        return F.pixel_shuffle(output, 2) if self.config.patch else output


def _through(blocks: nn.ModuleList, features: Tensor, guide: Tensor) -> Tensor:
    for block in blocks:
        features = block(features, guide) if isinstance(block, FeatureAlign) else block(features)
    return features
