"""FA-Net, the student network: a small U-Net whose blocks are each followed by a feature-align layer.

Its skip connections are narrowed. Source: the Feature-Align paper (arXiv 2103.01524, section 3.1 and figures 2-4). The
paper does not state widths, block counts, groups or how skips are fused; these, and fusion by addition, are our choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from rawkd.errors import ModelError
from rawkd.networks.blocks import ARNetBlock, DenseGatedBlock, FeatureAlign, GatedBlock, half_cells
from rawkd.networks.noise_units import NoiseUnits


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
        Every feature-align layer multiplies by the guide, so networks explode without a low limit, on bars as fine as
        the pixels and at gains below the training range (docs/training-log.md).
    block : "arnet" as in the paper, "gated" (`GatedBlock`, from NAFNet) or "dense-gated" (`DenseGatedBlock`). The gated
        ones follow a 1x1 convolution where the width changes.
    anchor : (gain, read variance) of the k-sigma anchor: the network works in units of noise. None: it works on
        anchored values, as in the paper.
    planes : number of planes of its mosaics: 4, or 36 of X-Trans (6x6 pixels a position).
    halves : whether level 0 works on the half cells of X-Trans, 3x3 pixels a position (1x1 stem with pixel shuffle, and
        back). False: level 0 is the packed mosaic.
    mean_window : side of the window of local means, in cells (`NoiseUnits`).
    mean_groups : group of every plane, 0 and up; the planes of a group share their local mean. (): each has its own.
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
    planes: int = 4
    halves: bool = False
    mean_window: int = 5
    mean_groups: tuple[int, ...] = ()


GATED_BLOCKS: dict[str, type[nn.Module]] = {"gated": GatedBlock, "dense-gated": DenseGatedBlock}
"""Block classes with equal input and output width."""

FANET_239K = FANetConfig(widths=(16, 32, 48, 80, 192), encoder_blocks=(1, 2, 1, 1, 2), decoder_blocks=(2, 2, 1, 1))
"""Has exactly the 239,304 parameters of Table 5 of the paper."""
FANET_90K = FANetConfig(widths=(16, 24, 64, 144), encoder_blocks=(1, 1, 2, 1), decoder_blocks=(2, 1, 2), shrink=2)
"""Has exactly the 89,696 parameters that the paper's text states for Table 4."""


class FANet(nn.Module):
    """Denoises an anchored packed mosaic, (n, planes, h, w); h and w must be multiples of `stride`."""

    def __init__(self, config: FANetConfig) -> None:
        """Create the network; raise ModelError for an unknown block, or planes or groups that do not fit the rest."""
        super().__init__()
        if (
            config.planes not in (4, 36)
            or (config.planes == 36 and config.patch)
            or (config.planes == 4 and config.halves)
        ):
            raise ModelError(
                f"FA-Net takes 4 planes, with or without patches, or 36, with or without halves, not {config.planes}"
                f" planes with patches {config.patch} and halves {config.halves}. Change its configuration."
            )
        if config.block not in ("arnet", *GATED_BLOCKS):
            raise ModelError(f"FA-Net has no block {config.block!r}. Choose arnet, {', '.join(GATED_BLOCKS)}.")
        groups = config.mean_groups
        if groups and (len(groups) != config.planes or set(groups) != set(range(len(set(groups))))):
            raise ModelError(
                f"FA-Net takes a group of local means for each of its {config.planes} planes, numbered from 0 without"
                f" gaps, not {tuple(groups)}. Change mean_groups in its configuration."
            )
        self.config = config
        widths, levels = config.widths, range(len(config.widths))
        planes = self.in_channels = config.planes
        self.noise_units = _noise_units(config)
        if config.patch:
            self.stem = nn.Conv2d(planes, widths[0], 4, stride=2, padding=1)
            self.head = nn.Conv2d(widths[0], 4 * planes, 3, padding=1)
        elif config.halves:
            self.stem = nn.Conv2d(planes, 4 * widths[0], 1)
            self.head = nn.Conv2d(4 * widths[0], planes, 1)
        else:
            self.stem = nn.Conv2d(planes, widths[0], 3, padding=1)
            self.head = nn.Conv2d(widths[0], planes, 3, padding=1)
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
                blocks.append(FeatureAlign(guide_channels(config), out_channels, config.align_hidden))
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
        pooled = 1 << max(len(self.config.widths) - 1 + self.config.patch - self.config.halves, 0)
        return max(pooled, self.noise_units.local_px) if self.noise_units else pooled

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
        """Return the denoised anchored values, (n, planes, h, w)."""
        if self.noise_units is None:
            return planes + self._restore(planes, planes)
        structure, guide, stabilised = self.noise_units(planes)
        return self.noise_units.subtract(stabilised, self._restore(structure, guide).float())

    def _restore(self, features: Tensor, guide: Tensor) -> Tensor:
        kept = []
        features = self.stem(features)
        if self.config.patch:
            guide = F.avg_pool2d(guide, 2)
        if self.config.halves:
            guide, features = half_cells(guide), F.pixel_shuffle(features, 2)
        guides = [guide]
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
        output: Tensor = self.head(F.pixel_unshuffle(features, 2) if self.config.halves else features)
        return F.pixel_shuffle(output, 2) if self.config.patch else output


def _noise_units(config: FANetConfig) -> NoiseUnits | None:
    if config.anchor is None:
        return None
    local_px = NoiseUnits.local_px if config.planes == 4 else 1
    return NoiseUnits(*config.anchor, config.guide_limit, local_px, config.mean_window, config.mean_groups)


def guide_channels(config: FANetConfig) -> int:
    """Return the number of channels of the guide of feature-align layers."""
    planes = config.planes // 4 if config.halves else config.planes
    return 2 * planes if config.anchor else planes


def _through(blocks: nn.ModuleList, features: Tensor, guide: Tensor) -> Tensor:
    for block in blocks:
        features = block(features, guide) if isinstance(block, FeatureAlign) else block(features)
    return features
